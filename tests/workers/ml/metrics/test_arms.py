import json
import warnings

import numpy as np
import pytest

from tests.workers.ml.metrics.arms_data import SETTINGS, arm, study, sure
from workers.ml.metrics.arms import ArmPredictions, seed_mean
from workers.ml.metrics.classification import evaluate
from workers.ml.metrics.weighted import METRICS


def mean_of(predictions, labels, groups=None, **changes):
    return seed_mean(arm=predictions, labels=np.asarray(labels), groups=groups, **{**SETTINGS, **changes})


class TestSeedMean:
    def test_by_hand(self):
        # seed 0: recalls 2/3 and 1; seed 1: 1 and 1/2
        report = mean_of(arm([0, 0, 1, 1, 1], [0, 0, 0, 1, 0]), [0, 0, 0, 1, 1])
        figures = report["balanced_accuracy"]
        assert figures["per_seed"] == pytest.approx([5 / 6, 3 / 4])
        assert figures["value"] == pytest.approx((5 / 6 + 3 / 4) / 2)
        assert figures["spread"] == pytest.approx((5 / 6 - 3 / 4) / np.sqrt(2))  # with S - 1
        assert figures["low"] < figures["value"] < figures["high"]

    def test_says_what_it_rests_on(self):
        predictions, labels = study()
        report = mean_of(predictions, labels, groups=np.arange(120) // 3)
        assert {name: report[name] for name in ("num_images", "num_classes", "num_groups", "unit", "seeds")} == {
            "num_images": 120, "num_classes": 3, "num_groups": 40, "unit": "group", "seeds": [0, 1, 2],
        }  # fmt: skip
        assert report["method"] == (
            "Mean over 3 seeds; the 95 % interval is a score interval with the spread of 300 bootstrap resamples of 40 whole "
            "groups with 120 images (of one patient where known, copies and look-alikes together), each applied to all seeds at "
            "once: it covers which groups were tested, and not the seeds, whose values and standard deviation stand beside it."
        )

    def test_one_seed_is_what_an_evaluation_says(self):
        predictions, labels = study(num_seeds=1)
        groups = np.arange(120) // 2
        report = mean_of(predictions, labels, groups=groups)
        alone = evaluate(labels=labels, probabilities=predictions.probabilities[0], groups=groups, **SETTINGS)
        for name in METRICS:
            assert {key: report[name][key] for key in ("value", "low", "high")} == alone[name]
            assert report[name]["spread"] is None
        assert "other seeds, which were not tried" in report["method"]

    def test_equal_seeds_have_their_own_value_and_no_spread(self):
        one, labels = study(num_seeds=1)
        thrice = ArmPredictions(np.repeat(one.probabilities, 3, axis=0), (0, 1, 2))
        single, triple = mean_of(one, labels), mean_of(thrice, labels)
        for name in METRICS:
            assert triple[name]["value"] == pytest.approx(single[name]["value"])
            assert triple[name]["spread"] == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("ties", [False, True])
    def test_values_agree_with_scikit_learn(self, ties):
        from sklearn import metrics

        predictions, labels = study(ties=ties)
        report = mean_of(predictions, labels)
        each = [
            (
                metrics.balanced_accuracy_score(labels, p.argmax(axis=1)),
                metrics.f1_score(labels, p.argmax(axis=1), average="macro"),
                metrics.roc_auc_score(labels, p, multi_class="ovr", average="macro"),
            )
            for p in predictions.probabilities
        ]
        values = [report[name]["value"] for name in ("balanced_accuracy", "macro_f1", "auroc")]
        assert values == pytest.approx(np.mean(each, axis=0))

    def test_the_order_of_seeds_and_the_numbers_of_groups_do_not_matter(self):
        predictions, labels = study()
        turned = ArmPredictions(predictions.probabilities[::-1], predictions.seeds[::-1])
        groups = np.arange(120) // 3
        one, other = mean_of(predictions, labels, groups), mean_of(turned, labels, groups * 7 + 5)
        assert other["seeds"] == [2, 1, 0]
        for name in METRICS:
            assert [one[name][key] for key in ("value", "low", "high")] == pytest.approx(
                [other[name][key] for key in ("value", "low", "high")]
            )

    def test_is_deterministic(self):
        predictions, labels = study()
        assert mean_of(predictions, labels) == mean_of(predictions, labels)


class TestEdges:
    def test_a_class_without_images_is_left_out_and_said(self):
        report = mean_of(arm([0, 0, 1, 1], num_classes=3), [0, 0, 1, 0])
        assert "left out of the macro means: 2" in report["notes"][0]
        assert report["balanced_accuracy"]["value"] == pytest.approx((2 / 3 + 1) / 2)

    def test_one_group_has_values_and_no_interval(self):
        predictions, labels = study()
        report = mean_of(predictions, labels, groups=np.zeros(120, dtype=np.int64))
        for name in METRICS:
            assert report[name]["value"] is not None
            assert (report[name]["low"], report[name]["high"]) == (None, None)
            assert "one group" in report[name]["reason"]

    def test_one_class_has_no_area_and_says_why(self):
        report = mean_of(arm([1, 1, 0]), [1, 1, 1])
        assert report["auroc"] == {
            "value": None, "low": None, "high": None, "per_seed": [None], "spread": None,
            "reason": "All test images are of class 1: no image of another class to tell it from.",
        }  # fmt: skip

    def test_all_predictions_equal_and_perfect_ones_have_an_interval_with_width(self):
        labels = np.arange(40) % 2
        equal = mean_of(ArmPredictions(np.full((2, 40, 2), 0.5), (0, 1)), labels)
        perfect = mean_of(arm(labels, labels), labels)
        assert equal["auroc"]["value"] == 0.5
        assert perfect["auroc"]["value"] == perfect["balanced_accuracy"]["value"] == 1
        for report in (equal, perfect):
            for name in ("auroc", "balanced_accuracy"):
                assert report[name]["high"] - report[name]["low"] > 0.05

    @pytest.mark.parametrize("labels", [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]])
    def test_json_never_holds_nan_and_nothing_warns(self, labels):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for groups in (None, np.array([0, 0, 0, 0]), np.array([0, 1, 2, 2])):
                json.dumps(mean_of(arm([0, 1, 2, 0], num_classes=3), labels, groups), allow_nan=False)

    @pytest.mark.parametrize(
        ("probabilities", "seeds", "labels", "groups", "message"),
        [
            (sure([[0, 1]]) * np.nan, (0,), [0, 1], None, "finite"),
            (sure([[0, 1]]), (0, 1), [0, 1], None, "do not fit 2 seeds"),
            (sure([0, 1]), (0,), [0, 1], None, r"give \(S, N, K\)"),
            (np.zeros((0, 2, 2)), (), [0, 1], None, "do not fit 0 seeds"),
            (sure([[0, 1]]), (0,), [0.0, np.nan], None, "Labels are of type float64"),
            (sure([[0, 1]]), (0,), [0, 1], [0.0, np.nan], "Groups are of type float64"),
            (sure([[0, 1]]), (0,), [0, 1], [0], "1 groups for 2 images"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, probabilities, seeds, labels, groups, message):
        with pytest.raises(ValueError, match=message):
            mean_of(ArmPredictions(probabilities, seeds), labels, None if groups is None else np.array(groups))

    def test_impossible_settings_are_refused(self):
        with pytest.raises(ValueError, match="give no interval"):
            mean_of(arm([0, 1]), [0, 1], confidence=95)
