import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.ml.metrics.arms_data import SETTINGS, arm, study, sure
from workers.ml.metrics.arms import ArmPredictions
from workers.ml.metrics.paired import mcnemar, paired_difference
from workers.ml.metrics.weighted import METRICS


def difference(first, second, labels, groups=None, **changes):
    return paired_difference(first=first, second=second, labels=labels, groups=groups, **{**SETTINGS, **changes})


def discordant(first_only, second_only, both=50, neither=40):
    """Two arms of one seed and labels, with so many images that only one has right."""
    right = np.repeat(
        [[True, False, True, False], [False, True, True, False]], (first_only, second_only, both, neither), 1
    )
    labels = np.zeros(right.shape[1], dtype=np.int64)
    return arm(np.where(right[0], 0, 1)), arm(np.where(right[1], 0, 1)), labels


def chance_of(first, second, labels, groups=None):
    return mcnemar(first=first, second=second, labels=labels, groups=groups)


class TestPairedDifference:
    def test_is_the_difference_of_the_means_over_seeds(self):
        labels = np.array([0, 0, 0, 0, 1, 1])
        three = arm([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0])  # 1, 7/8, 1/2
        one = arm([1, 0, 0, 0, 1, 0])  # 5/8
        found = difference(three, one, labels)["balanced_accuracy"]
        assert found["value"] == pytest.approx((1 + 7 / 8 + 1 / 2) / 3 - 5 / 8)

    def test_pairing_takes_out_what_both_arms_find_hard(self):
        # Half the patients are hard for both arms; the second is wrong on few images more.
        rng = np.random.default_rng(0)
        labels = np.arange(300) % 2
        hard = np.repeat(rng.random(60) < 0.5, 5)
        first = hard & (rng.random(300) < 0.7)
        second = first | (rng.random(300) < 0.05)
        found = difference(
            *(arm(np.where(wrong, 1 - labels, labels)) for wrong in (first, second)), labels, np.arange(300) // 5
        )
        figures = found["accuracy"]
        assert 0 < figures["low"] < figures["value"] < figures["high"] < 0.09
        assert figures["p"] < 0.05

    def test_arms_that_are_clearly_apart_have_the_least_p_that_is_not_0(self):
        labels = np.arange(200) % 2
        rng = np.random.default_rng(0)
        wrong = np.where(rng.random(200) < 0.6, 1 - labels, labels)
        found = difference(arm(labels), arm(wrong), labels)["balanced_accuracy"]
        assert found["p"] == pytest.approx(1 / 301)

    def test_equal_arms_have_p_1_and_no_interval(self):
        one, labels = study()
        found = difference(one, one, labels)
        for name in METRICS:
            assert (found[name]["value"], found[name]["p"], found[name]["low"]) == (0, 1, None)
            assert "same in every resample" in found[name]["reason"]

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 10_000), ties=st.booleans(), grouped=st.booleans(), num_classes=st.integers(2, 4))
    def test_swapping_changes_the_sign_and_keeps_p(self, seed, ties, grouped, num_classes):
        first, labels = study(seed=seed, num_images=40, num_classes=num_classes, num_seeds=2, ties=ties)
        second, _ = study(seed=seed + 1, num_images=40, num_classes=num_classes, num_seeds=1, ties=ties)
        groups = np.arange(40) // 2 if grouped else None
        one, other = (
            difference(a, b, labels, groups, num_bootstrap=60) for a, b in ((first, second), (second, first))
        )  # fmt: skip
        for name in METRICS:
            assert one[name]["value"] == -other[name]["value"]
            assert one[name]["p"] == other[name]["p"]
            if one[name]["low"] is not None:
                assert (one[name]["low"], one[name]["high"]) == (-other[name]["high"], -other[name]["low"])

    def test_says_what_p_is(self):
        first, labels = study()
        method = difference(first, study(seed=1)[0], labels, np.arange(120) // 3)["method"]
        assert (
            "300 times over 40 whole groups with 120 images (of one patient where known, copies and look-alikes together)"
            in method
        )
        assert "covers which groups were tested" in method
        assert "(1 + count) / (resamples + 1), two-sided" in method

    def test_one_group_or_one_class_has_neither_interval_nor_p(self):
        first, labels = study()
        second, _ = study(seed=1)
        grouped = difference(first, second, labels, np.zeros_like(labels))["balanced_accuracy"]
        assert (grouped["low"], grouped["p"]) == (None, None)
        assert "one group" in grouped["reason"]
        alone = difference(first, second, np.zeros_like(labels))["auroc"]
        assert (alone["value"], alone["p"]) == (None, None)
        assert "class 0" in alone["reason"]
        json.dumps([grouped, alone], allow_nan=False)

    def test_arms_of_other_images_or_classes_are_refused(self):
        first, labels = study()
        for other in (study(num_images=60)[0], study(num_classes=4)[0]):
            with pytest.raises(ValueError, match="cannot be paired"):
                difference(first, other, labels)
            with pytest.raises(ValueError, match="cannot be paired"):
                chance_of(first, other, labels)


class TestMcNemar:
    # p: statsmodels 0.15.0, contingency_tables.mcnemar(exact=True). p_mid: Fagerland et al. (2013), by hand below.
    @pytest.mark.parametrize(
        ("first_only", "second_only", "p"),
        [(8, 2, 0.109375), (5, 5, 1.0), (0, 3, 0.25), (30, 12, 0.007915897334896727), (0, 0, 1.0)],
    )
    def test_is_statsmodels_exact_test(self, first_only, second_only, p):
        found = chance_of(*discordant(first_only, second_only))
        counts = {name: found[name] for name in ("both_right", "first_only", "second_only", "both_wrong")}
        assert counts == {"both_right": 50, "first_only": first_only, "second_only": second_only, "both_wrong": 40}
        assert found["p"] == pytest.approx(p)

    def test_the_mid_p_counts_half_of_what_is_as_likely(self):
        # 2 of 10: 2 (1 + 10) / 1024 + 45 / 1024; 2 of 4: 1 - 6 / 16 / 2; without any, nothing is as far as 0
        assert chance_of(*discordant(8, 2))["p_mid"] == pytest.approx(67 / 1024)
        assert chance_of(*discordant(2, 2))["p_mid"] == pytest.approx(13 / 16)
        assert chance_of(*discordant(0, 0))["p_mid"] == 1

    def test_the_seeds_vote_by_their_mean_probability(self):
        # 0.9, 0.4, 0.4 for the right class: two of three seeds are wrong, the mean 0.567 is right.
        many = ArmPredictions(np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.4, 0.6]]]), (0, 1, 2))
        assert chance_of(many, arm([1]), np.array([0]))["first_only"] == 1

    def test_single_images_as_groups_are_mcnemars_chi_square_but_for_g_minus_1_of_g(self):
        # statsmodels 0.15.0: mcnemar([[50, 30], [12, 40]], exact=False, correction=False) has 7.714285714285714
        arms = discordant(30, 12)
        found = chance_of(*arms, np.arange(132))["by_group"]
        assert found["statistic"] == pytest.approx(131 / 132 * 7.714285714285714)

    def test_groups_by_hand(self):
        # surpluses 2, 1, -1, 0 of four patients: 3/4 * 2^2 / (4 + 1 + 1) = 1/2
        first, second = arm([0, 0, 0, 1, 0, 1]), arm([1, 1, 1, 0, 1, 0])
        found = chance_of(first, second, np.zeros(6, dtype=np.int64), np.array([0, 0, 1, 2, 3, 3]))
        assert found["by_group"]["statistic"] == pytest.approx(0.5)
        assert found["by_group"]["p"] == pytest.approx(0.4795, abs=1e-4)  # chi-square, 1 degree of freedom
        assert "independent" in found["note"]
        assert "Obuchowski" in found["by_group"]["method"]

    def test_copies_of_images_make_p_small_but_not_that_by_group(self):
        first, second, labels = discordant(8, 2)
        copied = [ArmPredictions(np.repeat(each.probabilities, 9, axis=1), (0,)) for each in (first, second)]
        groups = np.repeat(np.arange(100), 9)
        once = chance_of(first, second, labels, np.arange(100))
        again = chance_of(*copied, np.repeat(labels, 9), groups)
        assert again["p"] < 1e-6
        assert again["by_group"]["p"] == pytest.approx(once["by_group"]["p"])

    def test_without_groups_there_is_no_note(self):
        found = chance_of(*discordant(3, 1))
        assert found["by_group"] is None
        assert "note" not in found

    def test_one_group_and_arms_that_are_equal(self):
        first, second, labels = discordant(8, 2)
        alone = chance_of(first, second, labels, np.zeros_like(labels))["by_group"]
        assert (alone["p"], alone["statistic"]) == (None, None)
        assert "one group" in alone["reason"]
        assert chance_of(first, first, labels, np.arange(100))["by_group"]["p"] == 1

    @settings(max_examples=60, deadline=None)
    @given(first_only=st.integers(0, 25), second_only=st.integers(0, 25), group_size=st.integers(1, 9))
    def test_swapping_keeps_p(self, first_only, second_only, group_size):
        first, second, labels = discordant(first_only, second_only)
        groups = np.arange(len(labels)) // group_size
        one, other = chance_of(first, second, labels, groups), chance_of(second, first, labels, groups)
        assert (one["p"], one["p_mid"], one["by_group"]["p"]) == (other["p"], other["p_mid"], other["by_group"]["p"])
        assert (one["first_only"], one["second_only"]) == (other["second_only"], other["first_only"])
        assert 0 < one["p_mid"] <= one["p"] <= 1

    def test_what_is_no_probability_is_refused(self):
        labels = np.array([0, 1])
        with pytest.raises(ValueError, match="finite"):
            chance_of(ArmPredictions(sure([labels]) * np.nan, (0,)), arm(labels), labels)
