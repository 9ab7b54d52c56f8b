"""Planted copies are changed as said, each by its own random numbers, and their detection is measured."""

import numpy as np
import pytest

from tests.workers.ml.privacy.pictures import pictures
from workers.ml.privacy.calibration import calibrate
from workers.ml.privacy.pixels import nearest_in_pixels, pixel_gallery
from workers.ml.privacy.planted import AMOUNTS, STRENGTHS, altered
from workers.ml.privacy.power import planted_power, separation

TRAIN = pictures(40, seed=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alteration", AMOUNTS)
def test_stronger_alterations_change_more(alteration, channels):
    images = pictures(10, seed=1, channels=channels)
    changes = []
    for strength in STRENGTHS:
        changed = altered(images_uint8=images, alteration=alteration, strength=strength, seed=0)
        assert changed.shape == images.shape
        assert changed.dtype == np.uint8
        assert np.array_equal(changed, altered(images_uint8=images, alteration=alteration, strength=strength, seed=0))
        changes.append(np.abs(changed.astype(int) - images).mean())
    assert 0 < changes[0] <= changes[1] <= changes[2]


def test_unknown_alterations_are_refused():
    with pytest.raises(ValueError, match="'mild spin' is unknown"):
        altered(images_uint8=TRAIN, alteration="spin", strength="mild", seed=0)


def test_power_is_reported_for_each_alteration():
    gallery = pixel_gallery(images_uint8=TRAIN, clusters=None)
    options = {"gallery": gallery, "mirrors": ("left_right",)}
    held_out = nearest_in_pixels(images_uint8=pictures(60, seed=2), own=None, **options)
    rows = planted_power(
        train_uint8=TRAIN, held_out=held_out, calibration=calibrate(held_out=held_out, level=0.001), strengths=("mild",),
        num_planted=15, seed=0, **options,
    )  # fmt: skip
    assert [row["alteration"] for row in rows] == list(AMOUNTS)
    assert all(row["found"]["n"] == 15 for row in rows)
    assert all(row["auc"] > 0.95 for row in rows)
    assert rows[list(AMOUNTS).index("mirror")]["found"]["value"] == 1.0


def test_separation_counts_pairs():
    assert separation(near=np.array([0.0, 2.0]), far=np.array([1.0, 2.0, 3.0])) == pytest.approx((3 + 1.5) / 6)
    assert separation(near=np.array([0.0]), far=np.array([np.nan])) == 1.0
    assert separation(near=np.array([]), far=np.array([1.0])) is None
