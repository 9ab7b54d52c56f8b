"""Two arms on the same test images: the difference of their means over seeds, and McNemar's test of their predictions."""

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import binom

from workers.ml.metrics.arms import (
    ArmPredictions,
    Labels,
    Resampled,
    check_arm,
    describe,
    percent,
    resample,
    tested,
    units,
)
from workers.ml.metrics.classification import single_class
from workers.ml.metrics.intervals import Difference, symmetric_interval
from workers.ml.metrics.reports import FEW_GROUPS, Report, number
from workers.ml.metrics.resampling import group_indices
from workers.ml.metrics.weighted import METRICS

SAME = "The difference is the same in every resample: there is no spread to take an interval from."
DEPENDENT = "McNemar's p takes the images as independent, which images of one group (of one patient where known, copies and look-alikes) are not: use the p by group, which is adjusted."
BY_GROUP = "Chi-square with one degree of freedom of the groups' differences (Obuchowski 1998, in the form of Yang, Sun and Hardin 2010)."


def paired_difference(
    *,
    first: ArmPredictions,
    second: ArmPredictions,
    labels: Labels,
    groups: Labels | None,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> Report:
    """First minus second: each of METRICS as {value, low, high, p}, with a `reason` where one is null; and `method`.

    The arms may have different numbers of seeds. labels: (N,); groups: (N,) or None. Swapping the arms changes the sign
    of value, low and high, and not p. Raises ValueError for arrays that do not fit.
    """
    same_classes(first, second)
    found, other = (
        resample(arm=arm, labels=labels, groups=groups, num_bootstrap=num_bootstrap, seed=seed)
        for arm in (first, second)
    )
    about = describe(
        labels=labels, groups=groups, num_classes=first.probabilities.shape[2], num_bootstrap=num_bootstrap,
        confidence=confidence, seed=seed,
    )  # fmt: skip
    return difference_report(found, other, labels, about)


def difference_report(first: Resampled, second: Resampled, labels: Labels, about: Report) -> Report:
    """`paired_difference` of arms that are resampled already."""
    return {
        "method": _method(about),
        **{name: _entry(difference(first, second, name, confidence=about["confidence"]), labels) for name in METRICS},
    }


def difference(first: Resampled, second: Resampled, name: str, *, confidence: float) -> Difference:
    """Of one metric's means over seeds."""
    return symmetric_interval(
        value=float(np.mean(first.per_seed[name]) - np.mean(second.per_seed[name])),
        draws=first.draws[name] - second.draws[name],
        basis=first.basis[name],
        confidence=confidence,
    )


def _entry(found: Difference, labels: Labels) -> Report:
    figures = {name: number(getattr(found, name)) for name in ("value", "low", "high", "p")}
    if figures["value"] is None:
        return {**figures, "reason": single_class(labels)}
    if figures["low"] is None:
        return {**figures, "reason": SAME if found.same else FEW_GROUPS}
    return figures


def _method(about: Report) -> str:
    return (
        f"Difference of the means over seeds, first arm minus second; both are resampled alike, {about['num_bootstrap']} times "
        f"over {units(about)}. The {percent(about)} interval goes as far up as down; p is the share of resamples, with the data "
        "themselves counted as one, that lie as far from the difference as 0 does, (1 + count) / (resamples + 1), two-sided. "
        f"It covers which {tested(about)} were tested, not other seeds."
    )


def mcnemar(*, first: ArmPredictions, second: ArmPredictions, labels: Labels, groups: Labels | None) -> Report:
    """Whether two arms are right on different images, by the class of highest mean probability over each arm's seeds.

    Keys: both_right, first_only, second_only, both_wrong: images; p: exact and two-sided (binomial); p_mid: its mid-p
    (Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91); method; with groups also `note` and by_group:
    {statistic, p, method} adjusted for images of one group, null with a `reason`. Raises ValueError for arrays that do not fit.
    """
    same_classes(first, second)
    right, other = _right(first, labels), _right(second, labels)
    first_only, second_only = int((right & ~other).sum()), int((other & ~right).sum())
    report: Report = {
        "both_right": int((right & other).sum()),
        "first_only": first_only,
        "second_only": second_only,
        "both_wrong": int((~right & ~other).sum()),
        **_binomial(first_only, second_only),
        "method": "McNemar's exact test and its mid-p, two-sided, of the classes of highest mean probability over seeds.",
    }
    if groups is None:
        return {**report, "by_group": None}
    return {
        **report,
        "note": DEPENDENT,
        "by_group": _by_group(right, other, group_indices(groups, num_images=len(labels))),
    }


def _right(arm: ArmPredictions, labels: Labels) -> NDArray[np.bool_]:
    check_arm(arm, labels)
    return np.asarray(arm.probabilities.mean(axis=0).argmax(axis=1) == labels)


def _binomial(one: int, other: int) -> dict[str, float]:
    """Of `one` against `other`, which are equally likely under the null; without any, both p are 1."""
    if one == other:
        point = float(binom.pmf(one, one + other, 0.5)) if one else 0.0
        return {"p": 1.0, "p_mid": 1 - point / 2}
    fewer = min(one, other)
    exact = float(2 * binom.cdf(fewer, one + other, 0.5))
    return {"p": min(exact, 1.0), "p_mid": exact - float(binom.pmf(fewer, one + other, 0.5))}


def _by_group(right: NDArray[np.bool_], other: NDArray[np.bool_], indices: Labels) -> Report:
    """(G - 1) / G (sum of d)^2 / (sum of d^2) of the groups' surplus d of images that only one arm has right."""
    surplus = np.bincount(indices, right.astype(np.float64) - other)
    num_groups, squares = len(surplus), float((surplus**2).sum())
    if num_groups < 2:
        return {"statistic": None, "p": None, "method": BY_GROUP, "reason": FEW_GROUPS}
    statistic = (num_groups - 1) / num_groups * float(surplus.sum()) ** 2 / squares if squares else 0.0
    return {"statistic": statistic, "p": float(special.chdtrc(1, statistic)), "method": BY_GROUP}


def same_classes(first: ArmPredictions, second: ArmPredictions) -> None:
    """Raises ValueError where two arms know different classes."""
    if first.probabilities.shape[1:] != second.probabilities.shape[1:]:
        raise ValueError(
            f"Probabilities of shapes {first.probabilities.shape} and {second.probabilities.shape} cannot be paired; give "
            "both arms' predictions of the same images and classes."
        )
