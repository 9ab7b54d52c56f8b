"""Numbers of more than 8 bit become 8 bit: one value of the file black, another white, and straight between.

All values here are the file's own, after its rescale (Hounsfield units in a CT).
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.core.formats.conversion import Conversion
from app.core.images.arrays import Uint8, pixel_sha256

Numbers = NDArray[Any]  # real numbers, of any shape
NUM_16_BIT = 1 << 16


class Rescale(NamedTuple):
    """value = stored * slope + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def in_words(self) -> str:
        return "" if self == Rescale() else f"rescale slope {self.slope:.6g} intercept {self.intercept:.6g}"


class Bounds(NamedTuple):
    """Values up to `low` are black, from `high` on white. Equal bounds: what is above them is white."""

    low: float
    high: float
    words: str


def bounds_of(frames: Iterable[Numbers], rescale: Rescale, conversion: Conversion) -> Bounds:
    """The bounds for all of `frames`, stored numbers that are seen one after another, as `conversion` asks for them.

    auto means percentiles. Percentiles without contrast between them give way to the full range, and the words say so.
    """
    if conversion.scaling == "window":
        assert conversion.window_low is not None
        assert conversion.window_high is not None
        low, high = conversion.window_low, conversion.window_high
        return Bounds(low, high, f"window {low:g} to {high:g}")
    percents = [0.0, conversion.percentile_low, conversion.percentile_high, 100.0]
    if rescale.slope < 0:
        percents = [100 - percent for percent in percents]
    stored = percentiles(frames, percents)
    smallest, low, high, largest = (value * rescale.slope + rescale.intercept for value in stored)
    if conversion.scaling == "full":
        return Bounds(smallest, largest, f"full range {smallest:g} to {largest:g}")
    words = f"percentiles {conversion.percentile_low:g} to {conversion.percentile_high:g}"
    if low < high:
        return Bounds(low, high, f"{words}: {low:g} to {high:g}")
    return Bounds(smallest, largest, f"full range {smallest:g} to {largest:g}, {words} being equal")


def percentiles(frames: Iterable[Numbers], percents: Sequence[float]) -> list[float]:
    """Percentiles over the finite numbers of all frames together, interpolated as numpy.percentile does.

    Integers of up to 16 bit are counted, so that only one frame need be in memory. Without any number: zeros.
    """
    counts = np.zeros(NUM_16_BIT, dtype=np.int64)
    others: list[Numbers] = []
    offset = 0
    for frame in frames:
        if frame.dtype.kind in "iu" and frame.dtype.itemsize <= 2:
            offset = NUM_16_BIT // 2 if frame.dtype.kind == "i" else 0
            counts += np.bincount(frame.ravel().astype(np.int32) + offset, minlength=NUM_16_BIT)
        else:
            others.append(frame[np.isfinite(frame)])
    if others:
        together = np.concatenate(others)
        return [float(value) for value in np.percentile(together, percents)] if together.size else [0.0] * len(percents)
    so_far = np.cumsum(counts)
    return [_percentile_of(so_far, percent) - offset if so_far[-1] else 0.0 for percent in percents]


def _percentile_of(so_far: NDArray[np.int64], percent: float) -> float:
    """The percentile of numbers, of which so_far[k] are at most k."""
    rank = percent / 100 * (so_far[-1] - 1)
    below, above = np.searchsorted(so_far, [np.floor(rank), np.ceil(rank)], side="right")
    return float(below + (rank - np.floor(rank)) * (above - below))


def to_8_bit(stored: Numbers, rescale: Rescale, bounds: Bounds) -> Uint8:
    """Stored numbers of any shape as uint8 of it, rounded to the nearest. What is no number is black."""
    if bounds.high <= bounds.low:
        return np.where(stored * rescale.slope + rescale.intercept > bounds.low, 255, 0).astype(np.uint8)
    steps = 255.0 / (bounds.high - bounds.low)
    scaled: NDArray[np.floating] = stored.astype(np.float32 if stored.dtype.itemsize <= 2 else np.float64)
    scaled = (scaled - (bounds.low - rescale.intercept) / rescale.slope) * (rescale.slope * steps)
    rounded = np.rint(np.clip(scaled, 0, 255))
    return np.asarray(np.nan_to_num(rounded, copy=False, nan=0.0), dtype=np.uint8)


def values_sha256(stored: Numbers, rescale: Rescale) -> str:
    """SHA-256 of the values (H, W) of one grey image: the same whatever file holds them.

    Whole numbers of 0 to 65535 have the hash that a PNG of 16 bit with these pixels has.
    """
    values = _values(stored, rescale)
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < NUM_16_BIT:
        return pixel_sha256(values.astype(np.uint16)[..., None])
    little = values.astype("<i8" if values.dtype.kind in "iu" else "<f4")
    height, width = little.shape
    return hashlib.sha256(f"{height}x{width}x1:{little.dtype.str}:".encode() + little.tobytes()).hexdigest()


def _values(stored: Numbers, rescale: Rescale) -> Numbers:
    if stored.dtype.kind in "iu" and rescale.slope.is_integer() and rescale.intercept.is_integer():
        return stored.astype(np.int64) * int(rescale.slope) + int(rescale.intercept)
    return stored * rescale.slope + rescale.intercept


def joined(*words: str) -> str:
    """What was done, one after the other; empty parts say nothing."""
    return "; ".join(word for word in words if word)
