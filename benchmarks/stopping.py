"""How often a training that copies nothing is stopped by stop_on_copies, and how soon one that copies is: on real images.

python -m benchmarks stopping --data FOLDER (of zips of class folders, those in privacy.SETS)

Images are split into training (60 %) and the rest, groups of look-alikes whole. The rest stands for validation images and for what
is drawn: fresh real images copy nothing. Of those drawn a share is then taken to be copies that the search finds.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.privacy import LEVEL, SETS, Images, read, search
from workers.ml.privacy.calibration import beyond, calibrate
from workers.ml.privacy.copies import floor_of
from workers.ml.privacy.neighbours import Neighbours
from workers.ml.privacy.pixels import pixel_gallery
from workers.ml.privacy.previews import against_floor, copying_began
from workers.ml.privacy.rates import clopper_pearson, rate

SIDE = 32
NUM_CHECKS = 30  # of a training with the default interval
NUM_DRAWN = (32, 64)
HELD_OUT = (25, 50, 100, 300)
REPEATS = 200
COPIED = (0.05, 0.1, 0.2, 0.4)  # of what is drawn


def measure(data: Path) -> dict[str, Any]:
    return {
        name: figures_of(read(data / f"{name}.zip", channels=channels), seed=place)
        for place, (name, channels) in enumerate(SETS.items())
    }


def figures_of(images: Images, *, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    clusters = rng.permutation(np.unique(images.clusters))
    is_train = np.isin(images.clusters, clusters[: int(0.6 * len(clusters))])
    pixels = images.images_uint8[SIDE]
    gallery = pixel_gallery(images_uint8=pixels[is_train], clusters=images.clusters[is_train])
    rest, rest_clusters = search(gallery, pixels[~is_train]), images.clusters[~is_train]
    return {
        "train": int(is_train.sum()),
        "rest": len(rest_clusters),
        "held_out": {
            str(held_out): {str(drawn): trainings(rest, rest_clusters, held_out, drawn, rng) for drawn in NUM_DRAWN}
            for held_out in HELD_OUT
        },
    }


def trainings(
    rest: Neighbours, clusters: NDArray[np.int64], held_out: int, drawn: int, rng: np.random.Generator
) -> dict[str, Any]:
    """REPEATS trainings, each with validation images and drawings of its own: shares stopped, and of single checks that were alarms."""
    stopped, alarms = 0, 0
    copying = {share: dict.fromkeys((2, 5, 10), 0) for share in COPIED}
    for _ in range(REPEATS):
        order = rng.permutation(len(clusters))
        own, others = np.sort(order[:held_out]), order[held_out:]
        calibration = calibrate(held_out=rest.of(own), level=LEVEL)
        floor = floor_of(reference=rest.of(own), groups=clusters[own], level=LEVEL, seed=0)
        flagged = beyond(calibration=calibration, neighbours=rest.of(others))
        checks = checked(rng.choice(flagged, (NUM_CHECKS, drawn)), floor)
        alarms += sum(check["is_above"] for check in checks)
        stopped += stops_within(checks, NUM_CHECKS)
        for share, counts in copying.items():
            found = checked(rng.choice(flagged, (10, drawn)) | (rng.random((10, drawn)) < share), floor)
            for within in counts:
                counts[within] += stops_within(found, within)
    low, high = clopper_pearson(count=stopped, total=REPEATS, confidence=0.95)
    return {
        "stopped": stopped, "of": REPEATS, "low": round(low, 4), "high": round(high, 4), "alarms_per_check": round(alarms / REPEATS / NUM_CHECKS, 4),
        "copying_stopped_within": {
            str(share): {str(within): round(count / REPEATS, 3) for within, count in counts.items()} for share, counts in copying.items()
        },
    }  # fmt: skip


def checked(flags: NDArray[np.bool_], floor: dict[str, Any]) -> list[dict[str, Any]]:
    """What each row of flags (checks, drawn) says; equal counts are tested once."""
    known: dict[int, bool] = {}
    for count in np.unique(flags.sum(axis=1)).tolist():
        found = rate(count=count, total=flags.shape[1], confidence=0.95)
        known[count] = bool(against_floor(found, floor)["is_above"])
    return [{"is_above": known[count]} for count in flags.sum(axis=1).tolist()]


def stops_within(checks: list[dict[str, Any]], num: int) -> bool:
    return any(copying_began(checks[:end]) for end in range(1, num + 1))
