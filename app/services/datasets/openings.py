"""The lock of the test images: once a network has learnt from a dataset, each look at them is counted.

The count is the dataset's, over all its versions: another version with nearly the same test images does not begin at zero.
"""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError, LockedError
from app.services.identity import Identity
from app.services.rows import note
from models import Checkpoint, Classifier, Dataset, DatasetVersion, Opening, OpeningKind, Split, db_now


class Lock(NamedTuple):
    """is_locked: networks learnt from the dataset and nobody unlocked it. num_openings: so far, over all versions."""

    is_locked: bool
    num_openings: int


def lock(session: Session, version: DatasetVersion) -> Lock:
    siblings = select(DatasetVersion.id).where(DatasetVersion.dataset_id == version.dataset_id)
    has_learnt = session.scalar(
        select(or_(
            select(Checkpoint.id).where(Checkpoint.version_id.in_(siblings)).exists(),
            select(Classifier.id).where(Classifier.version_id.in_(siblings)).exists(),
        ))
    )  # fmt: skip
    number = counts(session, [version.dataset_id]).get(version.dataset_id, 0)
    return Lock(bool(has_learnt) and version.unlocked_at is None, number)


def counts(session: Session, dataset_ids: Collection[int]) -> dict[int, int]:
    """Openings of each dataset's test images, by the dataset's id."""
    query = (
        select(DatasetVersion.dataset_id, func.count())
        .join(Opening, Opening.version_id == DatasetVersion.id)
        .where(DatasetVersion.dataset_id.in_(dataset_ids))
        .group_by(DatasetVersion.dataset_id)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def listing(session: Session, dataset: Dataset, *, limit: int = 200) -> list[Opening]:
    """Newest first."""
    query = select(Opening).join(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    return list(session.scalars(query.order_by(Opening.id.desc()).limit(limit)))


def open_list(session: Session, who: Identity, version: DatasetVersion, *, num_images: int | None) -> Opening:
    """Count that a person, or a script, lists the first `num_images` test images, all for None."""
    number = num_test_images(version)
    return _add(session, who, version, OpeningKind.LISTING, num_images=min(num_images or number, number), reason="")


def num_test_images(version: DatasetVersion) -> int:
    return sum(splits.get(Split.TEST, 0) for splits in version.counts.values())


def unlock(session: Session, who: Identity, version: DatasetVersion, reason: str) -> Opening:
    """Show the test images of a version from now on, and write down why."""
    reason = reason.strip()
    if not reason:
        raise BadInputError(
            "No reason is given for looking at the test images.",
            hint="Say why in a sentence: it is listed beside every figure on these images.",
            errors=[{"pointer": "/reason", "detail": "is needed"}],
        )
    version.unlocked_at = session.scalar(select(db_now()))
    note(session, who, f"unlock the test images of version {version.number}", version.dataset)
    return _add(session, who, version, OpeningKind.UNLOCK, num_images=num_test_images(version), reason=reason[:1000])


def lock_again(session: Session, who: Identity, version: DatasetVersion) -> None:
    version.unlocked_at = None
    note(session, who, f"lock the test images of version {version.number}", version.dataset)
    session.flush()


def need_open(session: Session, version: DatasetVersion, opening_id: int | None) -> None:
    """LockedError unless test images may be listed: not locked, or counted as opening `opening_id` before."""
    if not lock(session, version).is_locked:
        return
    opening = session.get(Opening, opening_id) if opening_id is not None else None
    if opening is None or opening.version_id != version.id or opening.kind != OpeningKind.LISTING:
        raise LockedError(
            f"The test images of dataset {version.dataset.name!r} are locked, since networks have learnt from it.",
            hint="Look at them through an evaluation or an explanation. To list them all the same, which is counted, "
            f"POST /api/v1/datasets/{version.dataset_id}/openings and give its id as opening; the client does so by itself.",
        )


def _add(
    session: Session, who: Identity, version: DatasetVersion, kind: OpeningKind, *, num_images: int, reason: str
) -> Opening:
    opening = Opening(version_id=version.id, kind=kind, user_id=who.user_id, num_images=num_images, reason=reason)
    session.add(opening)
    session.flush()
    return opening
