"""Evaluations: a classifier on real images, with the images behind every figure, or on a synthetic set, with counts alone."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.services.datasets import leaks, openings
from app.services.identity import Identity
from app.services.paging import MAX_LIMIT, Page, page
from app.services.rows import note, owned
from models import Classifier, Dataset, DatasetVersion, Evaluation, Image, Prediction, Split

OPENED = (Split.TEST, "all")
PredictedImage = tuple[Prediction, Image]


def get(session: Session, who: Identity, evaluation_id: int) -> Evaluation:
    return owned(session, who, Evaluation, evaluation_id, noun="evaluation")


def listing(
    session: Session,
    who: Identity,
    *,
    classifier_id: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Evaluation]:
    """Newest first; only those of one classifier if given."""
    query = select(Evaluation).where(Evaluation.project_id == who.project_id)
    if classifier_id is not None:
        query = query.where(Evaluation.classifier_id == classifier_id)
    return page(session, query, key=Evaluation.id, cursor=cursor, limit=limit)


def classifier_of(session: Session, evaluation: Evaluation) -> Classifier:
    return session.get_one(Classifier, evaluation.classifier_id)


def part(evaluation: Evaluation) -> str:
    """What it was tested on, in words."""
    if evaluation.synthetic_set_id is not None:
        return f"synthetic set {evaluation.synthetic_set_id}"
    return "all images" if evaluation.split == "all" else f"the {evaluation.split} split"


def dataset_of(session: Session, evaluation: Evaluation) -> Dataset:
    """The dataset it was tested on; of a test on synthetic images, the one whose validation images chose its epoch."""
    return session.get_one(DatasetVersion, evaluation.version_id).dataset


def mark(evaluation: Evaluation) -> str:
    """What every figure of it must be read with: test images that training had seen, in words; empty if there are none."""
    return leaks.memory_in_words(evaluation.leaks)


def num_openings(session: Session, rows: Collection[Evaluation]) -> dict[int, int]:
    """By evaluation: how often the test images of its dataset have been looked at so far; nothing for other splits."""
    tested = {row.version_id for row in rows if row.split in OPENED}
    query = select(DatasetVersion.id, DatasetVersion.dataset_id).where(DatasetVersion.id.in_(tested))
    dataset_of = {found.id: found.dataset_id for found in session.execute(query)}
    counts = openings.counts(session, set(dataset_of.values()))
    return {
        row.id: counts.get(dataset_of[row.version_id], 0)
        for row in rows
        if row.version_id in dataset_of and row.split in OPENED
    }


def cell(
    session: Session,
    evaluation: Evaluation,
    *,
    label: int | None = None,
    predicted: int | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page[PredictedImage]:
    """The images of one cell of the confusion matrix (or of a row, a column, or all), with their predictions."""
    query = select(Prediction).where(Prediction.evaluation_id == evaluation.id)
    if label is not None:
        query = query.where(Prediction.label == label)
    if predicted is not None:
        query = query.where(Prediction.predicted == predicted)
    found = page(session, query, key=Prediction.image_id, cursor=cursor, limit=limit, descending=False)
    return Page(_with_images(session, found.items), found.next_cursor)


def worst(session: Session, evaluation: Evaluation, *, limit: int = 24) -> list[PredictedImage]:
    """The mistakes that the classifier was surest of, surest first."""
    return _most(session, _of(evaluation).where(Prediction.predicted != Prediction.label), limit)


def surest(session: Session, evaluation: Evaluation, *, limit: int = 24) -> list[PredictedImage]:
    """The right predictions that the classifier was surest of, surest first."""
    return _most(session, _of(evaluation).where(Prediction.predicted == Prediction.label), limit)


def _of(evaluation: Evaluation) -> Select[Any]:
    return select(Prediction).where(Prediction.evaluation_id == evaluation.id)


def _most(session: Session, query: Select[Any], limit: int) -> list[PredictedImage]:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInputError(f"limit is {limit}; use 1 to {MAX_LIMIT}.")
    query = query.order_by(Prediction.confidence.desc(), Prediction.image_id).limit(limit)
    return _with_images(session, list(session.scalars(query)))


def _with_images(session: Session, predictions: list[Prediction]) -> list[PredictedImage]:
    ids = [prediction.image_id for prediction in predictions]
    images = {image.id: image for image in session.scalars(select(Image).where(Image.id.in_(ids)))}
    return [(prediction, images[prediction.image_id]) for prediction in predictions]


def delete(session: Session, who: Identity, evaluation: Evaluation) -> None:
    """Delete it with its predictions."""
    note(session, who, "delete", evaluation)
    session.delete(evaluation)
