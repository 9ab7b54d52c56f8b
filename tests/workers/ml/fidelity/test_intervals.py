"""Intervals: what can be checked by hand, and that they hold as often as they say."""

import math
from itertools import islice

import numpy as np
import pytest

from workers.ml.fidelity.frechet import frechet_distance
from workers.ml.fidelity.intervals import (
    Estimate,
    count_interval,
    halves,
    influence_variance,
    normal_interval,
    share_interval,
)
from workers.ml.fidelity.kernel import kernel_distance


def test_the_influences_of_a_mean_give_its_variance():
    values = np.random.default_rng(0).normal(3, 2, 50)
    assert influence_variance(influences=values, groups=None) == pytest.approx(values.var(ddof=1) / 50)


def test_images_of_one_patient_count_as_one():
    values = np.random.default_rng(0).normal(3, 2, 50)
    single = influence_variance(influences=values, groups=None)
    doubled = influence_variance(influences=np.repeat(values, 2), groups=np.repeat(np.arange(50), 2) + 7)
    assert doubled == pytest.approx(single)


def test_one_group_has_no_spread():
    assert math.isnan(influence_variance(influences=np.arange(4.0), groups=np.zeros(4, dtype=np.int64)))


def test_a_mean_over_halves_spreads_as_much_as_its_standard_error():
    values = np.random.default_rng(0).normal(0, 1, 41)
    drawn = islice(halves(groups=None, num_images=41, seed=0), 4000)
    assert np.std([values[half].mean() for half in drawn]) == pytest.approx(
        values.std(ddof=1) / math.sqrt(41), rel=0.06
    )


def test_a_half_tears_no_group():
    groups = np.repeat([5, 6, 7, 8], [1, 2, 3, 4])
    for half in islice(halves(groups=groups, num_images=10, seed=0), 20):
        taken = set(groups[half])
        assert len(taken) == 2
        assert len(half) == np.isin(groups, list(taken)).sum()


def test_the_normal_interval_is_cut_where_the_figure_ends():
    low, high = normal_interval(estimate=Estimate(1.0, 1.0), confidence=0.95, lowest=0.0)
    assert (low, high) == (0.0, pytest.approx(2.95996, abs=1e-5))


class TestShare:
    def test_with_binomial_spread_it_is_wilsons(self):
        # Wilson, 8 of 10: (0.8 + z2/20 +- z sqrt(0.16/10 + z2/400)) / (1 + z2/10), z2 = 3.8415
        error = math.sqrt(0.8 * 0.2 / 10)
        low, high = share_interval(estimate=Estimate(0.8, error), num_units=10, confidence=0.95)
        assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))

    def test_more_spread_makes_it_wider(self):
        low, high = share_interval(estimate=Estimate(0.8, 0.2), num_units=10, confidence=0.95)
        assert low < 0.45
        assert high > 0.95

    @pytest.mark.parametrize(("share", "end"), [(0.0, 0), (1.0, 1)])
    @pytest.mark.parametrize("error", [0.0, 0.05])
    def test_none_or_all_still_get_an_interval(self, share: float, end: int, error: float):
        interval = share_interval(estimate=Estimate(share, error), num_units=10, confidence=0.95)
        assert interval[end] == pytest.approx(share)
        assert interval.high - interval.low == pytest.approx(3.8415 / 13.8415, abs=1e-3)  # z2 / (n + z2)


class TestCount:
    def test_of_zero_ends_where_a_share_of_zero_would_nearly(self):
        low, high = count_interval(estimate=Estimate(0.0, 0.0), num_units=50, confidence=0.95)
        assert (low, high) == (0.0, pytest.approx(3.8415 / 50, abs=1e-4))

    def test_of_many_is_nearly_normal(self):
        low, high = count_interval(estimate=Estimate(1.0, 0.05), num_units=10_000, confidence=0.95)
        assert (low, high) == (pytest.approx(1 - 0.098, abs=6e-3), pytest.approx(1 + 0.098, abs=6e-3))


def test_no_spread_means_no_interval():
    unknown = Estimate(0.5, math.nan)
    assert all(math.isnan(bound) for bound in share_interval(estimate=unknown, num_units=9, confidence=0.95))
    assert all(math.isnan(bound) for bound in count_interval(estimate=unknown, num_units=9, confidence=0.95))
    assert all(math.isnan(bound) for bound in normal_interval(estimate=unknown, confidence=0.95, lowest=-math.inf))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(("dimensions", "shift"), [(6, 0.0), (6, 0.5), (80, 0.0), (80, 0.2)])
def test_the_interval_holds_the_expected_figure(distance, dimensions: int, shift: float):
    """At 50 images a side, with fewer images than dimensions too, and where the sets are alike (errors too large then).

    KID's long tail costs it some of the 95 % with so few images and dimensions.
    """
    rng = np.random.default_rng(1)
    scales = 1 / np.sqrt(np.arange(1, dimensions + 1))
    estimates = [
        distance(
            real=rng.normal(0, scales, (50, dimensions)), fake=rng.normal(shift, scales, (50, dimensions)),
            real_groups=None, fake_groups=None,
        )
        for _ in range(120)
    ]  # fmt: skip
    values, errors = np.array(estimates).T
    assert (np.abs(values - values.mean()) < 1.96 * errors).mean() > 0.87
    assert errors.mean() < 1.8 * values.std()
