"""The copy rate of previews, cheap enough to be asked for during training: copying that begins is a reason to stop.

A training is checked many times against one floor, so the test of each is stricter than an audit's, and one alarm may be chance: ALARMS
in a row are asked for. docs/science/privacy.md has how often that stops a training which copies nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.ml.images import Uint8Images
from workers.ml.metrics.reports import Report
from workers.ml.privacy.calibration import Calibration, TooFewHeldOutError, beyond, calibrate
from workers.ml.privacy.copies import CONFIDENCE, above_floor, floor_of
from workers.ml.privacy.neighbours import Flags, Indices
from workers.ml.privacy.pixels import PixelGallery, nearest_in_pixels, pixel_gallery
from workers.ml.privacy.rates import rate

ALARM_P = 0.01  # Fisher's exact test, one-sided, of one check
ALARMS = 2  # checks in a row above the floor: copying has begun


@dataclass(frozen=True)
class CopyGauge:
    """Training images, a threshold and how often it flags unseen real images, made ready once for a whole training."""

    gallery: PixelGallery
    calibration: Calibration
    floor: Report
    mirrors: tuple[str, ...]


def copy_gauge(
    *, train_uint8: Uint8Images, train_clusters: Indices | None, held_out_uint8: Uint8Images, groups: Indices | None,
    known: Flags | None, mirrors: tuple[str, ...], level: float, seed: int,
) -> CopyGauge:  # fmt: skip
    """train_uint8: (T, S, S, C); held_out_uint8: (N, S, S, C) real images that nobody trains on, of patients `groups` (N,), less those
    marked as `known` (N,) look-alikes of training images. Raises TooFewHeldOutError where they are too few for a threshold and its floor."""
    gallery = pixel_gallery(images_uint8=train_uint8, clusters=train_clusters)
    found = nearest_in_pixels(gallery=gallery, images_uint8=held_out_uint8, mirrors=mirrors, own=None)
    counted = np.flatnonzero(~found.is_blank if known is None else ~found.is_blank & ~known)
    reference, own_groups = found.of(counted), None if groups is None else groups[counted]
    calibration = calibrate(held_out=reference, level=level)
    floor = floor_of(reference=reference, groups=own_groups, level=level, seed=seed)
    if not floor["n"]:
        raise TooFewHeldOutError(floor["reason"])
    return CopyGauge(gallery, calibration, floor, mirrors)


def check_previews(*, gauge: CopyGauge, previews_uint8: Uint8Images) -> Report:
    """{n, count, value, low, high, p_value, is_above}: the share of previews (M, S, S, C) that are copies with its 95 % interval, and
    Fisher's one-sided test of more copies than among the held-out images. n counts previews that show anything; without any nothing is above."""
    found = nearest_in_pixels(gallery=gauge.gallery, images_uint8=previews_uint8, mirrors=gauge.mirrors, own=None)
    flagged = beyond(calibration=gauge.calibration, neighbours=found)
    result = rate(count=int(flagged.sum()), total=int((~found.is_blank).sum()), confidence=CONFIDENCE)
    return {**result, **against_floor(result, gauge.floor)}


def against_floor(result: Report, floor: Report) -> Report:
    """{p_value, is_above}: whether more previews than held-out images are flagged, at ALARM_P; null and False without previews."""
    p_value = above_floor(result, floor)["p_value"]
    return {"p_value": p_value, "is_above": p_value is not None and p_value < ALARM_P}


def copying_began(checks: Sequence[Report]) -> bool:
    """Whether the last ALARMS of a training's checks, in order, were all above the floor."""
    return len(checks) >= ALARMS and all(check["is_above"] for check in checks[-ALARMS:])
