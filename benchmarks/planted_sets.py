"""The audit's light for copies on real images whose truth is known, by the code that audits a synthetic set.

python -m benchmarks planted_sets --data FOLDER (of zips of class folders, those in privacy.SETS)

"Synthetic" sets that are training images, altered, must be red, with an AUC of at least 0.95; a set of fresh real images must be
green. Images are split once into training, held-out and fresh ones, groups of look-alikes whole.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.lights import lights, unmeasured
from benchmarks.privacy import LEVEL, MIRRORS, SETS, Images, read
from workers.ml.privacy.audit import Audit, RealImages, audit
from workers.ml.privacy.planted import AMOUNTS, altered
from workers.ml.privacy.power import separation

SIDE = 32
STRENGTHS = ("mild", "moderate")
MOST = {"train": 400, "held_out": 200, "fresh": 100}
PLANTED = 40  # in each set
Side = tuple[NDArray[np.uint8], NDArray[np.int64]]


def measure(data: Path) -> dict[str, Any]:
    return {name: figures_of(read(data / f"{name}.zip", channels=channels)) for name, channels in SETS.items()}


def figures_of(images: Images) -> dict[str, Any]:
    sides = parts(images)
    train = sides["train"][0]
    fresh = audited(sides["fresh"][0], sides)
    far = scores(fresh)
    planted = {}
    for alteration in AMOUNTS:
        for strength in STRENGTHS:
            chosen = np.random.default_rng(0).permutation(len(train))[:PLANTED]
            copies = altered(images_uint8=train[chosen], alteration=alteration, strength=strength, seed=0)
            found = audited(copies, sides)
            auc = separation(near=-scores(found), far=-far)
            planted[f"{strength} {alteration}"] = {**light(found), "auc": round(auc or 0, 4)}
    return {
        "images": {name: len(pixels) for name, (pixels, _) in sides.items()},
        "fresh": light(fresh),
        "planted": planted,
        "least_auc": min(each["auc"] for each in planted.values()),
        "all_red": all(each["light"] == "red" for each in planted.values()),
    }


def parts(images: Images) -> dict[str, Side]:
    """(pixels, clusters) of each of MOST."""
    clusters = np.random.default_rng(0).permutation(np.unique(images.clusters))
    cuts = [int(0.6 * len(clusters)), int(0.85 * len(clusters))]
    sides = {}
    for name, own in zip(MOST, np.split(clusters, cuts), strict=True):
        places = np.flatnonzero(np.isin(images.clusters, own))
        places = np.sort(np.random.default_rng(1).permutation(places)[: MOST[name]])
        sides[name] = (images.images_uint8[SIDE][places], images.clusters[places])
    return sides


def audited(synthetic_uint8: NDArray[np.uint8], sides: dict[str, Side]) -> Audit:
    return audit(
        synthetic_uint8=synthetic_uint8, synthetic_labels=None, train=RealImages(*sides["train"], None),
        held_out=RealImages(*sides["held_out"], None), features={}, mirrors=MIRRORS, membership=None, level=LEVEL, num_planted=0, num_worst=0,
        seed=0,
    )  # fmt: skip


def scores(found: Audit) -> NDArray[np.float64]:
    """(M,) of the synthetic images; NaN for blank ones."""
    values = [each["spaces"]["pixels"]["score"] for each in found.images]
    return np.array([np.nan if value is None else value for value in values])


def light(found: Audit) -> dict[str, Any]:
    report = {"images": {"was_learnt": True}, "privacy": found.report}
    told = lights(leaks=None, report=report, utility=unmeasured())
    copies = next(each for each in told if each["name"] == "copies")
    rate = found.report["spaces"]["pixels"]["copies"]["rate"]
    return {"light": copies["state"], "flagged": f"{rate['count']} of {rate['n']}"}
