"""The area under the ROC with DeLong's standard error, for several classes, seeds and images a patient.

An area is the mean over pairs of a positive and a negative image of whether they are in right order. Each image's share
of right pairs (its structural component) tells how the area would move without it, and the spread of these gives the
variance (DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595), here by midranks (Sun and Xu 2014,
doi:10.1109/LSP.2014.2337313). Where a patient has several images, their components are summed first (Obuchowski 1997, doi:10.2307/2533958).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import rankdata

from workers.ml.metrics.arms import ArmPredictions, Labels, check_arm
from workers.ml.metrics.classification import single_class
from workers.ml.metrics.intervals import TINY, bases
from workers.ml.metrics.reports import Report
from workers.ml.metrics.resampling import group_indices

Floats = NDArray[np.float64]
NO_VARIANCE = "All images carry the area alike: DeLong's variance is 0 and gives no interval. The score interval of the area has one."
NEAR = 0.99
NEAR_1 = "An area so near 1 rests on few wrong pairs: with few groups its intervals are too narrow (docs/science/statistics.md)."
SCARCE = "A class has test images of one group only: the variance cannot be told."


def delong(*, arm: ArmPredictions, labels: Labels, groups: Labels | None, confidence: float) -> Report:
    """The macro one-vs-rest area: {value, standard_error, low, high, method}, null with a `reason` where undefined.

    labels: (N,); groups: (N,) or None. The mean over seeds and over the classes that occur; the interval is symmetric on
    the logit scale, so that it stays within 0 and 1, with Student's quantile for the groups of each class. A `note` stands
    beside an area near 1. Raises ValueError for arrays that do not fit.
    """
    check_arm(arm, labels)
    value, components = _area(arm, labels)
    if np.isnan(value):
        return _undefined(single_class(labels))
    indices = group_indices(groups, num_images=len(labels))
    error = _standard_error(components, labels, indices)
    figures: Report = {"value": value, "standard_error": None if np.isnan(error) else error, "low": None, "high": None}
    if np.isnan(error) or error < TINY:
        return {**figures, "method": _method(groups, confidence), "reason": SCARCE if np.isnan(error) else NO_VARIANCE}
    num_classes = arm.probabilities.shape[2]
    degrees = bases(labels=labels, predicted=labels, indices=indices, num_classes=num_classes)["auroc"].degrees
    quantile = float(special.stdtrit(degrees, 0.5 + confidence / 2))
    centre, reach = special.logit(value), quantile * error / (value * (1 - value))
    bounds = {"low": float(special.expit(centre - reach)), "high": float(special.expit(centre + reach))}
    note = {"note": NEAR_1} if value > NEAR else {}
    return {**figures, **bounds, **note, "method": _method(groups, confidence)}


def delong_difference(
    *, first: ArmPredictions, second: ArmPredictions, labels: Labels, groups: Labels | None, confidence: float
) -> Report:
    """First minus second on the same images: {value, standard_error, low, high, p, method}, null with a `reason`.

    p is two-sided, from the normal distribution; the interval is on the area's own scale. Raises ValueError as `delong`.
    """
    for arm in (first, second):
        check_arm(arm, labels)
    (value, components), (other, others) = _area(first, labels), _area(second, labels)
    if np.isnan(value) or np.isnan(other):
        return {**_undefined(single_class(labels)), "p": None}
    difference = value - other
    error = _standard_error(components - others, labels, group_indices(groups, num_images=len(labels)))
    figures: Report = {"value": difference, "standard_error": None if np.isnan(error) else error}
    method = _method(groups, confidence)
    if np.isnan(error) or error < TINY:
        p = 1.0 if error < TINY and abs(difference) < TINY else None
        reason = SCARCE if np.isnan(error) else "The difference has no variance: every pair moves both areas alike."
        return {**figures, "low": None, "high": None, "p": p, "method": method, "reason": reason}
    reach = float(special.ndtri(0.5 + confidence / 2)) * error
    p = float(2 * special.ndtr(-abs(difference) / error))
    return {
        **figures, "low": max(difference - reach, -1.0), "high": min(difference + reach, 1.0), "p": p, "method": method,
    }  # fmt: skip


def _undefined(reason: str) -> Report:
    return {**dict.fromkeys(("value", "standard_error", "low", "high", "method")), "reason": reason}


def _method(groups: Labels | None, confidence: float) -> str:
    unit = (
        "images taken as independent"
        if groups is None
        else "images of one group (of one patient where known, copies and look-alikes) summed (Obuchowski 1997)"
    )
    what = "images" if groups is None else "groups"
    return (
        f"Area under the ROC, each class against the rest, mean over classes and seeds; {100 * confidence:.4g} % interval from DeLong's "
        f"variance (1988), {unit}; it covers which {what} were tested, not other seeds."
    )


def _area(arm: ArmPredictions, labels: Labels) -> tuple[float, Floats]:
    """The macro area, NaN where one class has all images, and (N,) by how much each image carries it.

    The components of a class's images, summed over positives or over negatives, give its area.
    """
    classes = [k for k in range(arm.probabilities.shape[2]) if 0 < (labels == k).sum() < len(labels)]
    if not classes:
        return np.nan, np.zeros(len(labels))
    areas, carried = [], np.zeros(len(labels))
    for probabilities in arm.probabilities:
        for k in classes:
            positive = labels == k
            components = structural_components(probabilities[:, k], positive)
            areas.append(components[positive].mean())
            carried += components / np.where(positive, positive.sum(), (~positive).sum())
    return float(np.mean(areas)), carried / len(areas)


def structural_components(scores: Floats, positive: NDArray[np.bool_]) -> Floats:
    """(N,) for a positive the share of negatives below it, for a negative that of positives above; ties count half.

    O(N log N): the rank among all less the rank among one's own counts the others below (Sun and Xu 2014).
    """
    ranks = rankdata(scores)
    components = np.empty(len(scores))
    components[positive] = (ranks[positive] - rankdata(scores[positive])) / (~positive).sum()
    components[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / positive.sum()
    return components


def _standard_error(carried: Floats, labels: Labels, indices: Labels) -> float:
    """Of what the images carry together; NaN where a class has images of fewer than two groups.

    carried: (N,). Classes are samples of their own: what a class's images carry is taken from its mean, summed over each
    group, and squared; groups with images of several classes add products. For two classes this is Obuchowski's S10 / m
    + S01 / n + 2 S11 / mn, and with one image a group DeLong's S10 / m + S01 / n.
    """
    present, strata = np.unique(labels, return_inverse=True)
    means = np.bincount(strata, carried) / np.bincount(strata)
    num_groups = int(indices.max()) + 1
    sums, held = np.zeros((num_groups, len(present))), np.zeros((num_groups, len(present)), dtype=bool)
    np.add.at(sums, (indices, strata), carried - means[strata])
    held[indices, strata] = True
    counts = held.sum(axis=0)
    if counts.min() < 2:
        return np.nan
    squares = (sums**2).sum(axis=0)
    products = (sums.sum(axis=1) ** 2).sum() - squares.sum()
    variance = (counts / (counts - 1) * squares).sum() + num_groups / (num_groups - 1) * products
    return float(np.sqrt(max(variance, 0.0)))
