"""Histograms and bars, by hand."""

import pytest

from app.pages import health_figures


def test_histograms_by_hand() -> None:
    half = [0.5, 0.5] + [0.0] * 30
    (drawn,) = health_figures.histograms([{"name": "a", "histogram": half}, {"name": "none", "histogram": None}])
    assert drawn.path.startswith("M0 40V0.0H4.0V0.0H8.0V40.0H12.0")
    assert (drawn.quantiles, drawn.mean, drawn.black, drawn.white) == ((7, 7, 15), 8.0, 0.5, 0.0)
    assert drawn.summary == "a: half of the pixels are below level 7, nine in ten between 7 and 15."


def test_bars_say_whether_chance_is_out_of_reach() -> None:
    def model(low: float) -> dict[str, object]:
        figure = {"value": 0.6, "low": low, "high": 0.7}
        return {"what": "4 numbers", "how": "a random forest", "accuracy": figure, "balanced_accuracy": figure}

    bars = health_figures.bars({"chance": 0.5, "models": [model(0.55), model(0.45)]})
    assert [bar.is_far for bar in bars] == [True, False]
    assert bars[0].title == "4 numbers, random forest"
    assert (bars[0].value, bars[0].low) == (pytest.approx(60), pytest.approx(55))
