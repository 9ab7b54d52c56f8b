"""What stands on both sides of a split: patients, identical pictures and look-alikes."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, distinct, func, select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from models import DatasetVersion, Image

COLUMN_OF: dict[str, Any] = {
    "patients": func.coalesce(Image.group, Image.series), "identical": Image.pixel_sha256, "near": Image.cluster,
}  # fmt: skip
NOUN_OF = {  # one of them, and several
    "patients": ("patient", "patients"), "identical": ("identical picture", "identical pictures"),
    "near": ("group of look-alikes", "groups of look-alikes"),
}  # fmt: skip


class Leak(NamedTuple):
    """One patient or picture whose images stand in several splits."""

    kind: str
    key: str
    images: list[Image]


def found(session: Session, version: DatasetVersion, *, kind: str | None = None, limit: int = 100) -> list[Leak]:
    """The leaks of a version, by kind; every one with its images."""
    kinds = [kind] if kind is not None else list(COLUMN_OF)
    return [leak for each in kinds for leak in _of_kind(session, version, each, limit)]


def _of_kind(session: Session, version: DatasetVersion, kind: str, limit: int) -> list[Leak]:
    column = COLUMN_OF[kind]
    mine: ColumnElement[bool] = Image.version_id == version.id
    torn = (
        select(column)
        .where(mine, column.is_not(None))
        .group_by(column)
        .having(func.count(distinct(Image.split)) > 1)
        .order_by(column)
        .limit(limit)
    )
    leaks = []
    for key in session.scalars(torn).all():
        images = session.scalars(select(Image).where(mine, column == key).order_by(Image.split, Image.id))
        leaks.append(Leak(kind, str(key), list(images)))
    return leaks


def in_words(leaks: dict[str, int] | None) -> str:
    """ "3 patients and 12 identical pictures"; empty if there are none."""
    counted = [(kind, number) for kind, number in (leaks or {}).items() if number and kind in NOUN_OF]
    parts = [f"{number:,} {NOUN_OF[kind][number > 1]}" for kind, number in counted]
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def seen_in_words(seen: dict[str, int] | None) -> str:
    """ "12 identical pictures and the patients of 3": tested images that training had seen, by kind; empty for none."""
    seen = seen or {}
    parts = []
    if seen.get("near"):
        parts.append(f"the same picture as {seen['near']:,} ({seen.get('identical', 0):,} with identical pixels)")
    if seen.get("patients"):
        parts.append(f"the patients of {seen['patients']:,}")
    return " and ".join(parts)


def memory_in_words(seen: dict[str, int] | None) -> str:
    """What a figure of these images must be read with; empty where training had seen none of them."""
    words = seen_in_words(seen)
    return f"Training had seen {words} of these images: the figures measure memory, too." if words else ""


def need_no_leaks(session: Session, version: DatasetVersion, *, accepted: bool) -> None:
    """ConflictError, with the list and the way out, if a figure on this version's test images would measure memory."""
    words = in_words(version.leaks)
    if not words or accepted:
        return
    raise ConflictError(
        f"Version {version.number} of dataset {version.dataset.name!r} leaks: in several splits stand {words}, so that a "
        "test would measure memory.",
        hint=f"Mend it with one click on /datasets/{version.dataset_id}/leaks, which makes a new version; or set accept_leaks, "
        "and every figure made from it is marked.",
        errors=[
            {
                "pointer": f"/{leak.kind}",
                "detail": ", ".join(f"{image.path} ({image.split})" for image in leak.images[:4]),
            }
            for leak in found(session, version, limit=5)
        ],
    )
