import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.workers.ml.metrics.arms_data import study, sure
from workers.ml.metrics.arms import ArmPredictions
from workers.ml.metrics.delong import delong, delong_difference, structural_components

# 43 patients with ovarian cancer of DeLong, DeLong and Clarke-Pearson (1988): albumin, total protein, 10 - K-G score, outcome;
# as printed in the SAS/STAT User's Guide, The LOGISTIC Procedure, "Comparing Receiver Operating Characteristic Curves".
OVARIAN = np.array([
    (3.0, 5.8, 10, 0), (3.2, 6.3, 5, 1), (3.9, 6.8, 3, 1), (2.8, 4.8, 6, 0), (3.2, 5.8, 3, 1),
    (0.9, 4.0, 5, 0), (2.5, 5.7, 8, 0), (1.6, 5.6, 5, 1), (3.8, 5.7, 5, 1), (3.7, 6.7, 6, 1),
    (3.2, 5.4, 4, 1), (3.8, 6.6, 6, 1), (4.1, 6.6, 5, 1), (3.6, 5.7, 5, 1), (4.3, 7.0, 4, 1),
    (3.6, 6.7, 4, 0), (2.3, 4.4, 6, 1), (4.2, 7.6, 4, 0), (4.0, 6.6, 6, 0), (3.5, 5.8, 6, 1),
    (3.8, 6.8, 7, 1), (3.0, 4.7, 8, 0), (4.5, 7.4, 5, 1), (3.7, 7.4, 5, 1), (3.1, 6.6, 6, 1),
    (4.1, 8.2, 6, 1), (4.3, 7.0, 5, 1), (4.3, 6.5, 4, 1), (3.2, 5.1, 5, 1), (2.6, 4.7, 6, 1),
    (3.3, 6.8, 6, 0), (1.7, 4.0, 7, 0), (3.7, 6.1, 5, 1), (3.3, 6.3, 7, 1), (4.2, 7.7, 6, 1),
    (3.5, 6.2, 5, 1), (2.9, 5.7, 9, 0), (2.1, 4.8, 7, 1), (2.8, 6.2, 8, 0), (4.0, 7.0, 7, 1),
    (3.3, 5.7, 6, 1), (3.7, 6.9, 5, 1), (3.6, 6.6, 5, 1),
])  # fmt: skip
OUTCOME = OVARIAN[:, 3].astype(np.int64)
TESTS = {"albumin": OVARIAN[:, 0], "protein": OVARIAN[:, 1], "kg": 10 - OVARIAN[:, 2]}


def scored(scores):
    """An arm whose probabilities of class 1 are in the order of `scores`."""
    share = np.asarray(scores, dtype=float) / 20
    return ArmPredictions(np.stack([1 - share, share], axis=1)[None], (0,))


def area_of(arm, labels, groups=None):
    return delong(arm=arm, labels=labels, groups=groups, confidence=0.95)


def difference(first, second, labels, groups=None):
    return delong_difference(first=first, second=second, labels=labels, groups=groups, confidence=0.95)


def kernel(scores, positive):
    """(m, n): 1 for a pair in right order, half for a tie. The definition, in O(N^2)."""
    return (np.sign(scores[positive][:, None] - scores[~positive][None]) + 1) / 2


def covariance(score_sets, positive):
    """DeLong's covariance of several areas on the same images, written out."""
    kernels = [kernel(scores, positive) for scores in score_sets]
    tens = np.cov([k.mean(axis=1) for k in kernels])
    ones = np.cov([k.mean(axis=0) for k in kernels])
    return tens / positive.sum() + ones / (~positive).sum()


class TestPublished:
    # Areas and standard errors as SAS prints them for the same data.
    @pytest.mark.parametrize(
        ("name", "area", "error"),
        [("albumin", 0.7366, 0.0927), ("kg", 0.7258, 0.1028), ("protein", 0.6478, 0.1000)],
    )
    def test_areas_of_delong_1988(self, name, area, error):
        found = area_of(scored(TESTS[name]), OUTCOME)
        assert (round(found["value"], 4), round(found["standard_error"], 4)) == (area, error)

    @pytest.mark.parametrize(("name", "value", "error"), [("albumin", 0.0108, 0.0953), ("protein", -0.0780, 0.1046)])
    def test_differences_of_delong_1988(self, name, value, error):
        found = difference(scored(TESTS[name]), scored(TESTS["kg"]), OUTCOME)
        assert (round(found["value"], 4), round(found["standard_error"], 4)) == (value, error)
        assert found["p"] == pytest.approx(2 * stats.norm.sf(abs(value) / error), abs=1e-3)

    def test_the_contrast_of_three_areas_of_delong_1988(self):
        # chi-square 2.5340 with 2 degrees of freedom: the oracle of the tests below gives the published figure as well.
        positive = OUTCOME == 1
        areas = [kernel(scores, positive).mean() for scores in TESTS.values()]
        contrast = np.array([[1, 0, -1], [0, 1, -1]])
        apart = contrast @ areas
        spread = contrast @ covariance(list(TESTS.values()), positive) @ contrast.T
        assert apart @ np.linalg.solve(spread, apart) == pytest.approx(2.5340, abs=5e-5)


class TestFormula:
    @pytest.mark.parametrize("ties", [False, True])
    def test_components_are_the_means_of_the_kernel(self, ties):
        arm, labels = study(num_classes=2, num_seeds=1, ties=ties)
        scores, positive = arm.probabilities[0][:, 1], labels == 1
        components = structural_components(scores, positive)
        np.testing.assert_allclose(components[positive], kernel(scores, positive).mean(axis=1))
        np.testing.assert_allclose(components[~positive], kernel(scores, positive).mean(axis=0))

    @pytest.mark.parametrize("ties", [False, True])
    def test_two_classes_have_delongs_covariance(self, ties):
        first, labels = study(seed=0, num_classes=2, num_seeds=1, ties=ties)
        second, _ = study(seed=1, num_classes=2, num_seeds=1, ties=ties)
        cov = covariance([arm.probabilities[0][:, 1] for arm in (first, second)], labels == 1)
        assert area_of(first, labels)["standard_error"] == pytest.approx(np.sqrt(cov[0, 0]))
        apart = difference(first, second, labels)
        assert apart["standard_error"] == pytest.approx(np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]))

    def test_seeds_average_as_delongs_covariance_says(self):
        arm, labels = study(num_classes=2, num_seeds=3)
        cov = covariance([each[:, 1] for each in arm.probabilities], labels == 1)
        assert area_of(arm, labels)["standard_error"] == pytest.approx(np.sqrt(cov.sum()) / 3)

    def test_groups_have_obuchowskis_variance(self):
        # S10 / m + S01 / n + 2 S11 / (m n) of Obuchowski (1997), written out
        arm, labels = study(num_classes=2, num_seeds=1, skill=1.0)
        groups = np.random.default_rng(5).integers(0, 30, len(labels))
        scores, positive = arm.probabilities[0][:, 1], labels == 1
        k = kernel(scores, positive)
        m, n, theta = positive.sum(), (~positive).sum(), k.mean()
        of_positive, of_negative = k.mean(axis=1) - theta, k.mean(axis=0) - theta
        x = np.array([of_positive[groups[positive] == g].sum() for g in range(30)])
        y = np.array([of_negative[groups[~positive] == g].sum() for g in range(30)])
        some_x, some_y = len(set(groups[positive])), len(set(groups[~positive]))
        s10, s01 = some_x / ((some_x - 1) * m) * (x**2).sum(), some_y / ((some_y - 1) * n) * (y**2).sum()
        s11 = 30 / 29 * (x * y).sum()
        expected = np.sqrt(s10 / m + s01 / n + 2 * s11 / (m * n))
        assert area_of(arm, labels, groups)["standard_error"] == pytest.approx(expected)

    def test_several_classes_spread_as_new_images_do(self):
        # 400 fresh draws of images of the same three classes: the standard deviation of the area is the standard error.
        drawn = [area_of(*study(seed=seed, num_images=90, num_seeds=1)) for seed in range(400)]
        observed = np.std([each["value"] for each in drawn], ddof=1)
        assert np.mean([each["standard_error"] for each in drawn]) == pytest.approx(observed, rel=0.1)

    def test_the_macro_area_is_scikit_learns(self):
        from sklearn.metrics import roc_auc_score

        arm, labels = study(num_classes=4, num_seeds=2, ties=True)
        expected = [roc_auc_score(labels, p, multi_class="ovr", average="macro") for p in arm.probabilities]
        assert area_of(arm, labels)["value"] == pytest.approx(np.mean(expected))

    def test_copies_of_images_add_nothing_by_group(self):
        # Twice the same images of the same patients: the groups' variance stays, but for m / (m - 1).
        arm, labels = study(num_images=200, num_seeds=1)
        twice = ArmPredictions(np.repeat(arm.probabilities, 2, axis=1), (0,))
        once = area_of(arm, labels)["standard_error"]
        again = area_of(twice, np.repeat(labels, 2), np.repeat(np.arange(200), 2))["standard_error"]
        blind = area_of(twice, np.repeat(labels, 2))["standard_error"]
        assert again == pytest.approx(once)
        assert blind == pytest.approx(once / np.sqrt(2), rel=0.01)

    def test_the_interval_is_symmetric_on_the_logit_scale(self):
        arm, labels = study(num_classes=2, num_seeds=1)
        found = area_of(arm, labels)
        low, value, high = (np.log(found[key] / (1 - found[key])) for key in ("low", "value", "high"))
        reach = stats.t.ppf(0.975, 118) * found["standard_error"] / (found["value"] * (1 - found["value"]))
        assert [high - value, value - low] == pytest.approx([reach, reach])

    def test_fifty_thousand_images_take_no_time(self):
        arm, labels = study(num_images=50_000, num_classes=2, num_seeds=1)
        started = time.process_time()
        area_of(arm, labels)
        assert time.process_time() - started < 2  # measured: 0.05 s; the pairs alone would be 625 million


class TestDifference:
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10_000), ties=st.booleans(), grouped=st.booleans(), num_classes=st.integers(2, 4))
    def test_swapping_changes_the_sign_and_keeps_p(self, seed, ties, grouped, num_classes):
        first, labels = study(seed=seed, num_images=36, num_classes=num_classes, num_seeds=2, ties=ties)
        second, _ = study(seed=seed + 1, num_images=36, num_classes=num_classes, num_seeds=1, ties=ties)
        groups = np.arange(36) // 2 if grouped else None
        one, other = difference(first, second, labels, groups), difference(second, first, labels, groups)
        assert (one["value"], one["low"], one["high"]) == (-other["value"], -other["high"], -other["low"])
        assert (one["p"], one["standard_error"]) == (other["p"], other["standard_error"])

    def test_an_arm_against_itself(self):
        arm, labels = study()
        found = difference(arm, arm, labels)
        assert (found["value"], found["p"], found["low"]) == (0, 1, None)
        assert "no variance" in found["reason"]


class TestEdges:
    def test_a_perfect_area_has_no_interval_and_says_why(self):
        labels = np.arange(30) % 3
        found = area_of(ArmPredictions(sure([labels], 3), (0,)), labels)
        assert (found["value"], found["standard_error"], found["low"], found["high"]) == (1, 0, None, None)
        assert "variance is 0" in found["reason"]

    def test_all_predictions_equal(self):
        found = area_of(ArmPredictions(np.full((1, 30, 2), 0.5), (0,)), np.arange(30) % 2)
        assert (found["value"], found["standard_error"], found["low"]) == (0.5, 0, None)

    def test_a_perfect_arm_against_a_constant_one_has_no_p(self):
        labels = np.arange(30) % 2
        perfect, constant = ArmPredictions(sure([labels]), (0,)), ArmPredictions(np.full((1, 30, 2), 0.5), (0,))
        found = difference(perfect, constant, labels)
        assert (found["value"], found["p"]) == (0.5, None)

    def test_an_absent_class_is_left_out(self):
        arm, labels = study(num_classes=2, labels=np.arange(60) % 2, num_seeds=1)
        arm = ArmPredictions(np.concatenate([arm.probabilities, np.zeros((1, 60, 1))], axis=2), (0,))
        whole = area_of(arm, labels)
        assert whole["low"] < whole["value"] < whole["high"]

    def test_one_class_or_one_group(self):
        arm, labels = study(num_classes=2)
        alone = area_of(arm, np.zeros_like(labels))
        assert (alone["value"], alone["low"]) == (None, None)
        assert "All test images are of class 0" in alone["reason"]
        assert difference(arm, arm, np.zeros_like(labels))["p"] is None
        grouped = area_of(arm, labels, np.zeros_like(labels))
        assert (grouped["standard_error"], grouped["low"]) == (None, None)
        assert "one group only" in grouped["reason"]

    def test_an_area_near_1_has_a_note(self):
        arm, labels = study(num_classes=2, skill=2.5)
        assert "too narrow" in area_of(arm, labels)["note"]

    def test_json_never_holds_nan(self):
        arm, labels = study(num_classes=2, num_images=8)
        for groups in (None, labels, np.zeros_like(labels), np.arange(8)):
            json.dumps([area_of(arm, labels, groups), difference(arm, arm, labels, groups)], allow_nan=False)

    def test_what_is_no_probability_is_refused(self):
        arm, labels = study(num_classes=2)
        with pytest.raises(ValueError, match="finite"):
            area_of(ArmPredictions(arm.probabilities * np.nan, arm.seeds), labels)
