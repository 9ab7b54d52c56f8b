"""Tests of figures of single images that hold for a handful of images: a study explains sixteen, not thousands.

Images of one patient resemble each other, so each group of images is one unit, with its mean; `groups` of None takes
every image for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXACT = 16  # units up to which all sign patterns are counted: 2^16
DRAWS = 20_000  # sign patterns drawn where there are more
SEED = 0
Values = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class Tested:
    """The mean over images, with Student's interval over units and a p-value. No interval: the units do not differ; no p: there is one only."""

    mean: float
    low: float | None
    high: float | None
    p: float | None
    num_images: int
    num_units: int


def unit_means(values: Values, groups: Groups | None) -> Values:
    """(G,) the mean of each group."""
    if groups is None:
        return values
    index = np.unique(groups, return_inverse=True)[1]
    return np.asarray(np.bincount(index, weights=values) / np.bincount(index), dtype=np.float64)


def flip_signs(*, differences: Values, groups: Groups | None, confidence: float) -> Tested:
    """Is the mean of paired differences 0? Two-sided, by flipping signs (Fisher 1935, The Design of Experiments, section 21).

    If neither arm were different, each unit's difference would as likely have the other sign. p is the share of sign
    patterns whose mean lies as far from 0 as that of the data: of all 2^G for up to EXACT units, else of DRAWS drawn ones
    and the data's own. Raises ValueError without any difference.
    """
    units = unit_means(differences, groups)
    low, high = _interval(units, confidence)
    return Tested(float(units.mean()), low, high, _sign_flips(units), len(differences), len(units))


def above_zero(*, differences: Values, groups: Groups | None, confidence: float) -> Tested:
    """Is their mean above 0? One-sided, by Student's t: among eight images sign patterns alone could not tell once several
    places and classes are looked at. Differences that are all the same have p = 0 above 0, else 1. Raises ValueError without any."""
    from scipy.stats import t

    units = unit_means(differences, groups)
    low, high = _interval(units, confidence)
    mean = float(units.mean())
    if len(units) < 2:
        p = None
    elif low is None:
        p = 0.0 if mean > 0 else 1.0
    else:
        p = float(t.sf(mean / (units.std(ddof=1) / len(units) ** 0.5), len(units) - 1))
    return Tested(mean, low, high, p, len(differences), len(units))


def _interval(units: Values, confidence: float) -> tuple[float, float] | tuple[None, None]:
    from scipy.stats import t

    if len(units) == 0:
        raise ValueError("There is no difference to test; give one for each image.")
    if len(units) < 2 or np.ptp(units) == 0:
        return None, None
    half = float(t.ppf((1 + confidence) / 2, len(units) - 1) * units.std(ddof=1) / len(units) ** 0.5)
    mean = float(units.mean())
    return mean - half, mean + half


def _sign_flips(units: Values) -> float | None:
    if len(units) < 2:
        return None
    total = abs(float(units.sum())) * (1 - 1e-12)  # equal sums count, whatever the order of addition
    if len(units) <= EXACT:
        return float((np.abs(_all_sums(units)) >= total).mean())
    signs = np.random.default_rng(SEED).integers(0, 2, size=(DRAWS, len(units))) * 2 - 1
    return float((1 + (np.abs(signs @ units) >= total).sum()) / (1 + DRAWS))


def _all_sums(units: Values) -> Values:
    """(2^G,) the sum under every pattern of signs."""
    sums = np.zeros(1)
    for unit in units:
        sums = np.concatenate([sums + unit, sums - unit])
    return sums


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of those that were measured."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
