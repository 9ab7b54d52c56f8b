"""Within-class MS-SSIM: how alike two images of one class are on average (Wang, Simoncelli and Bovik 2003; arXiv:1610.09585).

High values mean little variety. The five scales of the paper need images of 176 px; smaller ones get as many scales as
an 11 px window fits into, with the paper's first weights, made to sum to 1. So values of other sizes do not compare.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from workers.ml.fidelity.intervals import Estimate, Floats, Indices, influence_variance
from workers.ml.pulse import pulse

WINDOW = 11  # px
WINDOW_STD = 1.5  # px
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of each scale, finest first
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
CHUNK_VALUES = 1_000_000  # pixel values of one side of the pairs held at once: 8 MB, and about ten such arrays


def num_scales(*, height: int, width: int) -> int:
    """How many scales, at most five, fit images of this size in px: the coarsest still holds the window.

    Raises ValueError for images smaller than the window.
    """
    if min(height, width) < WINDOW:
        raise ValueError(f"Images of {height} x {width} px are smaller than the window of MS-SSIM, {WINDOW} px.")
    return min(len(WEIGHTS), 1 + int(math.log2(min(height, width) / WINDOW)))


def draw_pairs(*, labels: Indices, num_pairs: int, seed: int) -> Indices:
    """(P, 2) places of distinct pairs of images of one class, num_pairs of each class or all that there are.

    labels: (N,). Each image of a class comes about equally often.
    """
    rng = np.random.default_rng(seed)
    drawn = [_pairs_of(np.flatnonzero(labels == label), num_pairs, rng) for label in np.unique(labels)]
    return np.concatenate(drawn)


def _pairs_of(places: Indices, num_pairs: int, rng: np.random.Generator) -> Indices:
    """Neighbours on a shuffled circle, then second neighbours, and so on: each distance gives each image two pairs."""
    num = len(places)
    shuffled = rng.permutation(places)
    every = [
        np.stack([shuffled, np.roll(shuffled, -step)], axis=1)[: num if 2 * step < num else num // 2]
        for step in range(1, min(num // 2, -(-num_pairs // max(num, 1))) + 1)
    ]
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *every])[:num_pairs]


def ms_ssim(*, images_uint8: NDArray[np.uint8], pairs: Indices) -> Floats:
    """(P,) MS-SSIM of pairs (P, 2) of places in images (N, H, W, C), C 1 or 3: 1 for equal images, at least 0.

    A Gaussian window of 11 px, mean over its full positions and over channels; negative structure terms count as 0.
    Raises ValueError for images smaller than the window.
    """
    _, height, width, channels = images_uint8.shape
    scales = num_scales(height=height, width=width)
    rows = max(1, CHUNK_VALUES // (height * width * channels))
    chunks = []
    for start in range(0, len(pairs), rows):
        one, other = pairs[start : start + rows].T
        chunks.append(_of_chunk(images_uint8[one], images_uint8[other], scales))
        pulse()
    return np.concatenate([np.empty(0), *chunks])


def _of_chunk(one: NDArray[np.uint8], other: NDArray[np.uint8], scales: int) -> Floats:
    x, y = one.astype(np.float64), other.astype(np.float64)
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    product = np.ones((len(x), x.shape[-1]))  # (P, C)
    for scale, weight in enumerate(weights):
        if scale:
            x, y = _halved(x), _halved(y)
        luminance, structure = _terms(x, y)
        term = luminance if scale == scales - 1 else structure
        product *= np.maximum(term, 0) ** weight
    return np.asarray(product.mean(axis=1))


def _terms(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(P, C) means of SSIM and of its contrast-structure factor over images (P, H, W, C)."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x * mean_x, _blurred(y * y) - mean_y * mean_y
    covariance = _blurred(x * y) - mean_x * mean_y
    structure = (2 * covariance + C2) / (var_x + var_y + C2)
    ssim = structure * (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
    return ssim.mean(axis=(1, 2)), structure.mean(axis=(1, 2))


def _blurred(images: Floats) -> Floats:
    """(P, H, W, C) to (P, H - 10, W - 10, C): Gaussian means where the whole window lies inside."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * WINDOW_STD**2))
    window /= window.sum()
    inside = slice(WINDOW // 2, -(WINDOW // 2))
    rows = correlate1d(images, window, axis=1)[:, inside]
    return np.asarray(correlate1d(rows, window, axis=2)[:, :, inside])


def _halved(images: Floats) -> Floats:
    """(P, H, W, C) to (P, H // 2, W // 2, C): means of 2 x 2 px; an odd last row or column is left out."""
    height, width = images.shape[1] // 2 * 2, images.shape[2] // 2 * 2
    even = images[:, :height, :width]
    return np.asarray((even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4)


def mean_estimate(*, values: Floats, pairs: Indices, num_images: int, groups: Indices | None) -> Estimate:
    """Mean over pairs, and its standard error by the infinitesimal jackknife over images or groups.

    values: (P,) of pairs (P, 2), P >= 1, places in a set of num_images; groups: (num_images,) integers or None. A pair counts by
    the product of its images' weights; so images and not pairs are the sample. Few pairs per image make the error too
    large, by up to 1.4 with one. Images in no pair are no part of the sample.
    """
    mean = float(values.mean())
    influences = np.bincount(pairs.ravel(), weights=np.repeat(values - mean, 2), minlength=num_images)  # (N,)
    used = np.unique(pairs)
    scaled = influences[used] * len(used) / len(values)
    return Estimate(
        mean, math.sqrt(influence_variance(influences=scaled, groups=None if groups is None else groups[used]))
    )
