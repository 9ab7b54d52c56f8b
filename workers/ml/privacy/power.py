"""How many planted copies a calibrated search finds in a lab's own images: what its silence is worth."""

import numpy as np

from workers.ml.images import Uint8Images
from workers.ml.metrics.reports import Report
from workers.ml.privacy.calibration import Calibration, statistic
from workers.ml.privacy.copies import CONFIDENCE
from workers.ml.privacy.neighbours import Floats, Neighbours
from workers.ml.privacy.pixels import PixelGallery, nearest_in_pixels
from workers.ml.privacy.planted import AMOUNTS, altered
from workers.ml.privacy.rates import rate
from workers.ml.seeding import numpy_generator


def planted_power(
    *, gallery: PixelGallery, train_uint8: Uint8Images, held_out: Neighbours, calibration: Calibration,
    strengths: tuple[str, ...], mirrors: tuple[str, ...], num_planted: int, seed: int,
) -> list[Report]:  # fmt: skip
    """One row for each alteration and strength: {alteration, strength, auc, found: {n, count, value, low, high}}.

    train_uint8: (T, S, S, C), those of the gallery; of these num_planted, or all that are not blank, are altered. auc: how well
    the score tells them from the held-out images; found: how many are flagged.
    """
    usable = np.flatnonzero(~gallery.is_flat)
    chosen = np.sort(numpy_generator("planted", seed).permutation(usable)[:num_planted])
    fresh = statistic(calibration=calibration, neighbours=held_out)
    rows = []
    for alteration in AMOUNTS:
        for strength in strengths:
            copies = altered(images_uint8=train_uint8[chosen], alteration=alteration, strength=strength, seed=seed)
            found = nearest_in_pixels(gallery=gallery, images_uint8=copies, mirrors=mirrors, own=None)
            values = statistic(calibration=calibration, neighbours=found)
            flagged = int((values < calibration.threshold).sum())
            rows.append(
                {
                    "alteration": alteration,
                    "strength": strength,
                    "auc": separation(near=values, far=fresh),
                    "found": rate(count=flagged, total=len(chosen), confidence=CONFIDENCE),
                }
            )
    return rows


def separation(*, near: Floats, far: Floats) -> float | None:
    """Area under the ROC curve of statistics (N,) and (M,), lower for `near`; ties count half; NaN (a blank image) is farthest.

    None if either is empty.
    """
    from scipy.stats import rankdata

    if not len(near) or not len(far):
        return None
    ranks = rankdata(np.nan_to_num(np.concatenate([near, far]), nan=np.inf))
    wins = len(near) * len(far) - (ranks[: len(near)].sum() - len(near) * (len(near) + 1) / 2)
    return float(wins / (len(near) * len(far)))
