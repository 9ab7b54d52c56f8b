"""Points of ROC, reliability, deletion and insertion curves as SVG coordinates, with the words and tables that say the same.

The plot area is a square of SIDE units whose y axis points down, as SVG has it.
"""

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Step:
    """After so many regions: the share of the image's area, and the probability with it hidden and with it alone shown."""

    num_regions: int
    share: float
    deletion: float
    insertion: float


@dataclass(frozen=True)
class Faithfulness:
    """Deletion and insertion of one image, for the class called `name`."""

    name: str
    deletion_path: str
    insertion_path: str
    deletion_auc: float
    insertion_auc: float
    steps: list[Step]
    summary: str
    verdict: str


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


def faithfulness(found: Mapping[str, Any], name: str) -> Faithfulness:
    """found: {shares, deletion, insertion, deletion_auc, insertion_auc} of an explained image; name: of its class."""
    shares, deletion, insertion = found["shares"], found["deletion"], found["insertion"]
    return Faithfulness(
        name=name,
        deletion_path=_path([[x, y] for x, y in zip(shares, deletion, strict=True)]),
        insertion_path=_path([[x, y] for x, y in zip(shares, insertion, strict=True)]),
        deletion_auc=found["deletion_auc"],
        insertion_auc=found["insertion_auc"],
        steps=[Step(number, *values) for number, values in enumerate(zip(shares, deletion, insertion, strict=True))],
        summary=f"{_deletion_summary(shares, deletion, name)} {_insertion_summary(shares, insertion)}",
        verdict=_verdict(found["insertion_auc"] - found["deletion_auc"]),
    )


def _deletion_summary(shares: list[float], values: list[float], name: str) -> str:
    half = next((share for share, value in zip(shares, values, strict=True) if value < values[0] / 2), None)
    falls = (
        "it never falls below half"
        if half is None
        else f"it is below half once {100 * half:.0f} % of the image is hidden"
    )
    return (
        f"Hiding regions, those that speak most for {name} first, takes its probability from {values[0]:.2f} "
        f"to {values[-1]:.2f}; {falls}."
    )


def _insertion_summary(shares: list[float], values: list[float]) -> str:
    half = next(share for share, value in zip(shares, values, strict=True) if value >= values[-1] / 2)
    rises = f"once {100 * half:.0f} % of the image is shown" if half else "from the start"
    return f"Showing them in the same order takes it from {values[0]:.2f} to {values[-1]:.2f}; it has half of that {rises}."


def _verdict(gap: float) -> str:
    """In words, what the areas say: over random orders of the regions both are equal on average."""
    if gap <= 0:
        return "Insertion does not lie above deletion: regions in random order would do as well."
    return f"Insertion lies {gap:.2f} above deletion; with regions in random order they would be equal on average."
