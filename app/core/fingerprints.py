"""What an image looks like, in 1 KB: a perceptual hash of it and of its mirror image, and a small grey tile.

Computed where the image is decoded. Two pictures are compared by these alone (app/core/duplicates.py), so that nobody opens
50,000 files to find copies.
"""

import base64
import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.core.images.arrays import Uint8, to_image

SIDE = 32  # of the tile, pixels
HASH_SIDE = 8  # of the block of low frequencies that is hashed
Tiles = NDArray[np.uint8]


class Fingerprint(NamedTuple):
    """perceptual_hash, mirrored_hash: 16 hexadecimal digits; tile: SIDE * SIDE grey bytes, row by row, as Base64."""

    perceptual_hash: str
    mirrored_hash: str
    tile: str

    @property
    def pixels(self) -> Tiles:
        """(SIDE, SIDE) uint8."""
        return np.frombuffer(base64.b64decode(self.tile), dtype=np.uint8).reshape(SIDE, SIDE)


def fingerprint(image_uint8: Uint8) -> Fingerprint:
    """The fingerprint of an image (H, W, 1 or 3), of any proportions."""
    grey = to_image(image_uint8).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    tile = np.asarray(grey)
    return Fingerprint(hash_tile(tile), hash_tile(tile[:, ::-1]), base64.b64encode(tile.tobytes()).decode("ascii"))


def hash_tile(tile: Tiles) -> str:
    """The 64 bit pHash of a tile (SIDE, SIDE): which of its 8 x 8 lowest cosine coefficients exceed their median."""
    cosines = _cosines()
    low = cosines @ tile.astype(np.float64) @ cosines.T  # (8, 8)
    ordered = np.sort(low, axis=None)
    median = (ordered[31] + ordered[32]) / 2  # as np.median has it, ten times as fast
    return np.packbits(low > median).tobytes().hex()


@functools.cache
def _cosines() -> NDArray[np.float64]:
    """(8, SIDE): the first rows of the orthonormal DCT-II."""
    frequency, place = np.arange(HASH_SIDE)[:, None], np.arange(SIDE)[None]
    rows = np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)
