"""Figures of one picture that the health page is made of, taken while it is decoded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.core.images.arrays import Uint8, to_image

SHARPNESS_SIDE = 256  # pixels of the longer side at which sharpness is taken, so that sizes can be compared
BINS = 32  # of the histogram
LEVELS = np.arange(256, dtype=np.float64)
DARK, BRIGHT = 8, 247  # grey levels that count as black and as white


def facts(image_uint8: Uint8) -> dict[str, Any]:
    """Of an image (H, W, 1 or 3): per channel mean and std (grey levels); of its grey version the share of black and of white
    pixels, the entropy (bits, 0 to 8), the sharpness (variance of the Laplacian) and the histogram (32 shares).
    """
    image = to_image(image_uint8)
    grey = image if image.mode == "L" else image.convert("L")
    (shares,) = _shares(grey)
    present = shares[shares > 0]
    channels = shares[None] if grey is image else _shares(image)  # (C, 256)
    means = channels @ LEVELS
    stds = np.sqrt(np.maximum(channels @ LEVELS**2 - means**2, 0))
    return {
        "mean": [round(float(value), 3) for value in means],
        "std": [round(float(value), 3) for value in stds],
        "dark_share": round(float(shares[: DARK + 1].sum()), 5),
        "bright_share": round(float(shares[BRIGHT:].sum()), 5),
        "entropy": round(float(-(present * np.log2(present)).sum()), 4),
        "sharpness": round(_sharpness(grey), 3),
        "histogram": [round(float(value), 5) for value in shares.reshape(BINS, -1).sum(axis=1)],
    }


def _shares(image: Image.Image) -> NDArray[np.float64]:
    """(C, 256): which share of the pixels has each level."""
    counts = np.asarray(image.histogram(), dtype=np.float64).reshape(-1, 256)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _sharpness(grey: Image.Image) -> float:
    scale = SHARPNESS_SIDE / max(grey.size)
    if scale < 1:
        size = (max(3, round(grey.width * scale)), max(3, round(grey.height * scale)))
        grey = grey.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    pixels = np.asarray(grey, dtype=np.int16)
    if min(pixels.shape) < 3:
        return 0.0
    middle = pixels[1:-1, 1:-1]
    laplacian = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:] - 4 * middle
    return float(laplacian.astype(np.float32).var())
