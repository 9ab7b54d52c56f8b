"""Draw an explanation over its image, and list its regions.

Blue speaks for the class and orange against it; the tint grows with the weight, and superpixels that are not among the
strongest stay untinted, so an overlay is never tinted all over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.ml.classification.prediction import enlarge, to_device
from workers.ml.explanation.lime import ClassExplanation, Segments, as_uint8

POSITIVE_COLOUR = (37, 99, 235)  # blue and orange: told apart by colour-blind people too
NEGATIVE_COLOUR = (234, 120, 12)
STRONGEST_TINT = 0.55  # share of the colour in the strongest superpixel; the weakest shown has a third of that


@dataclass(frozen=True)
class Region:
    """One superpixel. rank: from 1 by absolute weight. share: of the image's area.

    centre: (x, y), and box: (left, top, right, bottom), all as shares of the image's sides.
    """

    rank: int
    segment: int
    weight: float
    share: float
    centre: tuple[float, float]
    box: tuple[float, float, float, float]


def list_regions(*, segments: Segments, explanation: ClassExplanation) -> list[Region]:
    """Every superpixel of a class, strongest first."""
    return [
        _region(segments == segment, rank=rank, segment=segment, weight=weight)
        for rank, (segment, weight) in enumerate(explanation.weights, start=1)
    ]


def _region(mask: NDArray[np.bool_], *, rank: int, segment: int, weight: float) -> Region:
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return Region(
        rank=rank,
        segment=segment,
        weight=weight,
        share=float(mask.mean()),
        centre=(float(columns.mean() + 0.5) / width, float(rows.mean() + 0.5) / height),
        box=(
            float(columns.min()) / width,
            float(rows.min()) / height,
            float(columns.max() + 1) / width,
            float(rows.max() + 1) / height,
        ),
    )


def strongest(
    *, weights: Sequence[tuple[int, float]], top_k: int, positive: bool, negative: bool
) -> list[tuple[int, float]]:
    """The top_k (segment, weight) by absolute weight among those of the wanted signs."""
    wanted = [(s, w) for s, w in weights if (positive and w > 0) or (negative and w < 0)]
    return sorted(wanted, key=lambda pair: (-abs(pair[1]), pair[0]))[:top_k]


def overlay(
    *,
    image_uint8: NDArray[np.uint8],
    segments: Segments,
    weights: Sequence[tuple[int, float]],
    top_k: int,
    positive: bool,
    negative: bool,
) -> NDArray[np.uint8]:
    """(H', W', 3) uint8: the image, tinted and outlined where the strongest superpixels are.

    image_uint8: (H, W, 1 or 3). weights: (segment, weight) of one class. The larger of image and segments (S, S) sets
    the size: an image larger than S on both sides keeps its own, with the segments enlarged to it; a smaller one is
    enlarged to S. With nothing to show the image comes back as RGB, unchanged.
    """
    from skimage.segmentation import find_boundaries

    if min(image_uint8.shape[:2]) >= len(segments):
        segments = stretch(segments, image_uint8.shape[:2])
    canvas = _enlarge_to(image_uint8, segments.shape).astype(np.float64)  # (H', W', 3)
    shown = strongest(weights=weights, top_k=top_k, positive=positive, negative=negative)
    greatest = max((abs(weight) for _, weight in shown), default=1.0)
    for segment, weight in shown:
        colour = np.array(POSITIVE_COLOUR if weight > 0 else NEGATIVE_COLOUR, dtype=np.float64)
        tint = STRONGEST_TINT * (1 + 2 * abs(weight) / greatest) / 3
        mask = segments == segment
        canvas[mask] = (1 - tint) * canvas[mask] + tint * colour
        canvas[find_boundaries(mask, mode="inner")] = colour  # type: ignore[no-untyped-call]
    return canvas.round().astype(np.uint8)


def stretch(segments: Segments, shape: tuple[int, ...]) -> Segments:
    """Segments at another size: every pixel takes the number that lies under its centre."""
    rows, columns = ((np.arange(n) * 2 + 1) * s // (2 * n) for n, s in zip(shape, segments.shape, strict=True))
    stretched: Segments = segments[rows[:, None], columns]
    return stretched


def _enlarge_to(image_uint8: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """RGB at the size of the segments, enlarged as the network sees it."""
    if image_uint8.shape[:2] != shape:
        image_uint8 = as_uint8(enlarge(to_device(image_uint8[None], device="cpu"), input_size=shape[0])[0])
    return np.broadcast_to(image_uint8, (*shape, 3))
