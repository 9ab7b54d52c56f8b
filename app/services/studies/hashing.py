"""Hashes of what the steps of a study made: equal hashes, equal bytes.

Networks have the hash of their file. A set's is over its images in their order, and a test's over its predictions, image by
image, with every digit; neither depends on the numbers of rows.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from app.services.studies.looking import Step, progress
from app.services.studies.planning import OWN
from models import (
    Checkpoint,
    Classifier,
    DatasetVersion,
    Evaluation,
    ExplanationItem,
    Image,
    Job,
    JobKind,
    JobState,
    Prediction,
    Split,
    Study,
    SyntheticImage,
)
from models.specs import StudySpec

ROWS_AT_ONCE = 5000
SAME, DIFFERS, MISSING, ONE_JOB = "same bytes", "differs", "not there", "one job"


@dataclass(frozen=True)
class StepFiles:
    """A step of two studies. what: of what the hashes are; None: it made nothing, or that was deleted."""

    name: str
    what: str
    a_job_id: int
    b_job_id: int
    a: str | None
    b: str | None

    @property
    def outcome(self) -> str:
        if self.a_job_id == self.b_job_id:
            return ONE_JOB
        if self.a is None or self.b is None:
            return MISSING
        return SAME if self.a == self.b else DIFFERS


def compare(session: Session, a: Study, b: Study) -> list[StepFiles]:
    """The steps that both have, in the order of the first."""
    theirs = {each.step.name: each for each in progress(session, b).steps}
    return [
        _step(session, each, theirs[each.step.name])
        for each in progress(session, a).steps
        if each.step.name in theirs
    ]  # fmt: skip


def _step(session: Session, a: Step, b: Step) -> StepFiles:
    what, made = HASHES[a.job.kind]
    found = {job.id: made(session, job) if job.state == JobState.SUCCEEDED else None for job in {a.job, b.job}}
    return StepFiles(a.step.name, what, a.job.id, b.job.id, found[a.job.id], found[b.job.id])


def _result(job: Job, option: str) -> int:
    return int((job.result or {}).get(option) or 0)


def _of_checkpoint(session: Session, job: Job) -> str | None:
    return session.scalar(select(Checkpoint.sha256).where(Checkpoint.id == _result(job, "checkpoint_id")))


def _of_classifier(session: Session, job: Job) -> str | None:
    return session.scalar(select(Classifier.sha256).where(Classifier.id == _result(job, "classifier_id")))


def _of_images(session: Session, job: Job) -> str | None:
    """Over the files of a set in the order of their indices; a person's rejections change nothing of it."""
    query = select(SyntheticImage.index, SyntheticImage.stored_sha256).where(
        SyntheticImage.set_id == _result(job, "synthetic_set_id")
    )
    return _of_rows(session, query.order_by(SyntheticImage.index))


def _of_predictions(session: Session, job: Job) -> str | None:
    """Over the tested images by their pixels, with label and probabilities; of a test on synthetic images over its report."""
    evaluation_id = _result(job, "evaluation_id")
    on_synthetic = Evaluation.synthetic_set_id.is_not(None)
    report = session.scalar(select(Evaluation.report).where(Evaluation.id == evaluation_id, on_synthetic))
    if report is not None:
        return hashlib.sha256(json.dumps(report, sort_keys=True).encode()).hexdigest()
    probabilities = cast(Prediction.probabilities, Text)  # as they are stored, with every digit
    query = select(Image.pixel_sha256, Prediction.label, Prediction.predicted, probabilities)
    query = query.join(Image, Image.id == Prediction.image_id).where(Prediction.evaluation_id == evaluation_id)
    return _of_rows(session, query.order_by(Image.pixel_sha256, Image.path))


def _of_explanations(session: Session, job: Job) -> str | None:
    """Over the explained images in their order: superpixels, weights with every digit, and overlays."""
    query = select(ExplanationItem.segments_sha256, cast(ExplanationItem.weights, Text), ExplanationItem.overlay_sha256)
    query = query.where(ExplanationItem.explanation_id == _result(job, "explanation_id"))
    return _of_rows(session, query.order_by(ExplanationItem.index))


def _of_rows(session: Session, query: Any) -> str | None:
    """None where there are no rows."""
    digest, empty = hashlib.sha256(), True
    for row in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
        digest.update(" ".join(map(str, row)).encode() + b"\n")
        empty = False
    return None if empty else digest.hexdigest()


HASHES: dict[JobKind, tuple[str, Callable[[Session, Job], str | None]]] = {
    JobKind.TRAIN_DIFFUSION: ("diffusion network", _of_checkpoint), JobKind.SAMPLE: ("synthetic images", _of_images),
    JobKind.AUDIT_SET: ("synthetic images without copies", _of_images), JobKind.TRAIN_CLASSIFIER: ("classifier", _of_classifier),
    JobKind.EVALUATE: ("predictions", _of_predictions), JobKind.EXPLAIN: ("explanations", _of_explanations),
}  # fmt: skip


def same_test_images(session: Session, a: Study, b: Study, tested_on: str) -> bool:
    """Whether both were tested on the same pictures with the same labels: their own, or those of an external dataset."""
    (mine, split), (theirs, _) = _tested_version(a, tested_on), _tested_version(b, tested_on)
    if mine == theirs:
        return True
    one, other = session.get(DatasetVersion, mine), session.get(DatasetVersion, theirs)
    if one is None or other is None:
        return False
    same = one.manifest_sha256 == other.manifest_sha256
    return same or _of_test_images(session, one, split) == _of_test_images(session, other, split)


def _tested_version(study: Study, tested_on: str) -> tuple[int, Split | None]:
    """The version, and the part of it; None: all of its images."""
    if tested_on == OWN:
        return study.version_id, Split.TEST
    return StudySpec.model_validate(study.spec).external[tested_on].version_id or 0, None


def _of_test_images(session: Session, version: DatasetVersion, split: Split | None) -> tuple[list[str], str | None]:
    """The classes, and a hash over pixels and labels."""
    query = select(Image.pixel_sha256, Image.label).where(Image.version_id == version.id)
    if split is not None:
        query = query.where(Image.split == split)
    return version.classes, _of_rows(session, query.order_by(Image.pixel_sha256, Image.label))
