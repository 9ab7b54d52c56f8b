"""Precision and recall (arXiv:1904.06991) and density and coverage (arXiv:2002.09797) from nearest neighbours in feature space.

A ball around each image reaches to its k-th nearest neighbour in its own set. An image on the very edge of a ball lies
inside for precision, recall and coverage, so that identical sets score 1 even with copies in them, and outside for
density, so that identical sets without copies score 1, as in the reference code.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.ml.fidelity.frechet import check_features
from workers.ml.fidelity.intervals import Estimate, Floats, Indices, halves
from workers.ml.pulse import pulse

CHUNK_VALUES = 4_000_000  # float64 distances held at once beside the float32 result: 32 MB
EDGE = 1e-6  # share of the mean squared norm that rounding may move a squared distance by
Distances = NDArray[np.float32]


class Manifold(NamedTuple):
    """Shares of fake (precision) and real (recall, coverage) images; density is a mean count, without upper bound."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class SquaredDistances:
    """real: (N, N), fake: (M, M), across: (N, M), squared; edge: what rounding may add to one of them."""

    real: Distances
    fake: Distances
    across: Distances
    edge: float

    def of(self, real: Indices, fake: Indices) -> "SquaredDistances":
        """Those among some of the real and some of the fake images."""
        return SquaredDistances(
            self.real.take(real, axis=0).take(real, axis=1),
            self.fake.take(fake, axis=0).take(fake, axis=1),
            self.across.take(real, axis=0).take(fake, axis=1),
            self.edge,
        )


def squared_distances(*, real: NDArray[np.floating], fake: NDArray[np.floating]) -> SquaredDistances:
    """All squared Euclidean distances within and between (N, D) and (M, D); 4 bytes for each of (N + M)^2 - NM pairs.

    Raises ValueError if D differs.
    """
    check_features(real=real, fake=fake, least=1)
    middle = real.mean(axis=0, dtype=np.float64)  # near the origin the products cancel less
    x, y = real - middle, fake - middle
    edge = EDGE * float(np.square(x).sum(axis=1).mean())
    return SquaredDistances(_squared(x, x), _squared(y, y), _squared(x, y), edge)


def _squared(x: Floats, y: Floats) -> Distances:
    rows = max(1, CHUNK_VALUES // len(y))
    norms_x, norms_y = np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    out = np.empty((len(x), len(y)), dtype=np.float32)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        out[part] = np.maximum(norms_x[part, None] + norms_y[None] - 2 * (x[part] @ y.T), 0)
        pulse()
    return out


def manifold(*, distances: SquaredDistances, k_precision: int, k_density: int) -> Manifold:
    """Precision and recall with k_precision neighbours, density and coverage with k_density.

    Raises ValueError unless both sets have more images than the larger k.
    """
    num_real, num_fake = distances.across.shape
    if min(num_real, num_fake) <= max(k_precision, k_density):
        raise ValueError(
            f"{num_real} and {num_fake} images have no {max(k_precision, k_density)} neighbours each; give "
            f"{max(k_precision, k_density) + 1} of each set at least, or a smaller k."
        )
    near, wide = _radii(distances.real, k_precision, k_density)
    (of_fake,) = _radii(distances.fake, k_precision)
    edge, across = distances.edge, distances.across
    return Manifold(
        precision=float((across <= near[:, None] + edge).any(axis=0).mean()),
        recall=float((across <= of_fake[None] + edge).any(axis=1).mean()),
        density=float(np.count_nonzero(across < wide[:, None] - edge) / (num_fake * k_density)),
        coverage=float((across.min(axis=1) <= wide + edge).mean()),
    )


def _radii(within: Distances, *ks: int) -> list[Distances]:
    """For each k, the (N,) squared distances of images to their k-th neighbour; an image is its own zeroth."""
    ordered = np.partition(within, ks, axis=1)
    return [ordered[:, k] for k in ks]


def manifold_estimates(
    *,
    distances: SquaredDistances,
    k_precision: int,
    k_density: int,
    real_groups: Indices | None,
    fake_groups: Indices | None,
    num_halves: int,
    seed: int,
) -> dict[str, Estimate]:
    """Each figure of Manifold, and its standard error: its deviation over random halves of both sets.

    groups: (N,) and (M,) integers, equal for images that belong together, or None. The error is NaN where a half has
    too few images for k neighbours.
    """
    whole = manifold(distances=distances, k_precision=k_precision, k_density=k_density)
    drawn = _of_halves(
        distances, lambda half: manifold(distances=half, k_precision=k_precision, k_density=k_density),
        least=max(k_precision, k_density) + 1, real_groups=real_groups, fake_groups=fake_groups, seed=seed,
    )  # fmt: skip
    values = np.array(list(islice(drawn, num_halves)))  # (B, 4), or (0,) where halves are too small
    errors = values.std(axis=0, ddof=1) if len(values) == num_halves else np.full(len(whole), math.nan)
    return {
        name: Estimate(value, float(error)) for name, value, error in zip(whole._fields, whole, errors, strict=True)
    }


def _of_halves(
    distances: SquaredDistances,
    figure: Callable[[SquaredDistances], Manifold],
    *,
    least: int,
    real_groups: Indices | None,
    fake_groups: Indices | None,
    seed: int,
) -> Iterator[Manifold]:
    """The figures of one pair of halves after the other; ends at once where a half has fewer than `least` images."""
    num_real, num_fake = distances.across.shape
    of_real = halves(groups=real_groups, num_images=num_real, seed=seed)
    of_fake = halves(groups=fake_groups, num_images=num_fake, seed=seed + 1)
    for real, fake in zip(of_real, of_fake, strict=True):
        if min(len(real), len(fake)) < least:
            return
        yield figure(distances.of(real, fake))
        pulse()
