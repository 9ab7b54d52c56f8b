"""Segment maps for the browser: run lengths instead of a 16-bit PNG, and where each region lies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.images import Segments


def to_runs(segments: Segments) -> list[int]:
    """[segment, length, segment, length, ...], row by row."""
    flat = segments.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    runs: list[int] = np.stack([flat[starts], lengths], axis=1).ravel().tolist()
    return runs


def describe_regions(segments: Segments) -> dict[int, dict[str, Any]]:
    """{segment: {share of the area, place in words}}."""
    return {int(segment): _describe(segments == segment) for segment in np.unique(segments)}


def _describe(mask: NDArray[np.bool_]) -> dict[str, Any]:
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return {"share": round(float(mask.mean()), 4), "place": _place(rows.mean() / height, columns.mean() / width)}


def _place(y: float, x: float) -> str:
    """The ninth of the image that holds the point (y, x), both in [0, 1)."""
    row = ("top", "middle", "bottom")[min(int(3 * y), 2)]
    column = ("left", "centre", "right")[min(int(3 * x), 2)]
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"
