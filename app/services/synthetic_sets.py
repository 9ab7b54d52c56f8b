"""Synthetic sets: images that sampling drew, and what a person said of each.

Marks are the only thing about a set that ever changes; rejected images are left out of training and downloads.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.services.identity import Identity
from app.services.paging import Page, page
from app.services.rows import LARGEST_ID, clean_name, count, note, owned, refuse_if_a_job_needs
from models import Checkpoint, Classifier, Dataset, DatasetVersion, Evaluation, Mark, SyntheticImage, SyntheticSet
from models.specs.sampling import DRAWN_WITH

MOST_MARKED_AT_ONCE = 1000


def get(session: Session, who: Identity, set_id: int) -> SyntheticSet:
    return owned(session, who, SyntheticSet, set_id, noun="synthetic set")


def listing(
    session: Session,
    who: Identity,
    *,
    checkpoint_id: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[SyntheticSet]:
    """Newest first; only those drawn by `checkpoint_id` if given."""
    query = select(SyntheticSet).where(SyntheticSet.project_id == who.project_id)
    if checkpoint_id is not None:
        query = query.where(SyntheticSet.checkpoint_id == checkpoint_id)
    return page(session, query, key=SyntheticSet.id, cursor=cursor, limit=limit)


def images(
    session: Session,
    synthetic_set: SyntheticSet,
    *,
    label: int | None = None,
    mark: Mark | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page[SyntheticImage]:
    """In the order in which they were numbered; of one class (index into the set's classes) or one mark if given."""
    query = select(SyntheticImage).where(SyntheticImage.set_id == synthetic_set.id)
    if label is not None:
        query = query.where(SyntheticImage.label == label)
    if mark is not None:
        query = query.where(SyntheticImage.mark == mark)
    return page(session, query, key=SyntheticImage.id, cursor=cursor, limit=limit, descending=False)


def image(session: Session, synthetic_set: SyntheticSet, image_id: int) -> SyntheticImage:
    row = session.get(SyntheticImage, image_id) if 0 < image_id <= LARGEST_ID else None
    if row is None or row.set_id != synthetic_set.id:
        raise NotFoundError(f"Synthetic set {synthetic_set.id} has no image {image_id}.")
    return row


def recipe(synthetic_set: SyntheticSet, image: SyntheticImage) -> dict[str, Any]:
    """What must be known to draw this very image again."""
    spec = synthetic_set.spec
    return {
        "checkpoint_id": synthetic_set.checkpoint_id,
        "class": synthetic_set.classes[image.label],
        "seed": image.seed,
        "index": image.index,
        **{option: spec[option] for option in DRAWN_WITH if option in spec},
    }


def mark(session: Session, synthetic_set: SyntheticSet, image_ids: Sequence[int], mark: Mark) -> dict[int, Mark]:
    """Give these images a mark, all or none; returns the marks that they had, so that it can be undone."""
    if not 1 <= len(image_ids) <= MOST_MARKED_AT_ONCE:
        raise BadInputError(f"{len(image_ids)} images were named; name 1 to {MOST_MARKED_AT_ONCE}.")
    mine = (
        SyntheticImage.set_id == synthetic_set.id,
        SyntheticImage.id.in_([i for i in image_ids if 0 < i <= LARGEST_ID]),
    )
    before = {
        row.id: Mark(row.mark) for row in session.execute(select(SyntheticImage.id, SyntheticImage.mark).where(*mine))
    }
    unknown = sorted(set(image_ids) - before.keys())
    if unknown:
        raise NotFoundError(f"Synthetic set {synthetic_set.id} has no image {unknown[0]}; none was marked.")
    session.execute(update(SyntheticImage).where(*mine).values(mark=mark))
    return before


def mark_counts(session: Session, synthetic_set: SyntheticSet, *, label: int | None = None) -> dict[Mark, int]:
    """How many images have each mark, in the whole set or in one class."""
    query = select(SyntheticImage.mark, func.count()).where(SyntheticImage.set_id == synthetic_set.id)
    if label is not None:
        query = query.where(SyntheticImage.label == label)
    found = {Mark(name): number for name, number in session.execute(query.group_by(SyntheticImage.mark))}
    return {name: found.get(name, 0) for name in Mark}


def kept_counts(session: Session, synthetic_set: SyntheticSet) -> dict[str, int]:
    """{class: images that are not rejected}."""
    query = (
        select(SyntheticImage.label, func.count())
        .where(SyntheticImage.set_id == synthetic_set.id, SyntheticImage.mark != Mark.REJECTED)
        .group_by(SyntheticImage.label)
    )
    found = dict(session.execute(query).all())
    return {name: found.get(label, 0) for label, name in enumerate(synthetic_set.classes)}


def checkpoint_of(session: Session, synthetic_set: SyntheticSet) -> Checkpoint:
    return session.get_one(Checkpoint, synthetic_set.checkpoint_id)


def dataset_of(session: Session, synthetic_set: SyntheticSet) -> Dataset | None:
    """The dataset that its checkpoint learnt; None if the checkpoint came with the studio."""
    version = session.get(DatasetVersion, synthetic_set.version_id) if synthetic_set.version_id is not None else None
    return version.dataset if version is not None else None


def classifiers_of(session: Session, synthetic_set: SyntheticSet, *, limit: int = 50) -> list[Classifier]:
    """What was trained on it, newest first."""
    query = select(Classifier).where(Classifier.synthetic_set_id == synthetic_set.id)
    return list(session.scalars(query.order_by(Classifier.id.desc()).limit(limit)))


def rename(session: Session, synthetic_set: SyntheticSet, name: str) -> SyntheticSet:
    synthetic_set.name = clean_name(name)
    session.flush()
    return synthetic_set


def drawn_as(session: Session, synthetic_set: SyntheticSet) -> SyntheticSet | None:
    """The set that it is without copies; None: it was drawn."""
    source = synthetic_set.filtered_from_id
    return session.get(SyntheticSet, source) if source is not None else None


def delete(session: Session, who: Identity, synthetic_set: SyntheticSet) -> None:
    """Delete it with its images and audits; ConflictError while a classifier, a test, a set without its copies or an unfinished job
    rests on it."""
    trained = count(session, Classifier.synthetic_set_id == synthetic_set.id)
    if trained:
        raise ConflictError(
            f"{trained} classifiers were trained on synthetic set {synthetic_set.id}.",
            hint="Delete those classifiers first: they could not say what they learnt from.",
        )
    tested = count(session, Evaluation.synthetic_set_id == synthetic_set.id)
    if tested:
        raise ConflictError(
            f"{tested} evaluations are on synthetic set {synthetic_set.id}.", hint="Delete those evaluations first."
        )
    filtered = count(session, SyntheticSet.filtered_from_id == synthetic_set.id)
    if filtered:
        raise ConflictError(
            f"{filtered} sets are synthetic set {synthetic_set.id} without its copies.",
            hint="Delete those sets first: they could not say where they came from.",
        )
    refuse_if_a_job_needs(session, who, option="synthetic_set_id", row_id=synthetic_set.id, noun="synthetic set")
    note(session, who, "delete", synthetic_set)
    session.delete(synthetic_set)
