"""Which images of a version a network knows that has learnt others: the same pixels, a look-alike, or the same patient."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from app.core import versions
from app.core.fingerprints import Fingerprint as Look
from models import DatasetVersion, Fingerprint, Image, Split

SEEN_IN_TRAINING = (Split.TRAIN, Split.VAL)  # validation images choose the best epoch


class _Picture(NamedTuple):
    pixel_sha256: str
    stored_sha256: str
    group: str | None


def known_to_training(
    session: Session,
    *,
    learnt: Collection[int],
    tested: DatasetVersion,
    splits: Collection[Split],
    classes: Collection[str] | None = None,
    most_pairs: int | None = None,
) -> dict[str, int]:
    """Images tested that training or the choice of the best epoch has seen: {"patients", "identical", "near"}.

    near includes identical; patients: images whose patient was seen. learnt: ids of versions. splits, classes: what of
    `tested` is tested, all classes if not given. Pictures without a fingerprint are compared by pixels and patients only,
    and so are all if there are more pairs than `most_pairs`.
    """
    seen_rows = and_(Image.version_id.in_(learnt), Image.split.in_(SEEN_IN_TRAINING))
    tested_rows = and_(Image.version_id == tested.id, Image.split.in_(splits))
    if classes is not None:
        tested_rows = and_(tested_rows, Image.label.in_([tested.classes.index(name) for name in classes]))
    seen, images = _pictures(session, seen_rows), _pictures(session, tested_rows)
    patients = {each.group for each in seen} - {None}
    by_look = most_pairs is None or len(seen) * len(images) <= most_pairs
    looks = [_looks(session, rows) if by_look else {} for rows in (seen_rows, tested_rows)]
    matches = versions.known_images([each[:2] for each in seen], [each[:2] for each in images], *looks)
    return {
        "patients": sum(each.group in patients for each in images if each.group is not None),
        "identical": sum(match.kind == "identical" for match in matches),
        "near": len(matches),
    }


def _pictures(session: Session, rows: ColumnElement[bool]) -> list[_Picture]:
    query: Any = select(Image.pixel_sha256, Image.stored_sha256, func.coalesce(Image.group, Image.series))
    return [_Picture(*row) for row in session.execute(query.where(rows))]


def _looks(session: Session, rows: ColumnElement[bool]) -> dict[str, Look]:
    query = (
        select(Fingerprint.stored_sha256, Fingerprint.perceptual_hash, Fingerprint.mirrored_hash, Fingerprint.tile)
        .join(Image, Image.stored_sha256 == Fingerprint.stored_sha256)
        .where(rows)
        .distinct()
    )
    return {row[0]: Look(*row[1:]) for row in session.execute(query)}
