"""Writes PNGs: stored images, thumbnails and contact sheets. Nothing is in them but the pixels and the text given."""

import io
import math
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from app.core.images.arrays import Pixels, Uint8, check_pixels, to_image, to_uint8

# After PNG's filters only runs are worth finding: files as small as zlib's default makes them, in a third of the time.
COMPRESSION = {"compress_level": 1, "compress_type": zlib.Z_RLE}
GAP = 2  # black pixels between the images of a sheet


def encode_png(array: Pixels, text: dict[str, str] | None = None) -> bytes:
    """A PNG of (H, W, 1) uint8 or uint16, or (H, W, 3) uint8 pixels; `text` becomes its text chunks."""
    check_pixels(array)
    if array.dtype == np.uint16 and array.shape[2] == 3:
        raise ValueError("PNG of 16 bit colour cannot be written; make the array uint8 with to_uint8 first.")
    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    image = Image.fromarray(np.ascontiguousarray(array[..., 0])) if array.shape[2] == 1 else Image.fromarray(array)
    return _png(image, chunks)


def thumbnail_png(array: Pixels, side: int = 160) -> bytes:
    """A PNG of the pixels (H, W, C) shrunk, antialiased, to fit a square of `side` pixels; never enlarged."""
    image = to_image(to_uint8(array))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _png(image, None)


def contact_sheet(images: Uint8, columns: int) -> Uint8:
    """Images (N, H, W, C) side by side in rows of `columns`, two black pixels between: (H', W', C) uint8."""
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or columns < 1:
        raise ValueError(
            f"A sheet of {columns} columns cannot be made of an array of dtype {images.dtype} and shape {images.shape}; "
            "expected (N, H, W, C) uint8, N and columns at least 1."
        )
    num, height, width, channels = images.shape
    columns = min(columns, num)
    rows = math.ceil(num / columns)
    sheet = np.zeros((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _png(image: Image.Image, chunks: PngImagePlugin.PngInfo | None) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG", pnginfo=chunks, **COMPRESSION)
    return target.getvalue()
