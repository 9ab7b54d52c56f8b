"""The whole audit in one report that JSON can hold; what cannot be said has a reason."""

import json

import numpy as np

from tests.workers.ml.privacy.pictures import pictures
from workers.ml.privacy.audit import Features, RealImages, audit

TRAIN, HELD_OUT, FRESH = pictures(60, seed=0), pictures(80, seed=1), pictures(40, seed=2)
COPYING = np.concatenate([TRAIN[:4], TRAIN[:1], FRESH[:35]])  # five copies of four training images


def real(images, **changes) -> RealImages:
    return RealImages(**{"images_uint8": images, "clusters": None, "groups": None} | changes)


def run(synthetic=COPYING, **changes):
    options = {
        "synthetic_uint8": synthetic, "synthetic_labels": None, "train": real(TRAIN), "held_out": real(HELD_OUT), "features": {},
        "mirrors": ("left_right",), "membership": None, "level": 0.001, "num_planted": 0, "num_worst": 5, "seed": 0,
    }  # fmt: skip
    return audit(**options | changes)


def flat(images):
    return images.reshape(len(images), -1).astype(float) - 120


def test_copies_in_pixels_and_features_stand_in_one_report():
    features = Features(flat(TRAIN), {"plain": flat(HELD_OUT)}, {"plain": flat(COPYING)})
    report, images = run(features={"flattened pixels": features}, num_planted=8)
    assert list(report["spaces"]) == ["pixels", "flattened pixels"]
    for space in report["spaces"].values():
        assert space["copies"]["rate"]["count"] == 5
        assert space["memorised"]["count"] == 4
        assert space["memorised"]["train"][0] == {"train": 0, "copies": 2}
        assert space["authenticity"]["value"] < 1
        assert space["authenticity_of_held_out"]["n"] == 80
    assert report["num_flagged"] == 5
    assert [each["synthetic"] for each in images if each["flagged"]] == [0, 1, 2, 3, 4]
    assert images[3]["spaces"]["pixels"]["train"] == 3
    assert {row["strength"] for row in report["power"]} == {"mild", "moderate"}
    json.dumps([report, images], allow_nan=False)


def test_a_fresh_set_passes():
    report, images = run(FRESH)
    assert report["num_flagged"] == 0
    assert not any(each["flagged"] for each in images)
    space = report["spaces"]["pixels"]
    assert space["memorised"]["count"] == 0
    low, high = space["authenticity_of_held_out"]["low"], space["authenticity_of_held_out"]["high"]
    assert low < space["authenticity"]["value"] < high


def test_without_enough_held_out_images_reasons_stand_in_place_of_figures():
    report, images = run(held_out=real(HELD_OUT[:10]), num_planted=8)
    space = report["spaces"]["pixels"]
    assert space["copies"]["value"] is None
    assert "Only 10 held-out real images" in space["copies"]["reason"]
    assert "reason" in space["memorised"]
    assert "reason" in report["power"]
    assert "not attacked" in report["membership"]["reason"]
    assert report["num_flagged"] is None
    assert space["authenticity"]["n"] == 40
    assert images[0] == {"synthetic": 0, "flagged": False, "spaces": {}}


def test_look_alikes_across_the_split_are_left_out_of_the_calibration():
    clusters = np.arange(60), np.append([0, 1, 2], np.arange(100, 177))
    held_out = np.concatenate([TRAIN[:3], HELD_OUT[:77]])
    report, _ = run(train=real(TRAIN, clusters=clusters[0]), held_out=real(held_out, clusters=clusters[1]))
    threshold = report["spaces"]["pixels"]["copies"]["threshold"]
    assert (threshold["num_held_out"], threshold["num_known_look_alikes"]) == (77, 3)
    assert report["num_flagged"] == 5


def test_colour_images_are_audited_too():
    train, held_out = pictures(40, seed=3, channels=3), pictures(40, seed=4, channels=3)
    synthetic = np.concatenate([train[:2], pictures(10, seed=5, channels=3)])
    assert run(synthetic, train=real(train), held_out=real(held_out)).report["num_flagged"] == 2
