"""Marks that stand at one place in many images: side letters, scale bars, logos, burnt-in text.

A mark is found in the median over images of their top-hat (Meyer 1979), which keeps what is small and brighter, or darker, than
what is around it; a median keeps it only where most images have it at the same pixels, so that anatomy, which moves, is gone.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

BORDER = 0.25  # share of the side in which marks are looked for, from each edge
SMALL = 0.2  # share of the side: what is larger is no mark
LEAST_RISE = 50.0  # grey levels that a mark stands out by
LEAST_AREA, LARGEST_AREA = 0.0004, 0.04  # shares of the picture
LEAST_AGREEMENT = 0.8  # correlation of an image with the median image around the mark
MARGIN = 3  # pixels around a mark
LEAST_IMAGES = 8  # of a class
LEAST_SHARE = 0.5


class Mark(NamedTuple):
    """box: top, left, bottom, right as shares of the sides. shares: (K,) of each class's images that carry it."""

    tone: Literal["bright", "dark"]
    box: tuple[float, float, float, float]
    shares: list[float]

    @property
    def spread(self) -> float:
        return max(self.shares) - min(self.shares)


def repeated_marks(*, images_uint8: NDArray[np.uint8], labels: Labels, num_classes: int) -> list[Mark]:
    """Marks near the border that at least half of some class carries, or of all images; bright ones first, then those that tell classes apart.

    images_uint8: (N, S, S) grey, S about 128; labels: (N,).
    """
    bright = images_uint8.astype(np.float32)
    marks = [*_marks(bright, "bright", labels, num_classes), *_marks(255 - bright, "dark", labels, num_classes)]
    kept: list[Mark] = []
    for mark in sorted(
        marks, key=lambda mark: (mark.tone, -mark.spread)
    ):  # bright ones first: what lies between is dark
        if not any(_overlap(mark.box, known.box) for known in kept):
            kept.append(mark)
    return kept


def _marks(images: Floats, tone: Literal["bright", "dark"], labels: Labels, num_classes: int) -> list[Mark]:
    size = round(SMALL * images.shape[1])
    hats = ndimage.white_tophat(images, size=(1, size, size))
    lots = [np.arange(len(labels)), *(np.flatnonzero(labels == label) for label in range(num_classes))]
    found = [
        Mark(tone, _shares_of_sides(box, images.shape[1]), _shares(hats[:, *box], lot, labels, num_classes))
        for lot in lots
        if len(lot) >= LEAST_IMAGES
        for box in _boxes(np.median(hats[lot], axis=0))
    ]
    return [mark for mark in found if max(mark.shares) >= LEAST_SHARE]


def _boxes(hat: Floats) -> list[tuple[slice, slice]]:
    """Where the median top-hat (S, S) stands out near the border, in patches of the size of marks."""
    side = len(hat)
    inner = round(BORDER * side)
    rises = hat >= LEAST_RISE
    rises[inner : side - inner, inner : side - inner] = False
    joined, _ = ndimage.label(ndimage.binary_dilation(rises, iterations=2))
    boxes = []
    for number, found in enumerate(ndimage.find_objects(joined), start=1):
        area = (rises & (joined == number)).sum() / side**2
        if LEAST_AREA <= area <= LARGEST_AREA:
            boxes.append((_wider(found[0], side), _wider(found[1], side)))
    return boxes


def _wider(part: slice, side: int) -> slice:
    return slice(max(part.start - MARGIN, 0), min(part.stop + MARGIN, side))


def _shares(patches: Floats, lot: Labels, labels: Labels, num_classes: int) -> list[float]:
    """Of each class the share whose top-hats here (N, H, W) are like the median of the lot."""
    agreement = _correlations(patches, np.median(patches[lot], axis=0))
    carries = (agreement >= LEAST_AGREEMENT) & (np.percentile(patches, 98, axis=(1, 2)) >= LEAST_RISE)
    of_classes = [carries[labels == label] for label in range(num_classes)]
    return [float(part.mean()) if len(part) else 0.0 for part in of_classes]


def _shares_of_sides(box: tuple[slice, slice], side: int) -> tuple[float, float, float, float]:
    rows, columns = box
    return rows.start / side, columns.start / side, rows.stop / side, columns.stop / side


def _correlations(patches: Floats, template: Floats) -> Floats:
    """(N,) correlation of each patch (N, H, W) with the template (H, W)."""
    flat = patches.reshape(len(patches), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    wanted = template.ravel() - template.mean()
    lengths = np.maximum(np.linalg.norm(flat, axis=1) * np.linalg.norm(wanted), 1e-6)
    return np.asarray(flat @ wanted / lengths, dtype=np.float32)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
