"""Which stored files the database names. A key of storage is a sha256, but not every sha256 in a table is a key."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import (
    Artifact,
    Checkpoint,
    Classifier,
    ExplanationItem,
    Image,
    SyntheticImage,
    UploadedImage,
)

KEYS: tuple[InstrumentedAttribute[str], ...] = (
    Image.stored_sha256, Image.thumbnail_sha256, UploadedImage.stored_sha256, UploadedImage.thumbnail_sha256,
    SyntheticImage.stored_sha256, Checkpoint.sha256, Classifier.sha256, Artifact.sha256,
    ExplanationItem.picture_sha256, ExplanationItem.segments_sha256, ExplanationItem.overlay_sha256,
)  # fmt: skip
AT_ONCE = 500  # keys in one query


def named(session: Session, keys: Collection[str]) -> set[str]:
    """Those of `keys` that a row names."""
    return {
        key
        for part in _parts(sorted(keys))
        for column in KEYS
        for key in session.scalars(select(column).where(column.in_(part)))
    }


def names_any(session: Session) -> bool:
    """Whether any row names a stored file."""
    return any(session.scalar(select(exists().where(column.is_not(None)))) for column in KEYS)


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE))
