"""What a person can ask for: one spec per job kind, every option declared once.

The form, the API, the client's documentation and the worker all read type, range, unit,
default and help here. `group` in the schema's extras tells the form which options stand
behind "all settings"; `hidden` ones are filled in by the studio.
"""

from typing import Annotated

from pydantic import Field, TypeAdapter

from models.job import JobKind
from models.specs.audit import AuditSpec
from models.specs.base import Seed, Spec
from models.specs.classification import EvaluateSpec, ExplainSpec, TrainClassifierSpec
from models.specs.conversion import ConversionOptions
from models.specs.diffusion import (
    DEFAULT_SIZES,
    MIN_HELD_OUT_TO_STOP,
    NETWORK_OPTIONS,
    TrainDiffusionSpec,
    diffusion_preset,
)
from models.specs.importing import CheckDatasetSpec, ImportSpec, LayoutOptions
from models.specs.sampling import SamplePartSpec, SampleSpec, Sampling
from models.specs.study import ExternalTest, StudyExplanations, StudySpec, SummariseStudySpec

__all__ = [
    "DEFAULT_SIZES",
    "MIN_HELD_OUT_TO_STOP",
    "NETWORK_OPTIONS",
    "SPEC_OF",
    "AnyJobSpec",
    "AskedSpec",
    "AuditSpec",
    "CheckDatasetSpec",
    "ConversionOptions",
    "EvaluateSpec",
    "ExplainSpec",
    "ExternalTest",
    "ImportSpec",
    "JobSpec",
    "LayoutOptions",
    "SamplePartSpec",
    "SampleSpec",
    "Sampling",
    "Seed",
    "Spec",
    "StudyExplanations",
    "StudySpec",
    "SummariseStudySpec",
    "TrainClassifierSpec",
    "TrainDiffusionSpec",
    "diffusion_preset",
    "job_spec_adapter",
]

AskedSpec = (
    ImportSpec
    | CheckDatasetSpec
    | TrainDiffusionSpec
    | SampleSpec
    | TrainClassifierSpec
    | EvaluateSpec
    | ExplainSpec
    | SummariseStudySpec
    | AuditSpec
)
JobSpec = AskedSpec | SamplePartSpec  # parts are made by the studio; nobody asks for one
AnyJobSpec = Annotated[JobSpec, Field(discriminator="kind")]
job_spec_adapter: TypeAdapter[JobSpec] = TypeAdapter(AnyJobSpec)
SPEC_OF: dict[JobKind, type[Spec]] = {
    JobKind.IMPORT_DATASET: ImportSpec,
    JobKind.CHECK_DATASET: CheckDatasetSpec,
    JobKind.TRAIN_DIFFUSION: TrainDiffusionSpec,
    JobKind.SAMPLE: SampleSpec,
    JobKind.SAMPLE_PART: SamplePartSpec,
    JobKind.TRAIN_CLASSIFIER: TrainClassifierSpec,
    JobKind.EVALUATE: EvaluateSpec,
    JobKind.EXPLAIN: ExplainSpec,
    JobKind.SUMMARISE_STUDY: SummariseStudySpec,
    JobKind.AUDIT_SET: AuditSpec,
}
