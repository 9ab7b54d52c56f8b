"""What a version is made of, counted by the database: sizes, modes, duplicates, refused files."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, distinct, func, select
from sqlalchemy.orm import Session

from models import DatasetVersion, Image, RefusedFile, RefusedKind


@dataclass(frozen=True)
class Duplicates:
    """Images with the pixels of an earlier one, the groups they form, and groups that span splits or classes."""

    images: int
    groups: int
    across_splits: int
    across_classes: int


@dataclass(frozen=True)
class Summary:
    """What a version is made of. widths, heights: (least, greatest); modes: of the files; refused: by kind."""

    num_images: int
    counts: dict[str, dict[str, int]]
    class_balance: dict[str, float]
    widths: tuple[int, int]
    heights: tuple[int, int]
    modes: dict[str, int]
    bit_depths: dict[int, int]
    duplicates: Duplicates
    refused: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        sizes = {"width": self.widths, "height": self.heights}
        return {
            "num_images": self.num_images,
            "counts": self.counts,
            "class_balance": self.class_balance,
            "sizes": {side: {"min": low, "max": high} for side, (low, high) in sizes.items()},
            "modes": self.modes,
            "bit_depths": {str(bits): number for bits, number in self.bit_depths.items()},
            "duplicates": vars(self.duplicates),
            "refused": self.refused,
        }


def summary(session: Session, version: DatasetVersion) -> Summary:
    """Counts, sizes, modes and duplicates of a version's images, counted by the database."""
    mine = Image.version_id == version.id
    sizes = session.execute(
        select(func.min(Image.width), func.max(Image.width), func.min(Image.height), func.max(Image.height)).where(mine)
    ).one()
    totals = {name: sum(splits.values()) for name, splits in version.counts.items()}
    kinds = _tally(session, RefusedFile.kind, RefusedFile.version_id == version.id)
    return Summary(
        num_images=version.num_images,
        counts=version.counts,
        class_balance={name: total / version.num_images for name, total in totals.items()},
        widths=(sizes[0], sizes[1]),
        heights=(sizes[2], sizes[3]),
        modes=_tally(session, Image.mode, mine),
        bit_depths=_tally(session, Image.bit_depth, mine),
        duplicates=_duplicates(session, mine),
        refused={str(kind): 0 for kind in RefusedKind} | kinds,
    )


def _tally(session: Session, column: Any, condition: ColumnElement[bool]) -> dict[Any, int]:
    rows = session.execute(
        select(column, func.count()).where(condition).group_by(column).order_by(func.count().desc(), column)
    )
    return {row[0]: row[1] for row in rows}


def _duplicates(session: Session, condition: ColumnElement[bool]) -> Duplicates:
    groups = session.execute(
        select(func.count(), func.count(distinct(Image.split)), func.count(distinct(Image.label)))
        .where(condition)
        .group_by(Image.pixel_sha256)
        .having(func.count() > 1)
    ).all()
    return Duplicates(
        images=sum(number - 1 for number, _, _ in groups),
        groups=len(groups),
        across_splits=sum(splits > 1 for _, splits, _ in groups),
        across_classes=sum(labels > 1 for _, _, labels in groups),
    )
