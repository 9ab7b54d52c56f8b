"""A few training images beside a few synthetic ones of each class, evenly picked. Test images never."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.services.studies.reporting.shown import SampleClass, Samples
from app.services.studies.reporting.values import Picture
from app.services.studies.reporting.words import number
from models import DatasetVersion, Image, Mark, Split, SyntheticImage, SyntheticSet

PER_CLASS, MOST_CLASSES = 8, 20


def samples(
    session: Session, version: DatasetVersion, drawn: SyntheticSet | None, *, real_images: bool
) -> Samples:  # fmt: skip
    if drawn is None:
        return Samples(
            missing="There is no synthetic set: none was drawn, it was deleted, or its sampling has not ended."
        )
    shown = list(enumerate(version.classes))[:MOST_CLASSES]
    classes = [
        SampleClass(
            name, _real(session, version, label) if real_images else [], _synthetic(session, drawn, label)
        )
        for label, name in shown
    ]  # fmt: skip
    return Samples(classes, _note(version, drawn, len(shown), real_images=real_images))


def _note(version: DatasetVersion, drawn: SyntheticSet, num_classes: int, *, real_images: bool) -> str:
    real = sum(version.counts[name].get(Split.TRAIN, 0) for name in version.classes)
    told = f"At most {PER_CLASS} of each class, evenly picked: of {number(drawn.num_images, 'synthetic image')}"
    told += f" and {number(real, 'training image')}." if real_images else "; real images are left out of this report."
    more = len(version.classes) - num_classes
    return told + (f" {number(more, 'further class is', 'further classes are')} not shown." if more else "")


def _real(session: Session, version: DatasetVersion, label: int) -> list[Picture]:
    mine = (Image.version_id == version.id, Image.split == Split.TRAIN, Image.label == label)
    rows = _evenly(session, Image, select(Image.id).where(*mine).order_by(Image.id))
    name, place = version.classes[label], f"/datasets/{version.dataset_id}"
    return [
        Picture(row.thumbnail_sha256, f"Training image {row.id}, {name}", f"real {row.id}", place, is_real=True)
        for row in rows
    ]


def _synthetic(session: Session, drawn: SyntheticSet, label: int) -> list[Picture]:
    mine = (
        SyntheticImage.set_id == drawn.id, SyntheticImage.label == label, SyntheticImage.mark != Mark.REJECTED,
    )  # fmt: skip
    rows = _evenly(session, SyntheticImage, select(SyntheticImage.id).where(*mine).order_by(SyntheticImage.id))
    name, place = drawn.classes[label], f"/synthetic-sets/{drawn.id}"
    return [
        Picture(
            row.stored_sha256, f"Synthetic image {row.index}, {name}", f"synthetic {row.index}", place, is_real=False
        )
        for row in rows
    ]


def _evenly(session: Session, table: type[Any], query: Select[Any]) -> Sequence[Any]:
    """At most PER_CLASS rows, by id, as far apart as they go."""
    ids = list(session.scalars(query))
    step = max(len(ids) / PER_CLASS, 1)
    chosen = [ids[int(step * place)] for place in range(min(PER_CLASS, len(ids)))]
    return session.scalars(select(table).where(table.id.in_(chosen)).order_by(table.id)).all()
