"""Burnt-in text: names, dates, scales written into the picture, near its border and on an even ground.

A line of text is what no anatomy is: many thin strokes side by side, over several rows, with nothing but an even ground between
them. Measured on real images in docs/science/health.md.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

STROKE = 7  # pixels: what is thicker is no stroke of a letter
LEAST_RISE = 80.0  # grey levels above the ground
WINDOW = 48  # pixels along a line
LEAST_STROKES = 6  # that begin within a window
ROWS, LEAST_ROWS = 8, 5  # of so many rows that lie upon each other so many must be such lines
SOFT_EDGE = 2  # pixels around a stroke that are neither stroke nor ground
GROUND_ROWS = 9
FURTHEST_GROUND = 60.0  # grey levels, mean, from black or from white
UNEVEN_GROUND = 15.0  # grey levels, standard deviation
LEAST_GROUND = 0.1  # share of the window
BORDER = 0.2  # share of each side, from each edge


def has_text(*, image_uint8: NDArray[np.uint8]) -> bool:
    """Whether a grey image (H, W), at most some 500 pixels wide, has a line of letters in its border, bright or dark."""
    bright = image_uint8.astype(np.float32)
    return _has_bright_text(bright) or _has_bright_text(255 - bright)


def _has_bright_text(image: Floats) -> bool:
    strokes = ndimage.white_tophat(image, size=(STROKE, STROKE)) >= LEAST_RISE
    if not strokes.any():
        return False
    begins = np.zeros(image.shape, dtype=np.float32)
    begins[:, 1:] = strokes[:, 1:] & ~strokes[:, :-1]
    number = WINDOW * ndimage.uniform_filter1d(begins, WINDOW, axis=1, mode="constant")
    lines = (number > LEAST_STROKES - 0.5) & _has_even_ground(image, strokes)
    high = ROWS * ndimage.uniform_filter1d(lines.astype(np.float32), ROWS, axis=0, mode="constant") > LEAST_ROWS - 0.5
    rows, columns = (round(BORDER * side) for side in image.shape)
    high[rows : image.shape[0] - rows, columns : image.shape[1] - columns] = False
    return bool(high.any())


def _has_even_ground(image: Floats, strokes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) whether what lies between the strokes around a pixel is dark and of one level."""
    ground = (~ndimage.binary_dilation(strokes, iterations=SOFT_EDGE)).astype(np.float32)
    share = _around(ground)
    weight = np.maximum(share, 1e-3)
    mean = _around(image * ground) / weight
    variance = _around(image**2 * ground) / weight - mean**2
    return np.asarray((share > LEAST_GROUND) & (mean < FURTHEST_GROUND) & (variance < UNEVEN_GROUND**2))


def _around(values: Floats) -> Floats:
    return np.asarray(ndimage.uniform_filter(values, (GROUND_ROWS, WINDOW)), dtype=np.float32)
