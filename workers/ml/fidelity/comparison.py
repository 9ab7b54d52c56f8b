"""Every figure of one set of features against another, with its interval, in a form that JSON can hold.

What cannot be computed is null and says why.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.ml.fidelity.frechet import frechet_distance
from workers.ml.fidelity.intervals import (
    Estimate,
    Indices,
    Interval,
    count_interval,
    normal_interval,
    share_interval,
)
from workers.ml.fidelity.kernel import draw_subsets, kernel_distance, subset_kernel_distance
from workers.ml.fidelity.manifold import Manifold, manifold_estimates, squared_distances
from workers.ml.metrics.resampling import group_indices

Figure = dict[str, Any]
METRICS = ("kid", "fid", *Manifold._fields)
NO_SPREAD = "One side has a single image or group: there is no spread to take an interval from."


@dataclass(frozen=True)
class FeatureSet:
    """features: (N, D) of one extractor. labels: (N,) class of each. groups: (N,) integers, equal for images that
    belong together (one patient's), or None where every image stands alone."""

    features: NDArray[np.floating]
    labels: Indices
    groups: Indices | None

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or not len(self.features) == len(self.labels) == self.num_groups_given:
            raise ValueError(
                f"Features of shape {self.features.shape} do not fit {len(self.labels)} labels and "
                f"{self.num_groups_given} groups; give one row, one label and one group for each image."
            )

    @property
    def num_groups_given(self) -> int:
        """How many images have a group; all of them where every image stands alone."""
        return len(self.features) if self.groups is None else len(self.groups)

    def of(self, places: Indices) -> "FeatureSet":
        """The images at these places."""
        return FeatureSet(
            self.features[places], self.labels[places], None if self.groups is None else self.groups[places]
        )

    @property
    def num_units(self) -> int:
        """How many groups there are."""
        return int(group_indices(self.groups, num_images=len(self.features)).max(initial=-1)) + 1


@dataclass(frozen=True)
class Settings:
    """What a report depends on beside the images.

    k_precision, k_density: neighbours for precision and recall (3 in its paper), for density and coverage (5). num_halves:
    random halves that their errors are taken from. subset_size, num_subsets: of KID as papers report it; sets with
    fewer images than subset_size use subsets of half their size. confidence: of the intervals, below 1.
    """

    k_precision: int
    k_density: int
    num_halves: int
    subset_size: int
    num_subsets: int
    confidence: float
    seed: int


def compare(*, real: FeatureSet, fake: FeatureSet, settings: Settings) -> dict[str, Figure]:
    """Each of METRICS: value, standard_error, low, high, n_real, n_fake, with a `reason` where something is null.

    KID has `subsets` (mean, std, size, count) as well, FID `rank_deficient`: whether a set has no more images than the
    features have dimensions, so that its covariance is singular and the value mostly bias.
    """
    counts = {"n_real": len(real.features), "n_fake": len(fake.features)}
    figures = {
        "kid": _kid(real, fake, settings),
        "fid": _fid(real, fake, settings),
        **_manifold(real, fake, settings),
    }
    return {name: {**figure, **counts} for name, figure in figures.items()}


def missing(reason: str) -> Figure:
    """A figure that cannot be computed."""
    return {"value": None, "standard_error": None, "low": None, "high": None, "reason": reason}


def figure(*, estimate: Estimate, interval: Interval, reason: str) -> Figure:
    """An estimate with its interval; `reason` is told where there is no interval."""
    if math.isnan(estimate.standard_error):
        return {**missing(reason), "value": estimate.value}
    return {
        "value": estimate.value, "standard_error": estimate.standard_error, "low": interval.low, "high": interval.high,
    }  # fmt: skip


def _too_few(real: FeatureSet, fake: FeatureSet, least: int) -> str | None:
    counts = len(real.features), len(fake.features)
    if min(counts) >= least:
        return None
    return f"{counts[0]} and {counts[1]} images: at least {least} on each side are needed."


def _smooth(
    distance: Callable[..., Estimate], real: FeatureSet, fake: FeatureSet, *, lowest: float, confidence: float
) -> Figure:
    estimate = distance(real=real.features, fake=fake.features, real_groups=real.groups, fake_groups=fake.groups)
    interval = normal_interval(estimate=estimate, confidence=confidence, lowest=lowest)
    return figure(estimate=estimate, interval=interval, reason=NO_SPREAD)


def _fid(real: FeatureSet, fake: FeatureSet, settings: Settings) -> Figure:
    if reason := _too_few(real, fake, 2):
        return missing(reason)
    fid = _smooth(frechet_distance, real, fake, lowest=0.0, confidence=settings.confidence)
    fewest = min(len(real.features), len(fake.features))
    return {**fid, "rank_deficient": fewest <= real.features.shape[1]}


def _kid(real: FeatureSet, fake: FeatureSet, settings: Settings) -> Figure:
    if reason := _too_few(real, fake, 2):
        return missing(reason)
    kid = _smooth(kernel_distance, real, fake, lowest=-math.inf, confidence=settings.confidence)
    num_real, num_fake = len(real.features), len(fake.features)
    fewest = min(num_real, num_fake)
    size = settings.subset_size if fewest >= settings.subset_size else max(2, fewest // 2)
    drawn = draw_subsets(
        num_real=num_real, num_fake=num_fake, subset_size=size, num_subsets=settings.num_subsets, seed=settings.seed
    )
    mean, std = subset_kernel_distance(real=real.features, fake=fake.features, subsets=drawn)
    return {**kid, "subsets": {"mean": mean, "std": std, "size": size, "count": settings.num_subsets}}


def _manifold(real: FeatureSet, fake: FeatureSet, settings: Settings) -> dict[str, Figure]:
    least = max(settings.k_precision, settings.k_density) + 1
    if reason := _too_few(real, fake, least):
        return {name: missing(reason) for name in Manifold._fields}
    estimates = manifold_estimates(
        distances=squared_distances(real=real.features, fake=fake.features),
        k_precision=settings.k_precision,
        k_density=settings.k_density,
        real_groups=real.groups,
        fake_groups=fake.groups,
        num_halves=settings.num_halves,
        seed=settings.seed,
    )
    reason = f"Half of one side has fewer than {least} images: too few to take an interval from halves."
    return {
        name: figure(
            estimate=estimate,
            interval=(count_interval if name == "density" else share_interval)(
                estimate=estimate,
                num_units=(real if name in ("recall", "coverage") else fake).num_units,
                confidence=settings.confidence,
            ),
            reason=reason,
        )
        for name, estimate in estimates.items()
    }
