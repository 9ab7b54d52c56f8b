"""Points of ROC and reliability curves as SVG coordinates, with the words and tables that say the same.

The plot area is a square of SIDE units whose y axis points down, as SVG has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIDE = 100.0
SPECIFICITIES = (0.95, 0.9, 0.8)


@dataclass(frozen=True)
class Curve:
    """One class against the rest. path: SVG path data, empty where the class cannot be drawn.

    sensitivities: the share found at each of SPECIFICITIES, for the table.
    """

    name: str
    series: int
    path: str
    auroc: float | None
    sensitivities: list[float | None]


@dataclass(frozen=True)
class Roc:
    curves: list[Curve]
    specificities: tuple[float, ...]
    summary: str


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence; x, y, width, height and radius in plot units; None where the bin is empty."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Reliability:
    bins: list[Bin]
    path: str
    summary: str


def roc(entries: Sequence[dict[str, Any]], classes: Sequence[str]) -> Roc:
    """entries: [{label, points: [[false positive rate, true positive rate]], auroc}] of an evaluation's report."""
    curves = [_curve(entry, classes[entry["label"]], number) for number, entry in enumerate(entries)]
    drawn = [curve for curve in curves if curve.auroc is not None]
    if not drawn:
        return Roc(curves, SPECIFICITIES, "No class has both positives and negatives, so there is no curve.")
    best, least = (pick(drawn, key=lambda curve: curve.auroc or 0) for pick in (max, min))
    summary = f"Area under the curve: best for {best.name} ({best.auroc:.3f})"
    return Roc(
        curves, SPECIFICITIES, summary + (f", least for {least.name} ({least.auroc:.3f})." if len(drawn) > 1 else ".")
    )


def _curve(entry: dict[str, Any], name: str, number: int) -> Curve:
    points: list[list[float]] = entry["points"]
    found = [_sensitivity_at(points, specificity) for specificity in SPECIFICITIES]
    return Curve(name, number % 8, _path(points), entry["auroc"], found)


def _sensitivity_at(points: list[list[float]], specificity: float) -> float | None:
    """The highest true positive rate whose false positive rate is within 1 - specificity."""
    within = [hits for false_alarms, hits in points if false_alarms <= 1 - specificity + 1e-9]
    return max(within) if within else None


def _path(points: list[list[float]]) -> str:
    return "".join(f"{'L' if i else 'M'}{SIDE * x:.2f} {SIDE * (1 - y):.2f}" for i, (x, y) in enumerate(points))


def reliability(entries: Sequence[dict[str, Any]]) -> Reliability:
    """entries: [{low, high, count, confidence, accuracy}] of an evaluation's report."""
    most = max((entry["count"] for entry in entries), default=0)
    bins = [_bin(entry, most) for entry in entries]
    filled = [part for part in bins if part.count]
    path = _path([[part.confidence or 0, part.accuracy or 0] for part in filled])
    return Reliability(bins, path, _reliability_summary(filled))


def _bin(entry: dict[str, Any], most: int) -> Bin:
    share = entry["count"] / most if most else 0
    x, y = SIDE * (entry["confidence"] or 0), SIDE * (1 - (entry["accuracy"] or 0))
    return Bin(**entry, x=round(x, 2), y=round(y, 2), radius=round(1.2 + 2.8 * share**0.5, 2))


def _reliability_summary(filled: list[Bin]) -> str:
    total = sum(part.count for part in filled)
    if not total:
        return "There are no predictions."
    gap = sum(part.count * ((part.confidence or 0) - (part.accuracy or 0)) for part in filled) / total
    if abs(gap) < 0.02:
        return "Stated confidence and share of right answers agree within 2 points on average."
    return f"On average the classifier is {'over' if gap > 0 else 'under'}confident by {100 * abs(gap):.0f} points."
