"""The threshold keeps its promise on fresh images, with few of them too, and unnoticed leaks do not move it."""

import numpy as np
import pytest

from workers.ml.privacy.calibration import (
    MIN_HELD_OUT,
    TooFewHeldOutError,
    beyond,
    calibrate,
    cross_fitted,
    statistic,
)
from workers.ml.privacy.neighbours import Neighbours


def neighbours(views: np.ndarray) -> Neighbours:
    views = views.reshape(len(views), -1)
    return Neighbours(np.zeros(len(views), dtype=int), np.zeros(len(views), dtype=int), views[:, 0], views[:, 0], views)


def power_law(num: int, *, seed: int, dimension: float = 8.0) -> Neighbours:
    """Logarithms of distances whose distribution function is distance ** dimension."""
    return neighbours(np.log(np.random.default_rng(seed).uniform(size=num)) / dimension)


def normal(num: int, *, seed: int) -> Neighbours:
    return neighbours(np.random.default_rng(seed).normal(-0.3, 0.1, (num, 2)))


@pytest.mark.parametrize("num", [20, 100, 1000])
def test_one_fresh_image_in_a_thousand_lies_beyond_whatever_the_number_held_out(num):
    fresh = power_law(100_000, seed=1)
    rates = [
        beyond(calibration=calibrate(held_out=power_law(num, seed=seed), level=0.001), neighbours=fresh).mean()
        for seed in range(100, 300)
    ]
    assert 0.0004 < np.mean(rates) < 0.002


def test_lighter_tails_than_a_power_law_are_flagged_less():
    fresh = normal(50_000, seed=2)
    rates = [
        beyond(calibration=calibrate(held_out=normal(200, seed=seed), level=0.001), neighbours=fresh).mean()
        for seed in range(50)
    ]
    assert np.mean(rates) < 0.001


def test_the_threshold_is_further_out_and_less_certain_with_fewer_images():
    few, many = (calibrate(held_out=power_law(num, seed=3), level=0.001) for num in (20, 2000))
    assert few.high - few.low > 3 * (many.high - many.low)
    assert few.low < few.threshold < few.high
    true = (np.log(0.001) / 8 - many.centres[0]) / many.scales[0]
    assert many.low < true < many.high


def test_leaks_in_the_held_out_images_do_not_move_the_threshold():
    clean = power_law(500, seed=4)
    leaking = clean.views.copy()
    leaking[:8] = -7.0  # 1.6 %, nearly equal to training images
    before, after = calibrate(held_out=clean, level=0.001), calibrate(held_out=neighbours(leaking), level=0.001)
    assert after.threshold == pytest.approx(before.threshold, rel=0.1)
    assert beyond(calibration=after, neighbours=neighbours(leaking))[:8].all()


def test_equal_distances_are_no_error():
    fit = calibrate(held_out=neighbours(np.zeros((30, 2))), level=0.001)
    assert np.isfinite(fit.threshold)
    assert not beyond(calibration=fit, neighbours=neighbours(np.zeros((5, 2)))).any()


def test_blank_images_neither_count_nor_are_flagged():
    held_out = power_law(50, seed=5)
    with_blank = Neighbours(
        np.append(held_out.nearest, -1), np.append(held_out.kind, 0), np.append(held_out.similarity, np.nan),
        np.append(held_out.distances, np.nan), np.append(held_out.views, [[np.nan]], axis=0),
    )  # fmt: skip
    fit = calibrate(held_out=with_blank, level=0.001)
    assert fit.num_held_out == 50
    assert not beyond(calibration=fit, neighbours=with_blank)[-1]
    assert np.isnan(statistic(calibration=fit, neighbours=with_blank)[-1])


def test_too_few_held_out_images_are_refused_in_words():
    with pytest.raises(TooFewHeldOutError, match="Only 19 held-out real images can be compared; at least 20"):
        calibrate(held_out=power_law(MIN_HELD_OUT - 1, seed=6), level=0.001)
    with pytest.raises(ValueError, match="level is 0"):
        calibrate(held_out=power_law(100, seed=6), level=0.0)


class TestCrossFitted:
    def test_flags_about_the_level(self):
        flags = cross_fitted(held_out=power_law(20_000, seed=7), groups=np.arange(20_000), level=0.001, seed=0)
        assert 5 <= flags.sum() <= 45

    def test_finds_a_leak_that_is_itself_among_the_images(self):
        views = power_law(200, seed=8).views
        views[17] = -7.0
        flags = cross_fitted(held_out=neighbours(views), groups=np.arange(200), level=0.001, seed=0)
        assert flags[17]
        assert flags.sum() <= 2

    def test_is_the_same_for_any_names_of_the_groups(self):
        held_out = power_law(300, seed=9)
        groups = np.arange(300) // 3
        first = cross_fitted(held_out=held_out, groups=groups, level=0.05, seed=1)
        again = cross_fitted(held_out=held_out, groups=groups * 7 + 1000, level=0.05, seed=1)
        assert first.sum() > 0
        assert np.array_equal(first, again)
