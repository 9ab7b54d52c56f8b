"""The copy rate of previews, cheap enough to be asked for during training: copying that begins is a reason to stop."""

from dataclasses import dataclass

from workers.ml.images import Uint8Images
from workers.ml.metrics.reports import Report
from workers.ml.privacy.calibration import Calibration, beyond, calibrate
from workers.ml.privacy.copies import CONFIDENCE
from workers.ml.privacy.neighbours import Flags, Indices
from workers.ml.privacy.pixels import PixelGallery, nearest_in_pixels, pixel_gallery
from workers.ml.privacy.rates import rate


@dataclass(frozen=True)
class CopyGauge:
    """Training images and a threshold, made ready once for a whole training."""

    gallery: PixelGallery
    calibration: Calibration
    mirrors: tuple[str, ...]


def copy_gauge(
    *, train_uint8: Uint8Images, train_clusters: Indices | None, held_out_uint8: Uint8Images, known: Flags | None,
    mirrors: tuple[str, ...], level: float,
) -> CopyGauge:  # fmt: skip
    """train_uint8: (T, S, S, C); held_out_uint8: (N, S, S, C) real images that nobody trains on, less those marked as `known` (N,)
    look-alikes of training images. Raises TooFewHeldOutError where they are too few for a threshold."""
    gallery = pixel_gallery(images_uint8=train_uint8, clusters=train_clusters)
    fresh = held_out_uint8 if known is None else held_out_uint8[~known]
    held_out = nearest_in_pixels(gallery=gallery, images_uint8=fresh, mirrors=mirrors, own=None)
    return CopyGauge(gallery, calibrate(held_out=held_out, level=level), mirrors)


def copy_rate_of_previews(*, gauge: CopyGauge, previews_uint8: Uint8Images) -> Report:
    """{n, count, value, low, high}: the share of previews (M, S, S, C) that are copies, 95 % interval."""
    found = nearest_in_pixels(gallery=gauge.gallery, images_uint8=previews_uint8, mirrors=gauge.mirrors, own=None)
    flagged = beyond(calibration=gauge.calibration, neighbours=found)
    return rate(count=int(flagged.sum()), total=int((~found.is_blank).sum()), confidence=CONFIDENCE)
