"""Which stored files a person may read: those that a row of their project names.

A key is a sha256, and one file may belong to several rows and projects, so a key alone proves nothing.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import NotFoundError
from app.services.identity import Identity
from models import (
    Artifact,
    Checkpoint,
    Classifier,
    Dataset,
    DatasetVersion,
    Explanation,
    ExplanationItem,
    Image,
    Job,
    SyntheticImage,
    SyntheticSet,
    UploadedImage,
)

PNG = "image/png"
WEIGHTS = "application/octet-stream"


def readable(session: Session, who: Identity, sha256: str) -> str:
    """The media type of the stored file `sha256`; NotFoundError unless a row of who's project names it."""
    for media_type, query in _owners(who.project_id, sha256):
        found = session.scalar(query.limit(1))
        if found is not None:
            return media_type or str(found)
    raise NotFoundError(
        f"There is no file {sha256[:12]}... here.", hint="It may have been deleted with what it belonged to."
    )


def _owners(project_id: int, key: str) -> list[tuple[str, Select[Any]]]:
    """(media type, or empty where the row says it; a query that finds a row), cheapest and most usual first."""
    images = select(Image.id).join(DatasetVersion).join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    synthetic = select(SyntheticImage.id).join(SyntheticSet)
    items = select(ExplanationItem.id).join(Explanation)
    artifacts = select(Artifact.media_type).join(Job)
    return [
        (PNG, images.where(_is(key, Image.thumbnail_sha256, Image.stored_sha256), Dataset.project_id == project_id)),
        (PNG, synthetic.where(SyntheticImage.stored_sha256 == key, SyntheticSet.project_id == project_id)),
        ("", artifacts.where(Artifact.sha256 == key, Job.project_id == project_id)),
        (PNG, items.where(_item(key), Explanation.project_id == project_id)),
        (PNG, select(UploadedImage.id).where(_uploaded(key), UploadedImage.project_id == project_id)),
        (WEIGHTS, select(Checkpoint.id).where(Checkpoint.sha256 == key, Checkpoint.project_id == project_id)),
        (WEIGHTS, select(Classifier.id).where(Classifier.sha256 == key, Classifier.project_id == project_id)),
    ]


def _is(key: str, *columns: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return or_(*(column == key for column in columns))


def _item(key: str) -> ColumnElement[bool]:
    return _is(key, ExplanationItem.picture_sha256, ExplanationItem.overlay_sha256, ExplanationItem.segments_sha256)


def _uploaded(key: str) -> ColumnElement[bool]:
    return _is(key, UploadedImage.thumbnail_sha256, UploadedImage.stored_sha256)
