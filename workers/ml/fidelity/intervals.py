"""Intervals for figures of two sets of images, whose features are taken as given.

The plain bootstrap fails here: a resample holds images twice, and copies at distance zero pull every one of these
figures. So smooth figures (FID, KID, MS-SSIM) use the infinitesimal jackknife, which asks how far each image moves the
figure, and those of nearest neighbours use halves drawn without replacement. Both take groups (patients) as wholes.
An interval is for the figure that such sets of this size have on average; it does not correct FID's bias in n.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from workers.ml.metrics.resampling import group_indices

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Estimate(NamedTuple):
    """A figure and its standard error; NaN where there is no spread to take it from."""

    value: float
    standard_error: float


class Interval(NamedTuple):
    """low <= figure <= high; NaN where there is none."""

    low: float
    high: float


def influence_variance(*, influences: Floats, groups: Indices | None) -> float:
    """Variance that one set brings to a figure (infinitesimal jackknife; Efron 1982, chapter 6).

    influences: (N,) derivative of the figure with respect to each image's share of its set. groups: (N,) integers,
    equal for images that belong together, or None. NaN if there are fewer than two groups.
    """
    indices = group_indices(groups, num_images=len(influences))
    num_groups = int(indices.max()) + 1
    if num_groups < 2:
        return math.nan
    sums = np.bincount(indices, weights=influences - influences.mean()) / len(influences)  # (G,), they sum to 0
    return float(np.square(sums).sum() * num_groups / (num_groups - 1))


def halves(*, groups: Indices | None, num_images: int, seed: int) -> Iterator[Indices]:
    """Places of the images of one half of the groups, drawn anew each time, without end.

    groups: (N,) integers or None. The spread of a mean over such halves equals its standard error in the whole set
    (the delete-d jackknife of Shao and Wu 1989, with d half of the set). An odd group is drawn every other time.
    """
    indices = group_indices(groups, num_images=num_images)
    num_groups = int(indices.max()) + 1
    rng = np.random.default_rng(seed)
    while True:
        half = (num_groups + int(rng.integers(0, 2)) * (num_groups % 2)) // 2
        chosen = np.zeros(num_groups, dtype=bool)
        chosen[rng.permutation(num_groups)[:half]] = True
        yield np.flatnonzero(chosen[indices])


def normal_interval(*, estimate: Estimate, confidence: float, lowest: float) -> Interval:
    """value +- z standard errors, cut at `lowest` (-inf for none); NaN where there is no spread."""
    z = float(norm.ppf(0.5 + confidence / 2))
    low, high = (estimate.value + sign * z * estimate.standard_error for sign in (-1, 1))
    return Interval(max(low, lowest), high)


def share_interval(*, estimate: Estimate, num_units: int, confidence: float) -> Interval:
    """Wilson's interval for a share in [0, 1], as if it were of so few independent units as explain its spread.

    num_units: groups that the share is counted over, the most that it can rest on. So a share of 0 or 1, which has
    no spread of its own, still gets an interval.
    """
    share, error = estimate
    if math.isnan(error):
        return Interval(math.nan, math.nan)
    effective = num_units if error == 0 else min(num_units, share * (1 - share) / error**2)
    if effective <= 0:  # a share of 0 or 1 that halves do change
        effective = min(num_units, 0.25 / error**2)
    z2 = float(norm.ppf(0.5 + confidence / 2)) ** 2
    middle = (share + z2 / (2 * effective)) / (1 + z2 / effective)
    reach = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * effective)) / effective) / (1 + z2 / effective)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def count_interval(*, estimate: Estimate, num_units: int, confidence: float) -> Interval:
    """Score interval for a mean count, whose variance grows with it: (count - x)^2 = z^2 h x, with h from the spread.

    num_units: groups that the count is a mean over; h is 1 / num_units at least, so that a count of 0 gets an interval.
    """
    count, error = estimate
    if math.isnan(error):
        return Interval(math.nan, math.nan)
    h = max(1 / num_units, error**2 / count if count else 0.0)
    z2 = float(norm.ppf(0.5 + confidence / 2)) ** 2
    middle, reach = count + z2 * h / 2, math.sqrt(z2 * h * count + (z2 * h / 2) ** 2)
    return Interval(max(0.0, middle - reach), middle + reach)
