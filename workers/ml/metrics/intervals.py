"""Intervals from resamples: score intervals for shares, symmetric ones for differences.

Percentiles of a bootstrap are too narrow where few groups are wrong, and have no width where none is. A score interval
(Wilson 1927) keeps the bootstrap's spread, which knows how images of one group resemble each other, and is never empty.
docs/science/statistics.md has the formulas and the measured coverage.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Counts = NDArray[np.int64] | Floats
TINY = 1e-12  # below this a spread or a difference is rounding


@dataclass(frozen=True)
class Basis:
    """What a figure rests on; the arrays have the shape of the figure.

    images, groups: how many of them, as counted by a share over all; a mean over classes counts as the share with its
    variance would. images is infinite for areas under the ROC, which compare pairs. degrees: of freedom that its spread
    is estimated with, 0 where a class has one group only.
    """

    images: Floats
    groups: Floats
    degrees: Floats


def bases(
    *, labels: NDArray[np.int64], predicted: NDArray[np.int64], indices: NDArray[np.int64], num_classes: int
) -> dict[str, Basis]:
    """The basis of each metric of `weighted.summary` by its name. labels, predicted, indices: (N,)."""
    truly = _counted(labels, indices, num_classes)
    claimed = _counted(predicted, indices, num_classes)
    others = _others(labels, indices, num_classes)
    whole = _basis(np.array(len(labels)), indices.max() + 1)
    scarcer = _basis(np.full(num_classes, np.inf), np.minimum(truly.groups, others.groups))
    macro = _mean_over_classes(truly)
    means = ("balanced_accuracy", "macro_precision", "macro_recall", "macro_f1")
    return {
        "accuracy": whole, "ece": whole, **dict.fromkeys(means, macro),
        "auroc": replace(macro, images=np.array(np.inf)),
        "class_precision": claimed, "class_recall": truly, "class_f1": truly, "class_specificity": others,
        "class_auroc": scarcer,
    }  # fmt: skip


def _basis(images: Counts, groups: Counts) -> Basis:
    counted = np.asarray(groups, dtype=np.float64)
    return Basis(np.asarray(images, dtype=np.float64), counted, np.maximum(counted - 1, 0))


def _counted(classes: NDArray[np.int64], indices: NDArray[np.int64], num_classes: int) -> Basis:
    """(K,) images of each class, and groups that hold any."""
    held = np.unique(np.stack([indices, classes]), axis=1)[1]
    return _basis(np.bincount(classes, minlength=num_classes), np.bincount(held, minlength=num_classes))


def _others(labels: NDArray[np.int64], indices: NDArray[np.int64], num_classes: int) -> Basis:
    """(K,) images of all classes but one, and groups that hold any."""
    rest = [labels != k for k in range(num_classes)]
    return _basis(np.array([chosen.sum() for chosen in rest]), np.array([len(set(indices[c])) for c in rest]))


def _mean_over_classes(classes: Basis) -> Basis:
    """A mean over K classes varies as a share of K^2 / (1/n_1 + ... + 1/n_K) images; degrees by Satterthwaite (1946)."""
    present = classes.images > 0
    images, groups, degrees = classes.images[present], classes.groups[present], classes.degrees[present]
    count = int(present.sum())
    with np.errstate(divide="ignore"):
        freedom = (1 / groups).sum() ** 2 / (1 / (groups**2 * degrees)).sum()
    return Basis(
        np.asarray(count**2 / (1 / images).sum()), np.asarray(count**2 / (1 / groups).sum()), np.asarray(freedom)
    )


def score_interval(*, values: Floats, draws: Floats, basis: Basis, confidence: float) -> tuple[Floats, Floats]:
    """(low, high) of shares in [0, 1]: Wilson's interval for as many images as have the bootstrap's variance.

    values: (...), draws: (B, ...) of its resamples, NaN where undefined. Where the resamples show no spread, as of a value
    of 0 or 1, the groups count as the images. More images than there are never count. NaN where fewer than two groups, or
    resamples, tell of a spread.
    """
    return interval_of_variance(values=values, variance=_variance(draws), basis=basis, confidence=confidence)


def interval_of_variance(*, values: Floats, variance: Floats, basis: Basis, confidence: float) -> tuple[Floats, Floats]:
    """The same of shares (...) whose variance (...), as resamples would show it, is known."""
    share = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = variance * basis.groups / (basis.groups - 1)
        spread = (variance > TINY**2) & (share * (1 - share) > TINY)
        count = np.where(spread, share * (1 - share) / np.where(spread, variance, 1.0), basis.groups)
        count = np.minimum(count, basis.images)
        reach = special.stdtrit(basis.degrees, 0.5 + confidence / 2) ** 2 / count
        centre = (share + reach / 2) / (1 + reach)
        half = np.sqrt(reach * share * (1 - share) + reach**2 / 4) / (1 + reach)
    known = (basis.degrees > 0) & np.isfinite(variance) & np.isfinite(half)
    low, high = np.minimum(centre - half, share), np.maximum(centre + half, share)
    return np.where(known, np.maximum(low, 0.0), np.nan), np.where(known, np.minimum(high, 1.0), np.nan)


def _variance(draws: Floats) -> Floats:
    """(...) variance of the defined draws (B, ...); NaN for fewer than two."""
    defined = ~np.isnan(draws)
    count = defined.sum(axis=0)
    filled = np.where(defined, draws, 0.0)
    deviations = np.where(defined, draws - filled.sum(axis=0) / np.maximum(count, 1), 0.0)
    variance = (deviations**2).sum(axis=0) / np.maximum(count - 1, 1)
    return np.where(count > 1, variance, np.nan)


@dataclass(frozen=True)
class Difference:
    """value with low, high and p; these are NaN where resamples show no spread. same: equal in every resample."""

    value: float
    low: float
    high: float
    p: float
    same: bool


def symmetric_interval(*, value: float, draws: Floats, basis: Basis, confidence: float) -> Difference:
    """A difference with the interval in which `confidence` of its resamples lie, as far up as down, and its p-value.

    draws: (B,) differences of the resamples. Their distance from the value is widened from the normal to Student's
    quantile and by G / (G - 1), for the number of groups; p is the share of resamples, the data's own included, that
    lie as far from the value as 0 does (Hall 1988; Davison and Hinkley 1997, chapter 4). So p < 1 - confidence
    just where the interval excludes 0.
    """
    defined = draws[~np.isnan(draws)]
    if np.isnan(value) or basis.degrees <= 0 or len(defined) < 2:
        return Difference(value, np.nan, np.nan, np.nan, same=False)
    if np.ptp(defined) < TINY:
        return Difference(value, np.nan, np.nan, 1.0 if abs(value) < TINY else np.nan, same=True)
    tail = 0.5 + confidence / 2
    wider = np.sqrt(basis.groups / (basis.groups - 1)) * special.stdtrit(basis.degrees, tail) / special.ndtri(tail)
    far = wider * np.abs(defined - value)
    reach = _reach(far, confidence)
    p = (1 + int((far >= abs(value) - TINY).sum())) / (len(far) + 1)
    return Difference(value, max(value - reach, -1.0), min(value + reach, 1.0), p, same=False)


def _reach(far: Floats, confidence: float) -> float:
    """How far from its value a difference's interval goes: 0 is beyond it just where p < 1 - confidence."""
    beyond = int(np.ceil((1 - confidence) * (len(far) + 1) - TINY)) - 2  # so many resamples may lie as far as 0
    return float(np.sort(far)[::-1][beyond]) if beyond >= 0 else np.inf


def check_settings(*, num_bootstrap: int, confidence: float) -> None:
    """Raises ValueError for settings that give no interval."""
    if num_bootstrap < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"{num_bootstrap} resamples at confidence {confidence} give no interval; use e.g. 2000 and 0.95."
        )
