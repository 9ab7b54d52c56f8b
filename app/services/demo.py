"""The demo's story: the newest chain from real images to an explanation that is whole."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.storage import Storage
from app.services.identity import Identity
from models import (
    Checkpoint,
    Classifier,
    Dataset,
    DatasetVersion,
    Evaluation,
    Explanation,
    ExplanationItem,
    Image,
    Job,
    Split,
    SyntheticImage,
    SyntheticSet,
)

NAME = "phantoms"
PER_CLASS = 6
EXPLAINED = 4
BUNDLED = Path(__file__).parents[1] / "assets" / "phantoms.safetensors"
METADATA_KEY = "phantom_studio"  # as workers.ml.checkpoints writes it


@dataclass(frozen=True)
class Pair:
    """One class: stored keys of a few real training images and of a few synthetic ones."""

    name: str
    real: list[str]
    synthetic: list[str]


@dataclass(frozen=True)
class Story:
    dataset: Dataset
    version: DatasetVersion
    checkpoint: Checkpoint
    synthetic_set: SyntheticSet
    classifier: Classifier
    evaluation: Evaluation
    explanation: Explanation
    pairs: list[Pair]
    items: list[ExplanationItem]
    jobs: list[Job]
    seconds: float  # from the first job's submission to the end of the last


def story(session: Session, who: Identity) -> Story | None:
    """The newest explanation of a classifier that learnt from synthetic images, with all that it was made from."""
    found = session.execute(
        select(Explanation, Classifier, SyntheticSet, Checkpoint, DatasetVersion, Dataset)
        .join(Classifier, Explanation.classifier_id == Classifier.id)
        .join(SyntheticSet, Classifier.synthetic_set_id == SyntheticSet.id)
        .join(Checkpoint, SyntheticSet.checkpoint_id == Checkpoint.id)
        .join(DatasetVersion, Classifier.version_id == DatasetVersion.id)
        .join(Dataset, DatasetVersion.dataset_id == Dataset.id)
        .where(Explanation.project_id == who.project_id, Dataset.name.startswith(NAME))
        .order_by(Explanation.id.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    explanation, classifier, synthetic_set, checkpoint, version, dataset = found
    evaluation = session.scalar(
        select(Evaluation).where(Evaluation.classifier_id == classifier.id).order_by(Evaluation.id.desc()).limit(1)
    )
    if evaluation is None:
        return None
    jobs = _jobs(session, version, checkpoint, synthetic_set, classifier, evaluation, explanation)
    ends = [job.finished_at for job in jobs if job.finished_at]
    return Story(
        dataset=dataset, version=version, checkpoint=checkpoint, synthetic_set=synthetic_set, classifier=classifier,
        evaluation=evaluation, explanation=explanation,
        pairs=[_pair(session, version, synthetic_set, label) for label in range(len(version.classes))],
        items=list(
            session.scalars(
                select(ExplanationItem).where(ExplanationItem.explanation_id == explanation.id).order_by(ExplanationItem.index).limit(EXPLAINED)
            )
        ),
        jobs=jobs,
        seconds=(max(ends) - jobs[0].created_at).total_seconds() if ends else 0.0,
    )  # fmt: skip


def _jobs(
    session: Session, *rows: DatasetVersion | Checkpoint | SyntheticSet | Classifier | Evaluation | Explanation
) -> list[Job]:
    ids = [row.job_id for row in rows if row.job_id is not None]
    return list(session.scalars(select(Job).where(Job.id.in_(ids)).order_by(Job.id)))


def _pair(session: Session, version: DatasetVersion, synthetic_set: SyntheticSet, label: int) -> Pair:
    real = select(Image.stored_sha256).where(
        Image.version_id == version.id, Image.split == Split.TRAIN, Image.label == label
    )
    drawn = select(SyntheticImage.stored_sha256).where(
        SyntheticImage.set_id == synthetic_set.id, SyntheticImage.label == label
    )
    return Pair(
        name=version.classes[label],
        real=list(session.scalars(real.order_by(Image.id).limit(PER_CLASS))),
        synthetic=list(session.scalars(drawn.order_by(SyntheticImage.id).limit(PER_CLASS))),
    )


def register_checkpoint(session: Session, who: Identity, storage: Storage) -> Checkpoint:
    """The row of the checkpoint that comes with the studio; made on first use."""
    stored = storage.put(BUNDLED)
    row = session.scalar(
        select(Checkpoint).where(
            Checkpoint.project_id == who.project_id, Checkpoint.sha256 == stored.sha256, Checkpoint.job_id.is_(None)
        )
    )
    if row is None:
        about, num_parameters = _safetensors_header(BUNDLED)
        config, metadata = about["config"], about["metadata"]
        row = Checkpoint(
            project_id=who.project_id, name="phantoms, comes with the studio", image_size=config["image_size"],
            channels=config["channels"], classes=metadata["classes"], num_steps=about["step"],
            num_parameters=num_parameters, size=stored.size, sha256=stored.sha256, spec=metadata["spec"],
        )  # fmt: skip
        session.add(row)
        session.flush()
    return row


def _safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """(our metadata, number of weights) from the JSON at the head of a safetensors file, without torch."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    about = json.loads(header.pop("__metadata__")[METADATA_KEY])
    return about, sum(math.prod(tensor["shape"]) for tensor in header.values())
