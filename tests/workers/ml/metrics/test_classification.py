import json
import time
import warnings

import numpy as np
import pytest

from workers.ml.metrics.classification import CLASS_METRICS, METRICS, evaluate


def report(labels, probabilities, **changes):
    arguments = {"groups": None, "num_bootstrap": 200, "confidence": 0.95, "seed": 0}
    return evaluate(
        labels=np.asarray(labels), probabilities=np.asarray(probabilities, dtype=float), **{**arguments, **changes}
    )


def sure(predictions, num_classes=3, confidence=0.8):
    """Probabilities that put `confidence` on each prediction and share the rest."""
    rest = (1 - confidence) / (num_classes - 1)
    return np.where(np.eye(num_classes)[predictions] > 0, confidence, rest)


def random_case(seed, num_images=300, num_classes=4, ties=False):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_images)
    logits = rng.normal(size=(num_images, num_classes)) + 1.2 * np.eye(num_classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities * 8) + 0.5
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return labels, probabilities


class TestClosedForms:
    # labels 0 0 0 1 1 2, predicted 0 0 1 1 1 0
    LABELS, PREDICTED = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]

    def test_confusion_counts_true_rows_and_predicted_columns(self):
        assert report(self.LABELS, sure(self.PREDICTED))["confusion_matrix"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]

    def test_figures_of_the_whole(self):
        result = report(self.LABELS, sure(self.PREDICTED))
        assert result["accuracy"]["value"] == pytest.approx(4 / 6)
        assert result["balanced_accuracy"]["value"] == pytest.approx((2 / 3 + 1 + 0) / 3)
        assert result["macro_precision"]["value"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
        assert result["macro_recall"]["value"] == result["balanced_accuracy"]["value"]
        assert result["macro_f1"]["value"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)

    def test_figures_of_a_class(self):
        first = report(self.LABELS, sure(self.PREDICTED))["per_class"][0]
        assert (first["label"], first["support"], first["predicted"]) == (0, 3, 3)
        assert first["precision"]["value"] == pytest.approx(2 / 3)
        assert first["recall"]["value"] == pytest.approx(2 / 3)
        assert first["specificity"]["value"] == pytest.approx(2 / 3)  # 1 of 3 others was called class 0
        assert first["f1"]["value"] == pytest.approx(2 / 3)

    def test_calibration_error_is_the_gap_of_confidence_and_accuracy(self):
        # all in one bin: confidence 0.8, accuracy 4/6
        assert report(self.LABELS, sure(self.PREDICTED))["ece"]["value"] == pytest.approx(0.8 - 4 / 6)

    def test_calibration_error_weighs_bins_by_their_images(self):
        # 2 of 4 images at 0.9, both right: gap 0.1. 2 at 0.6, one right: gap 0.1. Over- and underconfidence both count.
        probabilities = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]
        assert report([0, 0, 0, 1], probabilities)["ece"]["value"] == pytest.approx(0.1)

    def test_reliability_bins_hold_every_image_once(self):
        bins = report(self.LABELS, sure(self.PREDICTED))["reliability"]
        assert len(bins) == 15
        assert [b["count"] for b in bins if b["count"]] == [6]
        full = next(b for b in bins if b["count"])
        assert full["low"] < 0.8 <= full["high"] + 1e-9
        assert (full["confidence"], full["accuracy"]) == (pytest.approx(0.8), pytest.approx(4 / 6))
        assert all(b["confidence"] is None for b in bins if not b["count"])

    def test_area_under_roc_counts_ordered_pairs_and_half_the_ties(self):
        # class 1: positives score 0.6, 0.3; negatives 0.3, 0.1. Pairs: 1, 1, 1/2, 1 -> 3.5 / 4
        scores = np.array([0.6, 0.3, 0.3, 0.1])
        result = report([1, 1, 0, 0], np.stack([1 - scores, scores], axis=1))
        assert result["per_class"][1]["auroc"]["value"] == pytest.approx(3.5 / 4)
        assert result["roc"][1]["points"] == [[0, 0], [0, 0.5], [0.5, 1], [1, 1]]

    def test_a_perfect_classifier_of_30_images_may_be_a_worse_one(self):
        labels = np.arange(30) % 3
        result = report(labels, sure(labels, confidence=1.0))
        least = {
            29: 30 / (30 + 2.04523**2),
            27: 30 / (30 + 2.05183**2),
        }  # n / (n + t^2): t with 29 degrees, and 10 - 1 a class
        for name in ("balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "auroc"):
            assert result[name] == {"value": 1.0, "low": pytest.approx(least[27], abs=1e-5), "high": 1.0}
        assert result["accuracy"] == {"value": 1.0, "low": pytest.approx(least[29], abs=1e-5), "high": 1.0}
        assert result["ece"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(1 - least[29], abs=1e-5)}


class TestReference:
    @pytest.mark.parametrize("ties", [False, True])
    @pytest.mark.parametrize("seed", range(3))
    def test_agrees_with_scikit_learn(self, seed, ties):
        from sklearn import metrics

        labels, probabilities = random_case(seed, ties=ties)
        predicted = probabilities.argmax(axis=1)
        result = report(labels, probabilities, num_bootstrap=2)
        expected = {
            "accuracy": metrics.accuracy_score(labels, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
            "macro_precision": metrics.precision_score(labels, predicted, average="macro", zero_division=0),
            "macro_recall": metrics.recall_score(labels, predicted, average="macro"),
            "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
            "auroc": metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
        }
        assert {name: result[name]["value"] for name in expected} == pytest.approx(expected)
        assert result["confusion_matrix"] == metrics.confusion_matrix(labels, predicted).tolist()

    def test_roc_points_agree_with_scikit_learn(self):
        from sklearn.metrics import roc_curve

        labels, probabilities = random_case(0, num_images=120, ties=True)
        points = np.array(report(labels, probabilities, num_bootstrap=2)["roc"][2]["points"])
        false_alarms, hits, _ = roc_curve(labels == 2, probabilities[:, 2], drop_intermediate=False)
        np.testing.assert_allclose(np.interp(false_alarms, points[:, 0], points[:, 1]).max(), hits.max())
        assert {tuple(np.round(p, 9)) for p in points} <= {
            tuple(np.round(p, 9)) for p in np.stack([false_alarms, hits], axis=1)
        }
        assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(np.trapezoid(hits, false_alarms))

    def test_intervals_agree_with_a_bootstrap_written_out(self):
        from sklearn.metrics import balanced_accuracy_score

        labels, probabilities = random_case(1, num_images=150)
        predicted = probabilities.argmax(axis=1)
        rng = np.random.default_rng(9)
        draws = [rng.integers(0, 150, 150) for _ in range(1000)]
        values = [balanced_accuracy_score(labels[draw], predicted[draw]) for draw in draws]
        entry = report(labels, probabilities, num_bootstrap=3000)["balanced_accuracy"]
        assert [entry["low"], entry["high"]] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.012)

    def test_area_intervals_agree_with_a_bootstrap_written_out(self):
        from sklearn.metrics import roc_auc_score

        labels, probabilities = random_case(2, num_images=80, num_classes=2, ties=True)
        rng = np.random.default_rng(9)
        draws = [rng.integers(0, 80, 80) for _ in range(1000)]
        values = [roc_auc_score(labels[draw], probabilities[draw, 1]) for draw in draws]
        entry = report(labels, probabilities, num_bootstrap=2000)["per_class"][1]["auroc"]
        assert [entry["low"], entry["high"]] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.02)


class TestGroups:
    def test_intervals_rest_on_groups_and_not_on_images(self):
        # 10 patients with 20 equal images each know no more than 10 images: sqrt(20) times as wide.
        rng = np.random.default_rng(0)
        right = np.repeat(rng.random(10) < 0.5, 20)
        groups = np.repeat(np.arange(10) * 7, 20)
        labels = np.tile([0, 1], 100)
        probabilities = sure(np.where(right, labels, 1 - labels), num_classes=2)
        by_image = report(labels, probabilities, num_bootstrap=1000)["accuracy"]
        by_group = report(labels, probabilities, num_bootstrap=1000, groups=groups)["accuracy"]
        ratio = (by_group["high"] - by_group["low"]) / (by_image["high"] - by_image["low"])
        assert ratio == pytest.approx(np.sqrt(20), rel=0.25)

    def test_one_image_a_group_is_the_same_as_no_groups(self):
        labels, probabilities = random_case(0)
        grouped = report(labels, probabilities, groups=np.arange(300))
        plain = report(labels, probabilities)
        assert [grouped[name] for name in METRICS] == [plain[name] for name in METRICS]
        assert (grouped["unit"], plain["unit"]) == ("group", "image")

    def test_a_single_group_has_no_interval_and_says_why(self):
        labels, probabilities = random_case(0)
        entry = report(labels, probabilities, groups=np.zeros(300, dtype=int))["accuracy"]
        assert entry["value"] is not None
        assert entry["low"] is None
        assert "one group" in entry["reason"]

    def test_a_class_of_one_group_has_no_interval_nor_have_means_over_classes(self):
        labels, probabilities = random_case(0, num_classes=2)
        groups = np.where(labels == 1, 1000, np.arange(300))
        result = report(labels, probabilities, groups=groups)
        assert result["accuracy"]["low"] is not None
        for entry in (result["balanced_accuracy"], result["per_class"][1]["recall"]):
            assert (entry["low"], entry["high"]) == (None, None)
            assert "of one group" in entry["reason"]

    def test_groups_must_fit(self):
        with pytest.raises(ValueError, match="2 groups for 300 images"):
            report(*random_case(0), groups=np.array([0, 1]))


class TestAbsentClasses:
    def test_a_class_without_images_is_null_with_a_reason(self):
        result = report([0, 0, 1, 1], sure([0, 2, 1, 1]))
        absent = result["per_class"][2]
        assert absent["support"] == 0
        for name in ("precision", "recall", "f1", "auroc"):
            assert absent[name]["value"] is None
            assert absent[name]["reason"] == "The test images hold none of this class."
        assert absent["specificity"]["value"] == pytest.approx(3 / 4)
        assert result["roc"][2] == {"label": 2, "points": [], "auroc": None}
        assert "left out of the macro means: 2" in result["notes"][0]

    def test_it_does_not_enter_the_macro_means(self):
        result = report([0, 0, 1, 1], sure([0, 2, 1, 1]))
        assert result["balanced_accuracy"]["value"] == pytest.approx((1 / 2 + 1) / 2)
        assert result["auroc"]["value"] is not None

    def test_a_single_class_has_accuracy_but_no_area(self):
        result = report([1, 1, 1], sure([1, 1, 0]))
        assert result["accuracy"]["value"] == pytest.approx(2 / 3)
        assert result["auroc"]["value"] is None
        assert "All test images are of class 1" in result["auroc"]["reason"]
        assert result["per_class"][1]["specificity"]["reason"] == "All test images are of this class."

    @pytest.mark.parametrize("labels", [[0, 0, 1, 1], [2, 2, 2, 2], [0, 1, 1, 2]])
    def test_json_never_holds_nan_and_nothing_warns(self, labels):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            text = json.dumps(report(labels, sure([0, 1, 2, 0])), allow_nan=False)
        assert json.loads(text)["num_images"] == 4


class TestReport:
    def test_every_figure_has_an_interval_around_it(self):
        result = report(*random_case(0), num_bootstrap=500)
        entries = [result[name] for name in METRICS if name != "ece"]
        entries += [entry[name] for entry in result["per_class"] for name in CLASS_METRICS]
        for entry in entries:
            assert entry["low"] < entry["value"] < entry["high"]

    def test_a_higher_confidence_gives_a_wider_interval(self):
        narrow, wide = (report(*random_case(0), confidence=c)["accuracy"] for c in (0.8, 0.99))
        assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]

    def test_the_seed_alone_decides_the_intervals(self):
        case = random_case(0)
        assert report(*case, seed=4) == report(*case, seed=4)
        assert report(*case, seed=4)["accuracy"] != report(*case, seed=5)["accuracy"]

    def test_the_chunk_size_does_not_matter(self, monkeypatch):
        case = random_case(0)
        whole = report(*case)
        monkeypatch.setattr("workers.ml.metrics.resampling.CHUNK_VALUES", 300 * 7)
        assert report(*case)["per_class"] == whole["per_class"]

    def test_roc_curves_are_thinned_but_keep_their_shape(self):
        labels, probabilities = random_case(0, num_images=5000, num_classes=2)
        curve = report(labels, probabilities, num_bootstrap=2)["roc"][1]
        points = np.array(curve["points"])
        assert 100 < len(points) <= 200
        assert points[0].tolist() == [0, 0]
        assert points[-1].tolist() == [1, 1]
        assert (np.diff(points, axis=0) >= 0).all()
        assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(curve["auroc"], abs=0.003)

    def test_few_groups_are_remarked_on(self):
        notes = report(*random_case(0), groups=np.arange(300) % 5)["notes"]
        assert notes == ["The intervals rest on 5 groups only and are rough."]

    def test_two_thousand_resamples_of_two_thousand_images_take_seconds(self):
        case = random_case(0, num_images=2000)
        started = time.process_time()
        report(*case, num_bootstrap=2000)
        assert time.process_time() - started < 6  # measured: 1.2 s

    @pytest.mark.parametrize(
        ("labels", "probabilities", "message"),
        [
            ([0, 1], [[1.0, 0.0]], "do not fit"),
            (np.zeros(0, dtype=int), np.zeros((0, 2)), "do not fit"),
            ([0, 2], [[1.0, 0.0], [0.0, 1.0]], "Labels run from 0 to 2"),
            ([0, 1], [[1.0, 1.0], [0.0, 1.0]], "sum to 1"),
            ([0, 1], [[np.nan, 1.0], [0.0, 1.0]], "finite"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, labels, probabilities, message):
        with pytest.raises(ValueError, match=message):
            report(labels, probabilities)

    def test_impossible_settings_are_refused(self):
        with pytest.raises(ValueError, match="give no interval"):
            report([0, 1], [[1.0, 0.0], [0.0, 1.0]], confidence=95)
