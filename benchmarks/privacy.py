"""The privacy audit on real images: planted copies that are found, fresh real images that are flagged, and the time of a search.

python -m benchmarks privacy --data FOLDER (of zips of class folders, those in SETS)

Images are split three times into training (60 %), calibration and fresh ones (20 % each), groups of look-alikes whole. Copies of
training images are planted; AUC is that of the score against the fresh images.
"""

import io
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.core.duplicates import Gallery, near_pairs
from app.core.fingerprints import fingerprint
from app.core.images import IMAGE_SUFFIXES, decode_file, fit_square, normalise, to_uint8
from app.core.images.arrays import to_image
from app.core.unions import Unions
from workers.ml.privacy.calibration import Calibration, calibrate, statistic
from workers.ml.privacy.neighbours import Neighbours
from workers.ml.privacy.pixels import PixelGallery, nearest_in_pixels, pixel_gallery
from workers.ml.privacy.planted import AMOUNTS, STRENGTHS, altered
from workers.ml.privacy.power import separation
from workers.ml.privacy.rates import clopper_pearson

SETS = {"brain_tumor_mri": 1, "leukemia_all": 3, "sarscov2_ct": 1}  # channels
SIDES = (32, 64)
SPLITS = (0, 1, 2)
PLANTED = 60  # of each alteration and strength in each split
LEVEL = 0.001
MIRRORS = ("left_right",)
SPEED = (2000, 5000, 64)  # synthetic, training, px


class Images(NamedTuple):
    """images_uint8: by side (N, S, S, C); clusters: (N,) of look-alikes."""

    images_uint8: dict[int, NDArray[np.uint8]]
    clusters: NDArray[np.int64]


class Part(NamedTuple):
    """One split, searched."""

    gallery: PixelGallery
    train: NDArray[np.uint8]
    fresh: Neighbours
    calibration: Calibration


def measure(data: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, channels in SETS.items():
        images = read(data / f"{name}.zip", channels=channels)
        for side in SIDES:
            figures[f"{name} {side} px"] = figures_of([split(images, side, seed) for seed in SPLITS])
    return figures | {"search": speed()}


def read(path: Path, *, channels: int) -> Images:
    small: dict[int, list[NDArray[np.uint8]]] = {side: [] for side in SIDES}
    looks = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.count("/") == 1 and name.lower().endswith(tuple(IMAGE_SUFFIXES)):
                pixels = to_uint8(normalise(decode_file(io.BytesIO(archive.read(name))).array))
                looks.append(fingerprint(pixels))
                for side, images in small.items():
                    images.append(fit_square(to_image(pixels), image_size=side, channels=channels, fit="pad"))
    unions = Unions[int]()
    for pair in near_pairs(Gallery(looks)):
        unions.join(pair.first, pair.second)
    clusters = np.array([unions.root(place) for place in range(len(looks))])
    return Images({side: np.stack(images) for side, images in small.items()}, clusters)


def split(images: Images, side: int, seed: int) -> Part:
    clusters = np.random.default_rng(seed).permutation(np.unique(images.clusters))
    first, second = int(0.6 * len(clusters)), int(0.8 * len(clusters))
    train, calibration, fresh = (np.isin(images.clusters, part) for part in np.split(clusters, [first, second]))
    pixels = images.images_uint8[side]
    gallery = pixel_gallery(images_uint8=pixels[train], clusters=images.clusters[train])
    fitted = calibrate(held_out=search(gallery, pixels[calibration]), level=LEVEL)
    return Part(gallery, pixels[train], search(gallery, pixels[fresh]), fitted)


def search(gallery: PixelGallery, images_uint8: NDArray[np.uint8]) -> Neighbours:
    return nearest_in_pixels(gallery=gallery, images_uint8=images_uint8, mirrors=MIRRORS, own=None)


def figures_of(parts: list[Part]) -> dict[str, Any]:
    """Means over the splits; counts are added up."""
    fresh = [statistic(calibration=part.calibration, neighbours=part.fresh) for part in parts]
    flagged = [values < part.calibration.threshold for values, part in zip(fresh, parts, strict=True)]
    planted = {
        strength: {name: [scores_of_planted(part, name, strength) for part in parts] for name in AMOUNTS}
        for strength in STRENGTHS
    }
    pooled = [
        np.concatenate([planted[strength][name][k] for strength in STRENGTHS[:2] for name in AMOUNTS])
        for k in range(len(parts))
    ]
    return {
        "images": [len(parts[0].train), parts[0].calibration.num_held_out, len(fresh[0])],
        "fresh_flagged": share(np.concatenate(flagged)),
        "thresholds": [round(-part.calibration.threshold, 1) for part in parts],
        "auc_mild_and_moderate": auc(pooled, fresh),
        "planted": {
            f"{strength} {name}": {
                "auc": auc(values, fresh),
                "found": round(float(np.mean([v < p.calibration.threshold for v, p in zip(values, parts, strict=True)])), 3),
            }
            for strength, rows in planted.items()
            for name, values in rows.items()
        },
    }  # fmt: skip


def scores_of_planted(part: Part, alteration: str, strength: str) -> NDArray[np.float64]:
    chosen = np.random.default_rng(0).permutation(len(part.train))[:PLANTED]
    copies = altered(images_uint8=part.train[chosen], alteration=alteration, strength=strength, seed=0)
    return statistic(calibration=part.calibration, neighbours=search(part.gallery, copies))


def auc(near: list[NDArray[np.float64]], far: list[NDArray[np.float64]]) -> float:
    return round(float(np.mean([separation(near=one, far=other) for one, other in zip(near, far, strict=True)])), 4)


def share(flags: NDArray[np.bool_]) -> dict[str, Any]:
    low, high = clopper_pearson(count=int(flags.sum()), total=len(flags), confidence=0.95)
    return {
        "n": len(flags), "count": int(flags.sum()), "value": round(float(flags.mean()), 4), "low": round(low, 4), "high": round(high, 4),
    }  # fmt: skip


def speed() -> dict[str, Any]:
    """Seconds of processor time for SPEED, on noise smoothed at random scales (contents do not matter)."""
    num, num_train, side = SPEED
    coarse = np.random.default_rng(0).integers(0, 256, (num + num_train, side // 4, side // 4, 1), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    begun = time.process_time()
    gallery = pixel_gallery(images_uint8=images[num:], clusters=None)
    prepared = time.process_time()
    search(gallery, images[:num])
    return {
        "synthetic": num, "train": num_train, "px": side,
        "prepare_s": round(prepared - begun, 1), "search_s": round(time.process_time() - prepared, 1),
    }  # fmt: skip
