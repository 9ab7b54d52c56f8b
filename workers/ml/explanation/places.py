"""Where the weight of an explanation lies: on the picture's border, in its corners, outside the body.

A classifier that decides by a burnt-in letter, a ruler or the scanner's frame has its weight there. Each share stands
beside the share of the area, which is what weight spread evenly over the picture would give: only above it, a share says
something. A superpixel's weight counts as spread evenly over its pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.ml.explanation.body import Mask, body_mask
from workers.ml.explanation.lime import Segments

BORDER = 0.1  # width of the frame, as a share of the side: it has 36 % of the area
CORNER = 0.2  # side of the square in each corner, as a share of the side: the four have 16 % of the area


@dataclass(frozen=True)
class Share:
    """area: of the picture. positive: of the weight that speaks for the class; absolute: of all weight without its sign.

    All in [0, 1]; None where there is no such weight.
    """

    area: float
    positive: float | None
    absolute: float | None


@dataclass(frozen=True)
class Places:
    """Of one class's weights. outside: None where no background can be told, for the `reason`."""

    label: int
    border: Share
    corners: Share
    outside: Share | None
    reason: str


def measure_places(
    *, picture_uint8: NDArray[np.uint8], segments: Segments, weights: Sequence[tuple[int, float]], label: int
) -> Places:
    """picture_uint8: (S, S, 1 or 3) as the network saw it. segments: (S, S). weights: (segment, weight) of class `label`."""
    body, reason = body_mask(picture_uint8=picture_uint8)
    return Places(
        label=label,
        border=share(segments=segments, weights=weights, mask=border_mask(segments.shape)),
        corners=share(segments=segments, weights=weights, mask=corner_mask(segments.shape)),
        outside=None if body is None else share(segments=segments, weights=weights, mask=~body),
        reason=reason,
    )


def share(*, segments: Segments, weights: Sequence[tuple[int, float]], mask: Mask) -> Share:
    """The weight within the mask: sum over s of w_s |s in mask| / |s|, over the sum of w_s."""
    inside = np.bincount(segments.ravel(), weights=mask.ravel()) / np.bincount(segments.ravel())  # (F,)
    vector = np.zeros(len(inside))
    for segment, weight in weights:
        vector[segment] = weight
    return Share(
        area=float(mask.mean()),
        positive=_share_of(vector.clip(min=0), inside),
        absolute=_share_of(np.abs(vector), inside),
    )


def _share_of(weights: NDArray[np.float64], inside: NDArray[np.float64]) -> float | None:
    total = float(weights.sum())
    return float(weights @ inside) / total if total > 0 else None


def border_mask(shape: tuple[int, ...]) -> Mask:
    """(H, W): the frame, BORDER of the side wide."""
    mask = np.ones(shape, dtype=bool)
    rows, columns = (max(1, round(BORDER * side)) for side in shape)
    mask[rows:-rows, columns:-columns] = False
    return mask


def corner_mask(shape: tuple[int, ...]) -> Mask:
    """(H, W): a square in each corner, CORNER of the side long."""
    mask = np.zeros(shape, dtype=bool)
    rows, columns = (max(1, round(CORNER * side)) for side in shape)
    for y in (slice(None, rows), slice(-rows, None)):
        for x in (slice(None, columns), slice(-columns, None)):
            mask[y, x] = True
    return mask
