"""Previews are compared with training images while training goes on, and two alarms in a row say that copying has begun."""

import numpy as np
import pytest

from tests.workers.ml.privacy.pictures import pictures
from workers.ml.privacy.calibration import TooFewHeldOutError
from workers.ml.privacy.previews import check_previews, copy_gauge, copying_began

TRAIN, HELD_OUT, FRESH = pictures(60, seed=0), pictures(80, seed=1), pictures(40, seed=2)
COPYING = np.concatenate([TRAIN[:4], TRAIN[:1], FRESH[:35]])  # five copies of four training images


def gauge(**changes):
    options = {
        "train_uint8": TRAIN, "train_clusters": None, "held_out_uint8": HELD_OUT, "groups": None, "known": None, "mirrors": (),
        "level": 0.001, "seed": 0,
    }  # fmt: skip
    return copy_gauge(**options | changes)


def test_previews_that_copy_are_counted_and_fresh_ones_are_not():
    made = gauge()
    assert made.floor["count"] == 0
    copying = check_previews(gauge=made, previews_uint8=COPYING)
    assert (copying["count"], copying["n"], copying["is_above"]) == (5, 40, True)
    # Fisher, one-sided, 5 of 40 against 0 of 80: C(40, 5) / C(120, 5)
    assert copying["p_value"] == pytest.approx(658_008 / 190_578_024)
    fresh = check_previews(gauge=made, previews_uint8=FRESH)
    assert (fresh["count"], fresh["p_value"], fresh["is_above"]) == (0, 1.0, False)


def test_early_previews_that_show_nothing_have_no_rate_and_raise_no_alarm():
    blank = np.full((4, *TRAIN.shape[1:]), 128, dtype=np.uint8)
    found = check_previews(gauge=gauge(), previews_uint8=blank)
    assert (found["value"], found["is_above"]) == (None, False)


def test_known_look_alikes_do_not_count_as_held_out():
    with pytest.raises(TooFewHeldOutError, match="Only 10 held-out"):
        gauge(known=np.arange(80) >= 10)


def test_a_threshold_whose_floor_cannot_be_tested_is_none():
    with pytest.raises(TooFewHeldOutError, match="cannot be tested on images that did not set it"):
        gauge(held_out_uint8=HELD_OUT[:24])
    assert gauge(held_out_uint8=HELD_OUT[:25]).floor["n"] == 25


def test_patients_are_not_torn_between_threshold_and_floor():
    with pytest.raises(TooFewHeldOutError, match="cannot be tested"):
        gauge(groups=np.zeros(80, dtype=np.int64))


@pytest.mark.parametrize(
    ("alarms", "began"),
    [([], False), ([True], False), ([True, True], True), ([True, False, True], False), ([False, True, True], True)],
)
def test_one_alarm_may_be_chance_and_two_in_a_row_are_copying(alarms, began):
    assert copying_began([{"is_above": each} for each in alarms]) is began
