"""Lines of two studies side by side: a figure with its interval in both, their difference, and whether they are equal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.services.studies.figures import Figure


class Entry(NamedTuple):
    """A figure with its interval, or the state of a light, as one study has it."""

    value: float | str | None
    low: float | str | None = None
    high: float | str | None = None


@dataclass(frozen=True)
class Line:
    """difference: of the values; is_equal: of the intervals as well. is_same_job: one job made both. signed: written with + or -."""

    name: str
    a: Entry
    b: Entry
    difference: float | None
    is_equal: bool
    is_same_job: bool = False
    signed: bool = False


@dataclass(frozen=True)
class Block:
    """Lines under one heading."""

    name: str
    lines: list[Line]


def line(
    title: str, places: Sequence[str], figures: Mapping[str, Figure], *, is_same_job: bool = False, signed: bool = False
) -> Line:
    """places: of the value and, where it has an interval, of its bounds, in `figures`, where some may be missing."""
    found = [figures.get(place, Figure(place, None, None)) for place in places]
    a, b = Entry(*(each.a for each in found)), Entry(*(each.b for each in found))
    equal = all(each.is_equal for each in found)
    return Line(title, a, b, found[0].difference, equal, is_same_job, signed)


def interval(place: str) -> list[str]:
    """Where a report has a value and its bounds."""
    return [f"{place}.{part}" for part in ("value", "low", "high")]
