import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.ml.metrics.intervals import Basis, bases, score_interval, symmetric_interval


def basis(images=100, groups=100, degrees=99):
    return Basis(*(np.array(float(number)) for number in (images, groups, degrees)))


def spread_draws(standard_deviation, number=5000, centre=0.0):
    rng = np.random.default_rng(0)
    draws = rng.normal(size=number)
    return centre + standard_deviation * (draws - draws.mean()) / draws.std(ddof=1)


class TestScoreInterval:
    def test_is_wilsons_where_resamples_spread_as_single_images_do(self):
        # Wilson's interval of 90 of 100, with t(99) = 1.98422 for z, worked out by hand from its formula.
        t, n, p = 1.9842169515, 100, 0.9
        variance = p * (1 - p) / n * (n - 1) / n  # n / (n - 1) of it is that of 100 single images
        low, high = score_interval(
            values=np.array(p), draws=spread_draws(np.sqrt(variance), centre=p), basis=basis(), confidence=0.95
        )
        centre = (p + t**2 / (2 * n)) / (1 + t**2 / n)
        half = t * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2)) / (1 + t**2 / n)
        assert [low, high] == pytest.approx([centre - half, centre + half], abs=1e-6)

    def test_twice_the_spread_is_a_quarter_of_the_images(self):
        one = score_interval(values=np.array(0.5), draws=spread_draws(0.1, centre=0.5), basis=basis(), confidence=0.95)
        # 0.25 / (0.01 * 100 / 99) = 24.75 images
        expected = Basis(np.array(24.75), np.array(24.75), np.array(99.0))
        other = score_interval(values=np.array(0.5), draws=np.full(5, 0.5), basis=expected, confidence=0.95)
        assert [float(bound) for bound in one] == pytest.approx([float(bound) for bound in other])

    def test_a_perfect_share_of_n_groups_goes_down_to_n_of_n_plus_t_squared(self):
        low, high = score_interval(
            values=np.array(1.0), draws=np.ones(50), basis=basis(1000, 30, 29), confidence=0.95
        )  # fmt: skip
        assert high == 1
        assert low == pytest.approx(30 / (30 + 2.04523**2), abs=1e-5)

    def test_no_more_images_than_there_are(self):
        narrow = score_interval(
            values=np.array(0.9), draws=spread_draws(0.001, centre=0.9), basis=basis(), confidence=0.95
        )  # fmt: skip
        usual = score_interval(
            values=np.array(0.9), draws=spread_draws(0.03, centre=0.9), basis=basis(), confidence=0.95
        )  # fmt: skip
        assert [float(bound) for bound in narrow] == pytest.approx([float(bound) for bound in usual], abs=2e-3)

    def test_one_group_has_no_interval(self):
        bounds = score_interval(values=np.array(0.5), draws=np.full(9, 0.5), basis=basis(9, 1, 0), confidence=0.95)
        assert np.isnan(bounds).all()

    def test_resamples_without_a_value_do_not_count(self):
        draws = spread_draws(0.05, centre=0.7)
        holed = np.insert(draws, [3, 40], np.nan)
        same = [
            score_interval(values=np.array(0.7), draws=d, basis=basis(), confidence=0.95) for d in (draws, holed)
        ]  # fmt: skip
        assert same[0] == same[1]

    @settings(max_examples=60, deadline=None)
    @given(
        value=st.floats(0, 1), spread=st.floats(0, 0.5), images=st.integers(2, 500), share=st.floats(0.05, 1),
        confidence=st.floats(0.5, 0.999),
    )  # fmt: skip
    def test_holds_the_value_and_stays_within_0_and_1(self, value, spread, images, share, confidence):
        groups = max(2, round(images * share))
        low, high = score_interval(
            values=np.array(value), draws=spread_draws(spread, 50, value), confidence=confidence,
            basis=basis(images, groups, groups - 1),
        )  # fmt: skip
        assert 0 <= low <= value <= high <= 1
        assert high > low


class TestBases:
    LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    INDICES = np.array([0, 0, 1, 2, 3, 4, 5, 4])  # group 4 has images of classes 1 and 2

    def found(self, name, predicted=(0, 0, 0, 0, 0, 0, 1, 1)):
        return bases(labels=self.LABELS, predicted=np.array(predicted), indices=self.INDICES, num_classes=3)[name]

    def test_a_share_of_all_counts_all(self):
        whole = self.found("accuracy")
        assert (whole.images, whole.groups, whole.degrees) == (8, 6, 5)

    def test_a_class_counts_its_own(self):
        of_class = self.found("class_recall")
        assert (of_class.images.tolist(), of_class.groups.tolist()) == ([4, 2, 2], [3, 2, 2])
        assert self.found("class_specificity").groups.tolist() == [3, 5, 5]
        assert self.found("class_precision").groups.tolist() == [5, 2, 0]

    def test_a_mean_over_classes_counts_by_its_variance(self):
        mean = self.found("balanced_accuracy")
        assert mean.images == pytest.approx(9 / (1 / 4 + 1 / 2 + 1 / 2))
        assert mean.groups == pytest.approx(9 / (1 / 3 + 1 / 2 + 1 / 2))
        # Satterthwaite: (4/3)^2 / (1/9/2 + 1/4/1 + 1/4/1)
        assert mean.degrees == pytest.approx((4 / 3) ** 2 / (1 / 18 + 1 / 2))

    def test_equal_classes_have_the_degrees_of_all_less_one_for_each(self):
        labels = np.arange(60) % 3
        found = bases(labels=labels, predicted=labels, indices=np.arange(60), num_classes=3)["macro_f1"]
        assert (found.groups, found.degrees) == (pytest.approx(60), pytest.approx(57))

    def test_a_class_of_one_group_leaves_no_degrees(self):
        found = bases(
            labels=np.array([0, 0, 1]), predicted=np.zeros(3, int), indices=np.arange(3), num_classes=4
        )  # fmt: skip
        assert found["balanced_accuracy"].degrees == 0
        assert found["accuracy"].degrees == 2


class TestSymmetricInterval:
    def test_by_hand(self):
        # 19 resamples at distances 1 ... 19 hundredths; all but 0 of 20 at 0.95: the largest, widened.
        draws = 0.3 + np.arange(1, 20) / 100 * np.tile([1, -1], 10)[:19]
        found = symmetric_interval(value=0.3, draws=draws, basis=basis(10**9, 10**9, 10**9), confidence=0.9)
        assert [found.low, found.high] == pytest.approx([0.3 - 0.19, 0.3 + 0.19], abs=1e-6)
        assert found.p == pytest.approx(1 / 20)

    def test_few_groups_widen_it(self):
        # sqrt(10 / 9) * t(9) / z = 1.05409 * 2.26216 / 1.95996
        draws = spread_draws(0.01, centre=0.3)
        many, few = (
            symmetric_interval(value=0.3, draws=draws, basis=b, confidence=0.95)
            for b in (basis(10**9, 10**9, 10**9), basis(10, 10, 9))
        )
        assert (few.high - few.low) / (many.high - many.low) == pytest.approx(1.21662, abs=1e-4)

    def test_p_is_never_0(self):
        found = symmetric_interval(value=0.5, draws=spread_draws(0.001, 99, 0.5), basis=basis(), confidence=0.95)
        assert found.p == pytest.approx(1 / 100)

    def test_too_few_resamples_for_the_confidence_reach_everywhere(self):
        found = symmetric_interval(value=0.5, draws=spread_draws(0.01, 10, 0.5), basis=basis(), confidence=0.95)
        assert (found.low, found.high) == (-0.5, 1) or (found.low, found.high) == (-1, 1)

    def test_the_same_everywhere_has_no_interval(self):
        same, apart = (
            symmetric_interval(value=v, draws=np.full(9, v), basis=basis(), confidence=0.95) for v in (0.0, 0.4)
        )
        assert np.isnan([same.low, apart.low, apart.p]).all()
        assert (same.p, same.same, apart.same) == (1.0, True, True)

    @settings(max_examples=80, deadline=None)
    @given(
        value=st.floats(-1, 1), draws=st.lists(st.floats(-1, 1), min_size=25, max_size=60),
        confidence=st.sampled_from([0.8, 0.9, 0.95]),
    )  # fmt: skip
    def test_swapping_changes_the_sign_and_p_agrees_with_the_interval(self, value, draws, confidence):
        one, other = (
            symmetric_interval(value=s * value, draws=s * np.array(draws), basis=basis(), confidence=confidence)
            for s in (1, -1)
        )
        assert (one.value, one.same) == (-other.value, other.same)
        if np.isnan(one.low):
            assert np.isnan(other.low)
            return
        assert (one.low, one.high, one.p) == (-other.high, -other.low, other.p)
        if abs(one.low) > 1e-9 and abs(one.high) > 1e-9:  # not just at 0, where rounding decides
            assert (one.p < 1 - confidence - 1e-12) == (not one.low <= 0 <= one.high)
