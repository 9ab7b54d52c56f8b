"""Check what a spec names before it becomes a job, and fill in what it leaves open.

A spec alone can be checked without a database; here is what takes one: whether the rows exist in the project, are
ready and fit each other. The completed spec names versions, so that a later import cannot change what a job means.
"""

from sqlalchemy.orm import Session

from app.core import naming
from app.core.submission import check_title
from app.services import datasets
from app.services.identity import Identity
from app.services.prepare.auditing import audit
from app.services.prepare.classifying import need_images_to_classify, train_classifier
from app.services.prepare.diffusion import need_images_to_draw_like, train_diffusion
from app.services.prepare.evaluating import evaluate, need_comparable, part
from app.services.prepare.explaining import explain
from app.services.prepare.needs import ready_version
from app.services.prepare.sampling import MOST_IMAGES, need_as_many_blocks, sample
from app.services.rows import owned
from models import Audit, Checkpoint, Classifier, Evaluation, Explanation, Study, SyntheticSet
from models.specs import (
    AskedSpec,
    AuditSpec,
    CheckDatasetSpec,
    EvaluateSpec,
    ExplainSpec,
    ImportSpec,
    SampleSpec,
    SummariseStudySpec,
    TrainClassifierSpec,
    TrainDiffusionSpec,
)

__all__ = [
    "MADE",
    "MOST_IMAGES",
    "need_as_many_blocks",
    "need_comparable",
    "need_images_to_classify",
    "need_images_to_draw_like",
    "part",
    "prepare",
    "ready_version",
]
MADE: dict[
    str, type[Checkpoint] | type[SyntheticSet] | type[Audit] | type[Classifier] | type[Evaluation] | type[Explanation]
] = {
    "checkpoint_id": Checkpoint, "synthetic_set_id": SyntheticSet, "classifier_id": Classifier, "evaluation_id": Evaluation,
    "audit_id": Audit, "explanation_id": Explanation,
}  # fmt: skip


def prepare(session: Session, who: Identity, spec: AskedSpec) -> tuple[AskedSpec, str]:
    """The spec with every gap filled, and a title for its job; raises a StudioError that says what does not fit."""
    match spec:
        case ImportSpec():
            return datasets.prepare_import(session, who, spec)
        case CheckDatasetSpec():
            version = ready_version(session, who, spec.dataset_id, spec.version_id)
            filled = spec.model_copy(update={"version_id": version.id})
            return filled, check_title(version)
        case TrainDiffusionSpec():
            return train_diffusion(session, who, spec)
        case SampleSpec():
            return sample(session, who, spec)
        case TrainClassifierSpec():
            return train_classifier(session, who, spec)
        case EvaluateSpec():
            return evaluate(session, who, spec)
        case ExplainSpec():
            return explain(session, who, spec)
        case SummariseStudySpec():
            study = owned(session, who, Study, spec.study_id, noun="study")
            return spec, f"Table of {naming.shortened(study.name)}"
        case AuditSpec():
            return audit(session, who, spec)
