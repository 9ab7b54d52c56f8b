"""PNG, JPEG, WebP, BMP and TIFF: one image a file; only grey of more than 8 bit is converted."""

from typing import BinaryIO

import numpy as np

from app.core.formats.conversion import Conversion, Picture
from app.core.formats.scaling import Rescale, bounds_of, to_8_bit
from app.core.images.arrays import STEP_16_TO_8, Uint8, normal_sha256, normalise, pixel_sha256
from app.core.images.decoding import Decoded, decode_file


def read(file: BinaryIO, conversion: Conversion) -> Picture:
    """Raises BadInputError if the file cannot be read, or is no image of the five formats."""
    decoded = decode_file(file)
    if decoded.array.dtype == np.uint8:
        array = normalise(decoded.array)
        words = "16 bit colour read as 8 bit" if decoded.bit_depth > 8 else ""
        pixels, digest = np.asarray(array, np.uint8), normal_sha256(array)
    else:
        pixels, words = _scaled(decoded, conversion)
        digest = pixel_sha256(decoded.array)
    return Picture(
        pixels, digest, decoded.mode, decoded.bit_depth, conversion=words, metadata_kinds=decoded.metadata_kinds
    )


def _scaled(decoded: Decoded, conversion: Conversion) -> tuple[Uint8, str]:
    """8 bit content saved as 16 bit (multiples of 257) is divided exactly, unless a window is asked for."""
    if conversion.scaling != "window" and not np.any(decoded.array % STEP_16_TO_8):
        return (decoded.array // STEP_16_TO_8).astype(np.uint8), ""
    rescale = Rescale(decoded.slope, decoded.intercept)
    bounds = bounds_of([decoded.array], rescale, conversion)
    return to_8_bit(decoded.array, rescale, bounds), bounds.words
