"""Figures of two reports side by side: every number by its place, to the last digit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# What a report says of the measurement beside its figures, numbers of rows, and curves that are drawn of the same predictions.
NO_FIGURES = frozenset({
    "seeds", "seed", "label", "num_bootstrap", "confidence", "num_images", "num_classes", "num_groups", "reliability", "roc",
    "settings", "extractor", "level", "max_auc", "timestep", "suspected_leaks", "image_id", "items",
})  # fmt: skip
NAMED_BY = ("what", "label", "timestep", "strength", "alteration", "place", "taken_for")  # entries of a list


@dataclass(frozen=True)
class Figure:
    """name: its place in the report, such as mean.balanced_accuracy.low. A number, or the state of a light. None: that study has
    no such figure."""

    name: str
    a: float | str | None
    b: float | str | None

    @property
    def is_equal(self) -> bool:
        return self.a == self.b

    @property
    def is_share(self) -> bool:
        """Between -1 and 1, as accuracies, p-values and their differences are: no count, no test statistic, no size."""
        counts = isinstance(self.a, int) or isinstance(self.b, int)
        return not (counts or self.name.endswith(".statistic") or self.name.startswith("saturation."))

    @property
    def difference(self) -> float | None:
        """b minus a, of numbers."""
        if isinstance(self.a, str | None) or isinstance(self.b, str | None):
            return None
        return self.b - self.a


def paired(a: Any, b: Any) -> list[Figure]:
    """Every figure that at least one of two reports has."""
    mine, theirs = dict(_numbers(a, "")), dict(_numbers(b, ""))
    return [Figure(name, mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]


def _numbers(report: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(report, Mapping):
        for name, part in report.items():
            if name not in NO_FIGURES:
                yield from _numbers(part, f"{place}.{name}" if place else name)
    elif isinstance(report, list):
        for number, part in enumerate(report):
            yield from _numbers(part, f"{place}.{_name(part, number)}")
    elif isinstance(report, int | float) and not isinstance(report, bool):
        yield place, report


def _name(part: Any, number: int) -> str:
    """Of an entry of a list: what it is of, else its place."""
    if not isinstance(part, Mapping):
        return str(number)
    if "extractor" in part:
        return str(part["extractor"]["architecture"])
    return " ".join(str(part[name]) for name in NAMED_BY if part.get(name) is not None) or str(number)
