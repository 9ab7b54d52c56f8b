"""Guesses what the columns of a table are: the class, the split, what could name patients. A person may say otherwise."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.layouts.listing import EXAMPLES, Listing
from app.core.layouts.naming import plain
from models import Split

LABEL_NAMES = (
    "class_name", "label_name", "label", "class", "diagnosis", "dx", "target", "category", "finding", "labels",
    "finding_labels", "findings", "pathology",
)  # fmt: skip
SPLIT_NAMES = ("split", "set", "subset", "partition", "dataset_split", "fold")
SPLITS = {
    "train": Split.TRAIN, "training": Split.TRAIN,
    "val": Split.VAL, "valid": Split.VAL, "validation": Split.VAL,
    "test": Split.TEST, "testing": Split.TEST,
}  # fmt: skip
MAX_CLASSES = 1000
MAX_GUESSED_CLASSES = 100
MAX_GUESSED_NUMBERS = 20  # more different numbers are a measurement, not a class
ONES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
PATIENT_PARTS = ("patient", "subject", "person", "participant", "lesion")
PATIENT_WORDS = frozenset({"case", "pid", "mrn"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
IMAGES_A_GROUP = (
    20  # a column `..._id` with more rows for each value is a scanner's or a site's rather than a patient's
)


class Column(NamedTuple):
    """A column for people. num_values: different ones; role: file, label, split or empty."""

    name: str
    num_values: int
    examples: list[str]
    may_be_groups: bool
    role: str


@dataclass(frozen=True)
class Labels:
    """Where a table says the class: in a column, or in several of which one is 1. is_sure: its name says so."""

    column: str = ""
    one_hot: tuple[str, ...] = ()
    is_sure: bool = False

    def __bool__(self) -> bool:
        return bool(self.column or self.one_hot)


def split_of(text: str) -> Split | None:
    return SPLITS.get(text.strip().casefold())


def describe(listing: Listing) -> list[Column]:
    """All columns with the number of their values and three examples."""
    return [_describe(listing, name) for name in listing.columns]


def without_examples(plan: dict[str, Any]) -> dict[str, Any]:
    """A stored plan without what cells of the table say: all that may be kept once the upload is over."""
    return plan | {"columns": [column | {"examples": []} for column in plan.get("columns", [])]}


def guess_labels(listing: Listing) -> Labels:
    """The column of a telling name, else columns of which one is 1 in each row, else the only one it could be."""
    usable = {name: listing.distinct(name) for name in listing.columns if not listing.role(name)}
    usable = {name: values for name, values in usable.items() if 0 < len(values) <= _most_classes(listing)}
    named = [name for name in usable if plain(name) in LABEL_NAMES]
    if named:
        return Labels(min(named, key=lambda name: LABEL_NAMES.index(plain(name))), is_sure=True)
    if one_hot := _one_hot(listing):
        return Labels(one_hot=one_hot, is_sure=True)
    possible = [
        name for name, values in usable.items() if _could_be_classes(values) and not may_be_groups(listing, name)
    ]
    return Labels(possible[0]) if len(possible) == 1 else Labels()


def guess_split(listing: Listing) -> tuple[str, str]:
    """The column that puts every image into a split, and a warning if one does so with some values only."""
    for name in (name for name in listing.columns if plain(name) in SPLIT_NAMES):
        values = listing.distinct(name)
        strange = [value for value in values if split_of(value) is None]
        if values and not strange and all(listing.values(name).values()):
            return name, ""
        if len(strange) < len(values):
            what = f"has values such as {strange[0]}" if strange else "is empty for some images"
            return "", f"The column {name} {what}; it is not used, since only train, val and test are splits."
    return "", ""


def may_be_groups(listing: Listing, name: str) -> bool:
    """Whether the column could name patients: by its name, and since it has several values, some of them again."""
    words = {word.lower() for word in _WORD.findall(name)}
    number, rows = len(listing.distinct(name)), listing.num_rows
    if listing.role(name) or not 1 < number < rows:
        return False
    if any(part in name.lower() for part in PATIENT_PARTS) or words & PATIENT_WORDS:
        return True
    return "id" in words and number * IMAGES_A_GROUP >= rows


def labels_of(listing: Listing) -> dict[str, list[str]]:
    """{image: the classes that its rows name}, each once and none empty; in a good table just one."""
    if not listing.one_hot:
        return listing.all_values(listing.column(listing.label_column))
    columns = [listing.column(name) for name in listing.one_hot]
    return listing.all_values(
        [
            next(name for name, one in zip(listing.one_hot, row, strict=True) if ONES[one.strip()])
            for row in zip(*columns, strict=True)
        ]
    )


def _most_classes(listing: Listing) -> int:
    return min(MAX_CLASSES, max(10, len(listing.rows) // 2))


def _one_hot(listing: Listing) -> tuple[str, ...]:
    """The columns of 0 and 1, if they are two or more and exactly one of them is 1 in every row."""
    binary = [
        name for name in listing.columns
        if not listing.role(name) and {cell.strip() for cell in set(listing.column(name))} <= ONES.keys()
    ]  # fmt: skip
    rows = zip(*(listing.column(name) for name in binary), strict=True)
    return (
        tuple(binary) if len(binary) > 1 and all(sum(ONES[cell.strip()] for cell in row) == 1 for row in rows) else ()
    )


def _could_be_classes(values: Sequence[str]) -> bool:
    most = MAX_GUESSED_NUMBERS if all(value.replace(".", "", 1).isdigit() for value in values) else MAX_GUESSED_CLASSES
    return 2 <= len(values) <= most


def _describe(listing: Listing, name: str) -> Column:
    values = listing.distinct(name)
    return Column(name, len(values), values[:EXAMPLES], may_be_groups(listing, name), listing.role(name))
