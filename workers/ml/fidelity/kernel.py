"""KID: the squared maximum mean discrepancy under a cubic polynomial kernel (arXiv:1801.01401, section 4).

The estimate is unbiased, so its expectation does not depend on n and may fall below zero: the figure of choice for few images.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.ml.fidelity.frechet import check_features
from workers.ml.fidelity.intervals import Estimate, Floats, Indices, influence_variance
from workers.ml.pulse import pulse

CHUNK_VALUES = 4_000_000  # kernel values held at once: 32 MB of float64


class SubsetEstimate(NamedTuple):
    """Mean and standard deviation over subsets, as papers report KID."""

    mean: float
    std: float


def kernel_distance(
    *, real: NDArray[np.floating], fake: NDArray[np.floating], real_groups: Indices | None, fake_groups: Indices | None
) -> Estimate:
    """Unbiased squared MMD of all images, and its standard error by the infinitesimal jackknife.

    real, fake: (N, D) and (M, D) features from one extractor, N, M >= 2; kernel (x.y / D + 1)^3. groups: (N,) and
    (M,) integers, equal for images that belong together, or None. Where the sets are alike the error is too large
    rather than too small, by up to a factor of 1.4.

    Raises ValueError if D differs or if a set has fewer than two images.
    """
    check_features(real=real, fake=fake, least=2)
    x, y = real.astype(np.float64), fake.astype(np.float64)
    within_x, within_y = _mean_to_others(x), _mean_to_others(y)  # (N,), (M,)
    across_x, across_y = _mean_kernel(x, y), _mean_kernel(y, x)
    value = within_x.mean() + within_y.mean() - 2 * across_x.mean()
    variance = influence_variance(influences=2 * (within_x - across_x), groups=real_groups) + influence_variance(
        influences=2 * (within_y - across_y), groups=fake_groups
    )
    return Estimate(float(value), math.sqrt(variance))


def draw_subsets(
    *, num_real: int, num_fake: int, subset_size: int, num_subsets: int, seed: int
) -> Iterator[tuple[Indices, Indices]]:
    """Places of subset_size images of each set, without replacement within a subset."""
    rng = np.random.default_rng(seed)
    for _ in range(num_subsets):
        yield (
            rng.choice(num_real, subset_size, replace=False),
            rng.choice(num_fake, subset_size, replace=False),
        )


def subset_kernel_distance(
    *, real: NDArray[np.floating], fake: NDArray[np.floating], subsets: Iterable[tuple[Indices, Indices]]
) -> SubsetEstimate:
    """Mean and standard deviation of the unbiased squared MMD over pairs of subsets.

    real, fake: (N, D) and (M, D); subsets: places in each of them. The deviation is that of subsets, larger than the
    standard error of the whole: kernel_distance() gives that.
    """
    check_features(real=real, fake=fake, least=2)
    values = []
    for of_real, of_fake in subsets:
        x, y = real[of_real].astype(np.float64), fake[of_fake].astype(np.float64)
        values.append(_mean_to_others(x).mean() + _mean_to_others(y).mean() - 2 * _mean_kernel(x, y).mean())
        pulse()
    return SubsetEstimate(float(np.mean(values)), float(np.std(values)))


def _mean_kernel(x: Floats, y: Floats) -> Floats:
    """(N,) mean kernel of each row of x (N, D) with all rows of y (M, D), in chunks of rows of x."""
    rows = max(1, CHUNK_VALUES // len(y))
    means = []
    for start in range(0, len(x), rows):
        means.append(_kernel(x[start : start + rows] @ y.T, x.shape[1]).mean(axis=1))
        pulse()
    return np.concatenate(means)


def _mean_to_others(x: Floats) -> Floats:
    """(N,) mean kernel of each row of x (N, D) with the other rows."""
    num = len(x)
    own = _kernel(np.square(x).sum(axis=1), x.shape[1])
    return np.asarray((num * _mean_kernel(x, x) - own) / (num - 1))


def _kernel(products: Floats, num_features: int) -> Floats:
    base = products / num_features + 1
    return np.asarray(base * base * base)
