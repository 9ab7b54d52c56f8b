"""Segment maps: which superpixel each pixel of an explained picture belongs to, as the explain job stores them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Segments = NDArray[np.int64]


def read_segments(png: bytes) -> Segments:
    """(H, W) segment numbers from a 16-bit grey PNG."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return np.asarray(image).astype(np.int64)
