"""What is counted of a version, in words for its card."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.services.datasets import leaks, openings
from app.services.datasets.summaries import Summary, summary
from models import DatasetVersion, Image, RefusedKind

MOST_CONVERSIONS = 8
LEFT_OUT = {
    RefusedKind.IGNORED: "ignored", RefusedKind.BROKEN: "unreadable", RefusedKind.DUPLICATE: "copies of images that are kept",
    RefusedKind.LEAKING: "leaks in every split", RefusedKind.EXCLUDED: "excluded by a change",
}  # fmt: skip
DEALT = {
    "folders": "as the upload brought them",
    "blocks": "contiguous runs of each class's file names",
    "units": "at random, patients and look-alikes together",
}


class Fact(NamedTuple):
    what: str
    words: str


def facts(session: Session, version: DatasetVersion) -> list[Fact]:
    counted = summary(session, version)
    return [
        Fact("Images", f"{version.num_images:,} of {_number(len(version.classes), 'class', 'classes')}"),
        Fact("Colour", "every image is grey" if version.channels == 1 else "at least one image has colour"),
        Fact("Width", _span(counted.widths)),
        Fact("Height", _span(counted.heights)),
        Fact("Colour modes of the files", _tally(counted.modes)),
        Fact("Bits of the files", _tally({f"{bits} bit": number for bits, number in counted.bit_depths.items()})),
        Fact("Conversion to 8 bit", conversions(session, version)),
        Fact("Splits", _splits(version)),
        Fact("Patients", _patients(session, version)),
        Fact("Identical pixels", _copies(counted)),
        Fact("Leaks between splits", _leaks(version)),
        Fact("Files left out", _left_out(counted)),
        Fact("Looks at the test images", _looks(session, version)),
        Fact("SHA-256 of the manifest", version.manifest_sha256),
    ]


def conversions(session: Session, version: DatasetVersion) -> str:
    """How the files' pixels became 8 bit, the most frequent ways first."""
    number = func.count()
    rows = session.execute(
        select(Image.conversion, number)
        .where(Image.version_id == version.id)
        .group_by(Image.conversion)
        .order_by(number.desc(), Image.conversion)
    ).all()
    common = [f"{words or 'none needed'} ({count:,})" for words, count in rows[:MOST_CONVERSIONS]]
    more = len(rows) - len(common)
    return "; ".join([*common, *([f"and {more:,} other ways"] if more else [])])


def _number(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _span(sides: tuple[int, int]) -> str:
    low, high = sides
    return f"{low} px" if low == high else f"{low} to {high} px"


def _tally(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{value} ({number:,})" for value, number in counts.items())


def _splits(version: DatasetVersion) -> str:
    """The layout is that of the last split of all images; what happened to single ones since then stands in the history."""
    dealt = split_in_words(version)
    if version.parent_number is None:
        return dealt
    when = "split anew" if version.layout.get("split_anew") else "at the import"
    return f"{when} {dealt}; since then see the history"


def split_in_words(version: DatasetVersion) -> str:
    """How all images were last dealt to the splits: at the import, or anew since then."""
    layout = version.layout
    by, percent = layout.get("split_by", ""), layout.get("percent")
    if by == "folders":
        return DEALT[by]
    shares = f", {percent['train']} / {percent['val']} / {percent['test']} %" if percent else ""
    return f"{DEALT.get(by, 'at random')}{shares}, seed {layout.get('seed', 0)}"


def _patients(session: Session, version: DatasetVersion) -> str:
    mine = Image.version_id == version.id
    known = session.scalar(select(func.count(Image.group.distinct())).where(mine)) or 0
    without = session.scalar(select(func.count()).where(mine, Image.group.is_(None))) or 0
    if not known:
        return "not known"
    return f"{known:,} known" + (f"; {_number(without, 'image', 'images')} without" if without else "")


def _copies(counted: Summary) -> str:
    number = counted.duplicates.images
    return f"{_number(number, 'image repeats', 'images repeat')} an earlier one" if number else "none"


def _leaks(version: DatasetVersion) -> str:
    return "not looked for" if version.leaks is None else leaks.in_words(version.leaks) or "none"


def _left_out(counted: Summary) -> str:
    parts = [f"{number:,} {LEFT_OUT[RefusedKind(kind)]}" for kind, number in counted.refused.items() if number]
    return ", ".join(parts) or "no file"


def _looks(session: Session, version: DatasetVersion) -> str:
    """Looks are counted over all versions of the dataset."""
    lock = openings.lock(session, version)
    return f"{_number(lock.num_openings, 'time', 'times')}; {'locked' if lock.is_locked else 'open'}"
