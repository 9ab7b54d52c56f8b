"""Within-class MS-SSIM of one set of images, class by class and as the mean over classes, in a form that JSON can hold."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.ml.fidelity.comparison import Figure, figure, missing
from workers.ml.fidelity.intervals import Estimate, Indices, normal_interval
from workers.ml.fidelity.ms_ssim import draw_pairs, mean_estimate, ms_ssim, num_scales
from workers.ml.images import check_images

NO_PAIR = "Fewer than two images: there is no pair to compare."
NO_SPREAD = "All images are of one group: there is no spread to take an interval from."


@dataclass(frozen=True)
class ImageSet:
    """images_uint8: (N, H, W, C), C 1 or 3. labels: (N,). groups: (N,) integers, equal for images that belong together, or None."""

    images_uint8: NDArray[np.uint8]
    labels: Indices
    groups: Indices | None


def measure_variety(
    *, images: ImageSet, num_classes: int, num_pairs: int, confidence: float, seed: int
) -> dict[str, Any]:
    """{num_scales, whole, per_class: [each class]}: value, standard_error, low, high, n_images, n_pairs, and a
    `reason` where something is null. The whole is the mean over classes that have a pair.

    num_pairs: at most so many random pairs of each class. Raises ValueError for images smaller than 11 px.
    """
    check_images(images.images_uint8)
    _, height, width, _ = images.images_uint8.shape
    pairs = draw_pairs(labels=images.labels, num_pairs=num_pairs, seed=seed)
    values = ms_ssim(images_uint8=images.images_uint8, pairs=pairs)
    estimates, per_class = [], []
    for label in range(num_classes):
        chosen = images.labels[pairs[:, 0]] == label
        counts = {"n_images": int((images.labels == label).sum()), "n_pairs": int(chosen.sum())}
        if not counts["n_pairs"]:
            per_class.append({"label": label, **missing(NO_PAIR), **counts})
            continue
        estimate = mean_estimate(
            values=values[chosen], pairs=pairs[chosen], num_images=len(images.labels), groups=images.groups
        )
        estimates.append(estimate)
        per_class.append({"label": label, **_figure(estimate, confidence), **counts})
    whole = {**_mean(estimates, confidence), "n_images": len(images.labels), "n_pairs": len(pairs)}
    return {"num_scales": num_scales(height=height, width=width), "whole": whole, "per_class": per_class}


def _mean(estimates: list[Estimate], confidence: float) -> Figure:
    """Of independent classes."""
    if not estimates:
        return missing(NO_PAIR)
    value = float(np.mean([each.value for each in estimates]))
    error = math.sqrt(sum(each.standard_error**2 for each in estimates)) / len(estimates)
    return _figure(Estimate(value, error), confidence)


def _figure(estimate: Estimate, confidence: float) -> Figure:
    interval = normal_interval(estimate=estimate, confidence=confidence, lowest=0.0)
    return figure(estimate=estimate, interval=interval, reason=NO_SPREAD)
