"""Small made-up images: all of one anatomy, each with details of its own."""

import numpy as np
from numpy.typing import NDArray

SIDE = 16


def pictures(num: int, *, seed: int, channels: int = 1, side: int = SIDE) -> NDArray[np.uint8]:
    """(num, side, side, channels): a bright disc that all share, and smooth structure that none shares."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    disc = 120.0 * (np.hypot(y, x) < 0.4)
    detail = gaussian_filter(rng.normal(size=(num, side, side, channels)), (0, 1, 1, 0))
    detail *= 30 / detail.std(axis=(1, 2, 3), keepdims=True)
    return np.clip(60 + disc[None, :, :, None] + detail, 0, 255).astype(np.uint8)
