"""Writes PNGs: stored images, thumbnails and contact sheets. Nothing is in them but the pixels and the text given."""

import math
import struct
import zlib

import numpy as np
from PIL import Image

from app.core.images.arrays import Pixels, Uint8, check_pixels, from_image, to_image, to_uint8

LEVEL = 1  # with Z_RLE: after PNG's filters only runs are worth finding
SIGNATURE = b"\x89PNG\r\n\x1a\n"
THUMBNAIL_FILTER = Image.Resampling.HAMMING  # Pillow widens it when shrinking, so nothing aliases
GAP = 2  # black pixels between the images of a sheet


def encode_png(array: Pixels, text: dict[str, str] | None = None) -> bytes:
    """A PNG of (H, W, 1) uint8 or uint16, or (H, W, 3) uint8 pixels; `text` becomes its text chunks.

    Every row is filtered by the average of its neighbours, in one go for the whole image: about as small as trying all
    five of PNG's filters row by row, and three times as fast.
    """
    check_pixels(array)
    height, width, channels = array.shape
    if array.dtype == np.uint16 and channels == 3:
        raise ValueError("PNG of 16 bit colour cannot be written; make the array uint8 with to_uint8 first.")
    header = struct.pack(">IIBBBBB", width, height, 8 * array.itemsize, 2 if channels == 3 else 0, 0, 0, 0)
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    packed = packer.compress(_filtered(array)) + packer.flush()
    texts = [_text_chunk(key, value) for key, value in (text or {}).items()]
    return b"".join((SIGNATURE, _chunk(b"IHDR", header), *texts, _chunk(b"IDAT", packed), _chunk(b"IEND", b"")))


def thumbnail_png(array: Pixels, side: int = 160) -> bytes:
    """A PNG of the pixels (H, W, C) shrunk, antialiased, to fit a square of `side` pixels; never enlarged."""
    image = to_image(to_uint8(array))
    image.thumbnail((side, side), THUMBNAIL_FILTER, reducing_gap=2.0)
    return encode_png(from_image(image))


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


def _filtered(array: Pixels) -> bytes:
    """The rows as PNG has them: 3 for the filter "average", then each byte less the mean of those left and above."""
    height, width, channels = array.shape
    pixel_bytes = channels * array.itemsize
    flat = (
        np.ascontiguousarray(array, array.dtype.newbyteorder(">")).view(np.uint8).reshape(height, width * pixel_bytes)
    )
    left, above = np.zeros_like(flat), np.zeros_like(flat)
    left[:, pixel_bytes:] = flat[:, :-pixel_bytes]
    above[1:] = flat[:-1]
    rows = np.empty((height, 1 + flat.shape[1]), dtype=np.uint8)
    rows[:, 0] = 3
    np.subtract(flat, (left & above) + ((left ^ above) >> 1), out=rows[:, 1:])  # the mean without an overflow
    return rows.tobytes()


def _text_chunk(key: str, value: str) -> bytes:
    """tEXt where Latin-1 is enough, else iTXt."""
    try:
        return _chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + value.encode())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
