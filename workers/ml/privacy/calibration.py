"""How near is too near: a threshold from the distances of held-out real images to the training images.

Of real images that nobody trained on a share `level` (one in a thousand) may be called a copy. A few hundred held-out images
have no such quantile, so their lower tail is continued: near zero, nearest-neighbour distances follow a power of the
distance (Levina and Bickel 2004, the rule behind intrinsic dimensions), so the logarithms that are used here have an
exponential tail. Its scale is estimated from the nearest fifth, and the threshold is the predictive quantile, which is
the further out the fewer images there are.

Held-out images that are copies of training images themselves, leaks that nobody has noticed, must not move the
threshold: the nearest 2 % only count as "beyond", however near they are (censoring), and what then lies beyond the threshold is
left out of a new fit, until nothing does.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workers.ml.privacy.neighbours import Flags, Floats, Indices, Neighbours
from workers.ml.seeding import numpy_generator

MIN_HELD_OUT = 20
MIN_TAIL = 10
TAIL_SHARE = 0.2
CENSORED_SHARE = 0.02
MAX_LEFT_OUT = 0.05  # of the held-out images; beyond that they are no longer exceptions
LEAST_SCALE = 0.01  # of a view, a logarithm: differences of a hundredth are none
MAD_TO_STD = 1.4826  # of a normal distribution
NUM_FOLDS = 5


class TooFewHeldOutError(ValueError):
    """There are too few real images that nobody trained on to say what is near."""


@dataclass(frozen=True)
class Calibration:
    """centres, scales: (V,) median and robust deviation of each view over `num_held_out` images.

    threshold: statistics below it are copies; low, high: its 95 % interval from the estimated tail. num_tail: images in the
    tail, of which num_censored count only as beyond; num_left_out of num_held_out lay beyond the threshold and were left out.
    """

    level: float
    centres: Floats
    scales: Floats
    threshold: float
    low: float
    high: float
    num_tail: int
    num_censored: int
    num_held_out: int
    num_left_out: int


def calibrate(*, held_out: Neighbours, level: float) -> Calibration:
    """Fit centres, scales and the threshold to real images that nobody trained on; blank ones do not count.

    level: expected share of such images beyond the threshold, from above 0 to 0.05. Raises TooFewHeldOutError below MIN_HELD_OUT.
    """
    if not 0 < level <= 0.05:
        raise ValueError(f"level is {level}; expected a share above 0 and at most 0.05, such as 0.001.")
    views = held_out.views[~held_out.is_blank]
    if len(views) < MIN_HELD_OUT:
        raise TooFewHeldOutError(
            f"Only {len(views)} held-out real images can be compared; at least {MIN_HELD_OUT} are needed to say which "
            "distance is too small. Hold more images out."
        )
    centres = np.median(views, axis=0)
    scales = np.maximum(MAD_TO_STD * np.median(np.abs(views - centres), axis=0), LEAST_SCALE)
    values = np.sort(((views - centres) / scales).min(axis=1))
    kept, tail = values, _tail(values, level)
    while (kept[0] < tail.threshold) and len(values) - len(kept) < MAX_LEFT_OUT * len(values):
        kept = kept[kept >= tail.threshold]
        tail = _tail(kept, level)
    return Calibration(level, centres, scales, *tail, num_held_out=len(values), num_left_out=len(values) - len(kept))


class _Tail(NamedTuple):
    threshold: float
    low: float
    high: float
    num_tail: int
    num_censored: int


def _tail(values: Floats, level: float) -> _Tail:
    """The threshold of (n,) values, ascending."""
    from scipy.stats import chi2

    num = len(values)
    tail = min(max(MIN_TAIL, math.ceil(TAIL_SHARE * num)), num - 1)
    censored = math.ceil(CENSORED_SHARE * num)
    seen = tail - censored
    start = values[tail]
    excesses = start - values[censored:tail]  # of an exponential distribution, the largest ones censored
    scale = max(float(excesses.sum() + censored * excesses[0]) / seen, LEAST_SCALE)
    times = tail / num / level
    # Integrated over what the scale may be (a gamma distribution of shape `seen`), an exponential tail is a Pareto tail.
    threshold = start - scale * seen * (times ** (1 / seen) - 1)
    bounds = 2 * seen * scale / chi2.ppf([0.025, 0.975], 2 * seen) * math.log(times)
    return _Tail(float(threshold), float(start - bounds[0]), float(start - bounds[1]), tail, censored)


def statistic(*, calibration: Calibration, neighbours: Neighbours) -> Floats:
    """(N,) the most suspicious view, in robust deviations from the held-out median; negative is nearer. NaN for blank images."""
    return np.asarray(((neighbours.views - calibration.centres) / calibration.scales).min(axis=1))


def beyond(*, calibration: Calibration, neighbours: Neighbours) -> Flags:
    """(N,): nearer to its training image than `level` of fresh real images would be. Never for blank images."""
    return statistic(calibration=calibration, neighbours=neighbours) < calibration.threshold


def cross_fitted(*, held_out: Neighbours, groups: Indices, level: float, seed: int) -> Flags:
    """(N,) flags of the held-out images, each by a threshold that was fitted without it and its group.

    Raises TooFewHeldOutError where what a fold leaves is too little.
    """
    order = numpy_generator("calibration", seed).permutation(np.unique(groups))
    fold_of = np.argsort(order) % NUM_FOLDS
    folds = fold_of[np.searchsorted(np.sort(order), groups)]
    flags = np.zeros(len(groups), dtype=bool)
    for fold in range(NUM_FOLDS):
        inside = folds == fold
        flags[inside] = beyond(
            calibration=calibrate(held_out=held_out.of(~inside), level=level), neighbours=held_out.of(inside)
        )
    return flags
