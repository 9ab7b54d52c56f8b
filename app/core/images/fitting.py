"""Square inputs for networks, from PNGs that we stored: stretched, cropped or padded, and always antialiased."""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from app.core.images.arrays import Uint8, from_image, to_image, to_uint8

Fit = Literal["stretch", "crop", "pad"]
FILTER = Image.Resampling.LANCZOS  # Pillow widens it when shrinking, so nothing aliases
REDUCING_GAP = 3.0  # shrinks large images by whole factors first, to within rounding of the same


def load_uint8(path: Path) -> Uint8:
    """The stored PNG at `path` as (H, W, 1 or 3) uint8; 16 bit are scaled by their own percentiles (`to_uint8`)."""
    with Image.open(path, formats=("PNG",)) as image:
        return from_image(_from_16_bit(image) if image.mode.startswith("I") else image)


def load_square(path: Path, *, image_size: int, channels: int, fit: Fit) -> Uint8:
    """The stored PNG at `path` as (image_size, image_size, channels) uint8; see `fit_square`.

    16 bit images are scaled by their own percentiles (`to_uint8`).
    """
    with Image.open(path, formats=("PNG",)) as image:
        if image.mode.startswith("I"):
            return fit_square(_from_16_bit(image), image_size=image_size, channels=channels, fit=fit)
        image.load()
        return fit_square(image, image_size=image_size, channels=channels, fit=fit)


def fit_square(image: Image.Image, *, image_size: int, channels: int, fit: Fit) -> Uint8:
    """A Pillow image of mode L or RGB as (S, S, channels) uint8, S = image_size.

    stretch: both sides to S, whatever the proportions. crop: the central square. pad: the whole image, black bars
    on the shorter sides. channels 1 of a colour image is its luma; channels 3 of a grey one repeats it.
    """
    if channels not in (1, 3):
        raise ValueError(f"An image cannot have {channels} channels; use 1 (grey) or 3 (RGB).")
    image = image.convert("L" if channels == 1 else "RGB")
    size = (image_size, image_size)
    match fit:
        case "stretch":
            return from_image(image.resize(size, FILTER, reducing_gap=REDUCING_GAP))
        case "crop":
            return from_image(image.resize(size, FILTER, box=_central_square(image), reducing_gap=REDUCING_GAP))
        case "pad":
            return from_image(_padded(image, image_size))
        case _:
            raise ValueError(f"fit is {fit!r}; use stretch, crop or pad.")


def _central_square(image: Image.Image) -> tuple[float, float, float, float]:
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return (left, top, left + side, top + side)


def _padded(image: Image.Image, image_size: int) -> Image.Image:
    scale = image_size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), FILTER, reducing_gap=REDUCING_GAP)
    square = Image.new(image.mode, (image_size, image_size))  # black
    square.paste(small, ((image_size - width) // 2, (image_size - height) // 2))
    return square


def _from_16_bit(image: Image.Image) -> Image.Image:
    return to_image(to_uint8(np.asarray(image).astype(np.uint16)[..., None]))
