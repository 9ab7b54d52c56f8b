"""What a study's explanations say: the same test images, explained with the real-trained and the synthetic-trained classifier."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.images import read_segments
from app.core.storage import Storage
from models import Explanation, ExplanationItem, Image, Job, JobState, Split, Study, StudyStep
from models.specs import StudySpec
from models.specs.study import EXPLAINED_SEEDS, explained_arms
from workers.jobs.arrays import real_sources
from workers.jobs.evaluate import group_numbers
from workers.ml.explanation.comparison import ExplainedImage, Subject, compare_explanations

NOTHING: dict[str, Any] = {"images": [], "summary": [], "agreement": None, "shortcut": {}}


class Found(NamedTuple):
    """What a step of the study gave: an explanation, or the reason why there is none."""

    explanation: Explanation | None
    why: str


def compare(session: Session, storage: Storage, study: Study, asked: StudySpec) -> dict[str, Any] | None:
    """What the study's answer has under "explanations": {architecture, arms: [a, b], seed, reason} and the keys of
    `compare_explanations`, whose docstring says them all. reason: why there is no comparison, else "". None: not asked for.
    """
    found, arms = _found(session, study, asked), explained_arms(asked)
    if not found or arms is None:
        return None
    first, *further = asked.seeds[:EXPLAINED_SEEDS]
    about = {"architecture": asked.architectures[0], "arms": [str(arm) for arm in arms], "seed": first}
    explained = {str(arm): found[str(arm), first] for arm in arms if (str(arm), first) in found}
    again = {str(arm): found[str(arm), seed] for seed in further for arm in arms if (str(arm), seed) in found}
    missing = [f"{arm}: {each.why}" for arm, each in explained.items() if each.explanation is None]
    if missing:
        return {**about, "reason": "; ".join(missing), **NOTHING}
    subjects = _subjects(session, storage, explained, again)
    if not subjects:
        return {**about, "reason": "No image was explained with both classifiers.", **NOTHING}
    one = next(each.explanation for each in explained.values() if each.explanation is not None)
    told = compare_explanations(
        subjects=subjects, arms=(str(arms[0]), str(arms[1])), classes=one.classes, top_k=one.spec["top_k"],
        groups=_groups(session, study, [subject.image_id for subject in subjects]),
    )  # fmt: skip
    return {**about, "reason": "", **told}


def _found(session: Session, study: Study, asked: StudySpec) -> dict[tuple[str, int], Found]:
    """By arm and seed, of the study's first network."""
    steps = session.scalars(select(StudyStep).where(StudyStep.study_id == study.id).order_by(StudyStep.position))
    mine = [
        step for step in steps if "explained_on" in step.cell and step.cell["architecture"] == asked.architectures[0]
    ]
    return {(step.cell["arm"], step.cell["seed"]): _outcome(session, step) for step in mine}


def _outcome(session: Session, step: StudyStep) -> Found:
    job = session.get_one(Job, step.job_id)
    if job.state != JobState.SUCCEEDED:
        return Found(None, (job.error or {}).get("detail") or job.message or f"Job {job.id} is {job.state}.")
    explanation = session.get(Explanation, (job.result or {}).get("explanation_id", 0))
    return Found(explanation, "" if explanation is not None else "The explanation was deleted.")


def _subjects(
    session: Session, storage: Storage, explained: Mapping[str, Found], again: Mapping[str, Found]
) -> list[Subject]:
    """The images that all arms explained, in the order of the first arm."""
    firsts, seconds = (
        {arm: _items(session, storage, each.explanation) for arm, each in of.items()} for of in (explained, again)
    )
    one, *others = firsts.values()
    labels = {row.id: row.label for row in session.scalars(select(Image).where(Image.id.in_(one)))}
    return [
        Subject(
            image_id, labels[image_id], {arm: items[image_id] for arm, items in firsts.items()},
            {arm: items[image_id] for arm, items in seconds.items() if image_id in items},
        )
        for image_id in one if all(image_id in items for items in others)
    ]  # fmt: skip


def _items(session: Session, storage: Storage, explanation: Explanation | None) -> dict[int, ExplainedImage]:
    """By image, in the order in which they were explained."""
    if explanation is None:
        return {}
    query = select(ExplanationItem).where(ExplanationItem.explanation_id == explanation.id)
    rows = session.scalars(query.order_by(ExplanationItem.index))
    return {row.image_id: _explained(storage, row) for row in rows if row.image_id is not None}


def _explained(storage: Storage, row: ExplanationItem) -> ExplainedImage:
    assert row.faithfulness is not None, "explanations of studies are younger than these figures"
    assert row.places is not None, "explanations of studies are younger than these figures"
    return ExplainedImage(
        item_id=row.id, predicted=row.predicted, probability=row.probabilities[row.predicted],
        segments=read_segments(storage.read(row.segments_sha256)),
        weights=[dict(model["weights"]) for model in row.weights["classes"]],
        deletion_auc=row.faithfulness["deletion_auc"], insertion_auc=row.faithfulness["insertion_auc"],
        stability=row.stability["overlap"] if row.stability is not None else None, places=row.places,
    )  # fmt: skip


def _groups(session: Session, study: Study, image_ids: Sequence[int]) -> Any:
    """A number for each image's patient and look-alikes, or None."""
    sources = {source.id: source for source in real_sources(session, version_id=study.version_id, split=Split.TEST)}
    return group_numbers([sources[image_id] for image_id in image_ids])
