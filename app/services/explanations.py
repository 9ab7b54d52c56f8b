"""Explanations: what LIME says of a classifier on some images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.core.errors import NotFoundError
from app.services.identity import Identity
from app.services.paging import Page, page
from app.services.rows import LARGEST_ID, note, owned
from models import Classifier, Explanation, ExplanationItem, Image, UploadedImage

FIGURES = {
    "deletion_auc": ExplanationItem.faithfulness,
    "insertion_auc": ExplanationItem.faithfulness,
    "overlap": ExplanationItem.stability,
    "correlation": ExplanationItem.stability,
}


@dataclass(frozen=True)
class Spread:
    """A figure over those images of an explanation for which it was measured."""

    num_images: int
    mean: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Summary:
    """Whether an explanation can be believed, over its images; None where a figure was measured for none of them."""

    deletion_auc: Spread | None = None
    insertion_auc: Spread | None = None
    overlap: Spread | None = None
    correlation: Spread | None = None


def get(session: Session, who: Identity, explanation_id: int) -> Explanation:
    return owned(session, who, Explanation, explanation_id, noun="explanation")


def listing(
    session: Session,
    who: Identity,
    *,
    classifier_id: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Explanation]:
    """Newest first; only those of one classifier if given."""
    query = select(Explanation).where(Explanation.project_id == who.project_id)
    if classifier_id is not None:
        query = query.where(Explanation.classifier_id == classifier_id)
    return page(session, query, key=Explanation.id, cursor=cursor, limit=limit)


def classifier_of(session: Session, explanation: Explanation) -> Classifier:
    return session.get_one(Classifier, explanation.classifier_id)


def items(
    session: Session, explanation: Explanation, *, cursor: str | None = None, limit: int = 50
) -> Page[ExplanationItem]:
    """The explained images in the order in which they were asked for."""
    query = select(ExplanationItem).where(ExplanationItem.explanation_id == explanation.id)
    return page(session, query, key=ExplanationItem.id, cursor=cursor, limit=limit, descending=False)


def item(session: Session, explanation: Explanation, item_id: int) -> ExplanationItem:
    row = session.get(ExplanationItem, item_id) if 0 < item_id <= LARGEST_ID else None
    if row is None or row.explanation_id != explanation.id:
        raise NotFoundError(f"Explanation {explanation.id} has no item {item_id}.")
    return row


def existing(session: Session, explanation_ids: Sequence[int]) -> set[int]:
    """Those of them that are still there."""
    return set(session.scalars(select(Explanation.id).where(Explanation.id.in_(explanation_ids))))


def items_by_id(session: Session, item_ids: Sequence[int]) -> dict[int, ExplanationItem]:
    """Those of them that are still there."""
    return {row.id: row for row in session.scalars(select(ExplanationItem).where(ExplanationItem.id.in_(item_ids)))}


def summaries(session: Session, rows: Sequence[Explanation]) -> dict[int, Summary]:
    """{explanation id: summary}; the database does the sums, so that no curve is read."""
    columns = [column for name in FIGURES for column in _spread_columns(name)]
    query = (
        select(ExplanationItem.explanation_id, *columns)
        .where(ExplanationItem.explanation_id.in_([row.id for row in rows]))
        .group_by(ExplanationItem.explanation_id)
    )
    found = {row.explanation_id: _summary(row) for row in session.execute(query)}
    return {row.id: found.get(row.id, Summary()) for row in rows}


def _spread_columns(name: str) -> list[Any]:
    value = FIGURES[name][name].as_float()
    return [function(value) for function in (func.count, func.avg, func.min, func.max)]


def _summary(row: Row[Any]) -> Summary:
    """From the id and four columns for each figure."""
    spreads = zip(FIGURES, (row[at : at + 4] for at in range(1, len(row), 4)), strict=True)
    return Summary(**{name: Spread(*spread) for name, spread in spreads if spread[0]})


def paths(session: Session, image_ids: Sequence[int]) -> dict[int, str]:
    """{image id: its path in its dataset}, of those that are still there."""
    return {row.id: row.path for row in session.execute(select(Image.id, Image.path).where(Image.id.in_(image_ids)))}


def names(session: Session, items: list[ExplanationItem]) -> dict[int, str]:
    """{item id: the path or file name of its image}."""
    uploaded_ids = [item.uploaded_image_id for item in items if item.uploaded_image_id is not None]
    of_datasets = paths(session, [item.image_id for item in items if item.image_id is not None])
    uploads = select(UploadedImage.id, UploadedImage.name).where(UploadedImage.id.in_(uploaded_ids))
    given = dict(session.execute(uploads).all())
    return {
        item.id: of_datasets[item.image_id] if item.image_id is not None else given[item.uploaded_image_id or 0]
        for item in items
    }


def delete(session: Session, who: Identity, explanation: Explanation) -> None:
    """Delete it with its items."""
    note(session, who, "delete", explanation)
    session.delete(explanation)
