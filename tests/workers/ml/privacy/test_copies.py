"""Planted copies are flagged, fresh images pass, and the report says how sure that is."""

import json

import numpy as np
import pytest

from tests.workers.ml.privacy.pictures import pictures
from workers.ml.privacy.calibration import TooFewHeldOutError
from workers.ml.privacy.copies import copies_report, find_copies, image_row
from workers.ml.privacy.pixels import nearest_in_pixels, pixel_gallery
from workers.ml.privacy.planted import altered

TRAIN = pictures(60, seed=0)
GALLERY = pixel_gallery(images_uint8=TRAIN, clusters=None)


def search(images):
    return nearest_in_pixels(gallery=GALLERY, images_uint8=images, mirrors=("left_right",), own=None)


HELD_OUT = search(pictures(120, seed=1))
PLANTED = np.concatenate(
    [
        altered(images_uint8=TRAIN[:5], alteration="noise", strength="mild", seed=0),
        TRAIN[5:10, :, ::-1],
        pictures(89, seed=2),
        np.zeros((1, *TRAIN.shape[1:]), np.uint8),
    ]
)  # 10 copies, 89 fresh ones, one blank
LABELS = np.repeat([0, 1], [10, 90])


def find(images=PLANTED, *, held_out=HELD_OUT, known=None, groups=None):
    return find_copies(synthetic=search(images), held_out=held_out, known=known, groups=groups, level=0.001, seed=0)


def report(found, **changes):
    return copies_report(**{"copies": found, "labels": None, "num_worst": 12} | changes)


def test_copies_are_flagged_and_nothing_else():
    found = find()
    assert np.flatnonzero(found.flagged).tolist() == list(range(10))
    assert found.neighbours.nearest[:10].tolist() == list(range(10))
    written = report(found, labels=LABELS)
    assert written["rate"] == {
        "n": 99, "count": 10, "value": 10 / 99, "low": pytest.approx(0.0495, abs=1e-3), "high": pytest.approx(0.1778, abs=1e-3)
    }  # fmt: skip
    assert [(each["label"], each["count"], each["n"]) for each in written["classes"]] == [(0, 10, 10), (1, 0, 89)]
    assert written["num_blank"] == 1
    assert written["floor"]["count"] == 0
    assert written["above_floor"]["is_above"]


def test_the_worst_pairs_come_first_and_tell_how_they_resemble():
    worst = report(find())["worst"]
    assert len(worst) == 12
    assert [each["score"] for each in worst] == sorted((each["score"] for each in worst), reverse=True)
    assert {each["synthetic"] for each in worst[:10]} == set(range(10))
    assert {each["kind"] for each in worst if 5 <= each["synthetic"] < 10} == {"left_right"}


def test_fresh_images_pass():
    written = report(find(pictures(200, seed=5)))
    assert written["rate"]["count"] <= 1
    assert not written["above_floor"]["is_above"]


def test_the_report_is_json_and_the_same_again():
    first, second = (json.dumps(report(find()), allow_nan=False) for _ in range(2))
    assert first == second
    blank = image_row(find(), 99)
    assert blank == {"synthetic": 99, "train": None, "kind": None, "similarity": None, "score": None, "flagged": False}


def test_a_leak_among_the_held_out_images_is_named_and_does_not_hide_copies():
    held_out = search(np.concatenate([TRAIN[50:52], pictures(118, seed=1)]))
    found = find(held_out=held_out)
    assert found.flagged[:10].all()
    written = report(found)
    assert written["suspected_leaks"] == [
        {"held_out": 0, "train": 50, "kind": "plain"},
        {"held_out": 1, "train": 51, "kind": "plain"},
    ]
    assert written["floor"]["count"] == 2


def test_it_is_said_of_how_many_groups_the_held_out_images_are():
    held_out = search(np.concatenate([TRAIN[50:52], pictures(118, seed=1)]))  # the first two are flagged
    written = report(find(held_out=held_out, groups=np.arange(120) // 2))
    assert (written["floor"]["num_groups"], written["floor"]["num_groups_flagged"]) == (60, 1)
    assert (
        "The floor (2 of 120 held-out images) and Fisher's test against it count images as independent; they are of 60 patients or groups, the flagged ones of 1."
        in written["threshold"]["method"]
    )
    single = report(find())
    assert "num_groups" not in single["floor"]
    assert single["threshold"]["method"].endswith("no patients and no look-alikes are known among them.")


def test_the_test_against_the_floor_does_not_depend_on_groups():
    with_groups, without = (report(find(groups=groups)) for groups in (np.arange(120), None))
    assert with_groups["above_floor"] == without["above_floor"]
    assert with_groups["floor"]["count"] == without["floor"]["count"]


def test_known_look_alikes_take_no_part():
    known = np.arange(120) < 2
    found = find(held_out=search(np.concatenate([TRAIN[50:52], pictures(118, seed=1)])), known=known)
    written = report(found)
    assert written["suspected_leaks"] == []
    assert written["threshold"]["num_held_out"] == 118
    assert written["threshold"]["num_known_look_alikes"] == 2


def test_few_held_out_images_give_a_coarse_threshold_that_says_so():
    found = find(held_out=search(pictures(24, seed=1)))
    written = report(found)
    assert found.flagged[5:10].all()
    assert written["rate"]["count"] <= 10
    assert written["floor"]["value"] is None
    assert "Only" in written["floor"]["reason"]
    assert written["above_floor"]["is_above"] is None
    assert written["threshold"]["proven_level"] == pytest.approx(0.142, abs=1e-3)  # 0 of 24
    assert "24 held-out images" in written["threshold"]["method"]


def test_too_few_held_out_images_are_refused():
    with pytest.raises(TooFewHeldOutError, match="Only 12 held-out"):
        find(held_out=search(pictures(12, seed=1)))


def test_a_set_of_blank_images_has_no_rate():
    written = report(find(np.zeros((3, *TRAIN.shape[1:]), np.uint8)))
    assert written["rate"]["value"] is None
    assert written["worst"] == []
    assert written["above_floor"]["reason"] == written["rate"]["reason"]
