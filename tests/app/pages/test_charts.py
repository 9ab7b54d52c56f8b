"""Curves as SVG, and the words and numbers beside them."""

import pytest

from app.pages import charts

PERFECT = {"label": 0, "points": [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], "auroc": 1.0}
CHANCE = {"label": 1, "points": [[0.0, 0.0], [1.0, 1.0]], "auroc": 0.5}
MISSING = {"label": 2, "points": [], "auroc": None}


class TestRoc:
    def test_turns_rates_into_a_path_whose_y_axis_points_down(self) -> None:
        (curve,) = charts.roc([PERFECT], ["disc"]).curves
        assert curve.path == "M0.00 100.00L0.00 0.00L100.00 0.00"

    def test_reads_the_sensitivity_at_a_specificity(self) -> None:
        perfect, chance = charts.roc([PERFECT, CHANCE], ["disc", "ring"]).curves
        assert perfect.sensitivities == [1.0, 1.0, 1.0]
        assert chance.sensitivities == [0.0, 0.0, 0.0]  # the one corner within reach is the origin

    def test_names_the_best_and_the_least_class(self) -> None:
        assert charts.roc([PERFECT, CHANCE], ["disc", "ring"]).summary == (
            "Area under the curve: best for disc (1.000), least for ring (0.500)."
        )

    def test_a_class_without_a_curve_is_listed_and_not_drawn(self) -> None:
        roc = charts.roc([MISSING], ["disc", "ring", "none"])
        assert roc.curves[0].path == ""
        assert roc.curves[0].sensitivities == [None, None, None]
        assert "there is no curve" in roc.summary


class TestReliability:
    def bin(
        self, low: float, count: int, confidence: float | None, accuracy: float | None
    ) -> dict[str, float | int | None]:
        return {"low": low, "high": low + 0.5, "count": count, "confidence": confidence, "accuracy": accuracy}

    def test_says_how_overconfident_the_classifier_is(self) -> None:
        # (3 * (0.9 - 0.5) + 1 * (0.4 - 0.4)) / 4 = 0.3
        chart = charts.reliability([self.bin(0, 1, 0.4, 0.4), self.bin(0.5, 3, 0.9, 0.5)])
        assert chart.summary == "On average the classifier is overconfident by 30 points."

    def test_empty_bins_are_not_drawn(self) -> None:
        chart = charts.reliability([self.bin(0, 0, None, None), self.bin(0.5, 3, 0.75, 0.5)])
        assert chart.path == "M75.00 50.00"
        assert chart.bins[1].radius == pytest.approx(4.0)  # the fullest bin


class TestFaithfulness:
    def curves(self, deletion: list[float], insertion: list[float]) -> charts.Faithfulness:
        areas = {"deletion_auc": sum(deletion) / 3, "insertion_auc": sum(insertion) / 3}
        found = {"shares": [0.0, 0.25, 1.0], "deletion": deletion, "insertion": insertion, **areas}
        return charts.faithfulness(found, "disc")

    def test_are_drawn_over_the_area_that_is_hidden_or_shown(self) -> None:
        found = self.curves([0.8, 0.3, 0.1], [0.1, 0.5, 0.8])
        assert found.deletion_path == "M0.00 20.00L25.00 70.00L100.00 90.00"
        assert found.insertion_path == "M0.00 90.00L25.00 50.00L100.00 20.00"
        assert found.steps[1] == charts.Step(1, 0.25, 0.3, 0.5)

    def test_the_summary_says_where_half_is_passed(self) -> None:
        found = self.curves([0.8, 0.3, 0.1], [0.1, 0.5, 0.8])
        assert "from 0.80 to 0.10; it is below half once 25 % of the image is hidden." in found.summary
        assert "from 0.10 to 0.80; it has half of that once 25 % of the image is shown." in found.summary

    def test_the_summary_of_a_class_that_is_seen_even_in_nothing(self) -> None:
        found = self.curves([0.8, 0.7, 0.6], [0.6, 0.7, 0.8])
        assert "it never falls below half." in found.summary
        assert "it has half of that from the start." in found.summary

    def test_an_order_no_better_than_chance_is_called_so(self) -> None:
        assert "lies 0.13 above deletion" in self.curves([0.8, 0.2, 0.1], [0.1, 0.6, 0.8]).verdict
        assert "random order would do as well" in self.curves([0.8, 0.7, 0.1], [0.1, 0.2, 0.8]).verdict
