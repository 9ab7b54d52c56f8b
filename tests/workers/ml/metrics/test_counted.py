"""A mean over seeds from confusion matrices alone: where it is known otherwise, and never narrower than what is."""

import numpy as np
import pytest

from workers.ml.metrics.arms import ArmPredictions, seed_mean
from workers.ml.metrics.classification import evaluate
from workers.ml.metrics.counted import mean_of_counts

LABELS = np.arange(300) % 3


def predictions(seed: int, *, skill: float = 1.0) -> np.ndarray:
    """(N, K) probabilities."""
    scores = np.random.default_rng(seed).normal(size=(len(LABELS), 3))
    scores[np.arange(len(LABELS)), LABELS] += skill
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def matrix(probabilities: np.ndarray) -> np.ndarray:
    found = np.zeros((3, 3), dtype=np.int64)
    np.add.at(found, (LABELS, probabilities.argmax(axis=1)), 1)
    return found


def of(*probabilities: np.ndarray) -> dict:
    return mean_of_counts(matrices=[matrix(each) for each in probabilities], confidence=0.95)


def width(figure: dict) -> float:
    return figure["high"] - figure["low"]


@pytest.mark.parametrize("skill", [0.3, 1.0, 3.0])
def test_of_one_seed_it_is_what_resamples_of_the_images_give(skill: float) -> None:
    probabilities = predictions(0, skill=skill)
    told = evaluate(
        labels=LABELS, probabilities=probabilities, groups=None, num_bootstrap=4000, confidence=0.95, seed=0
    )["balanced_accuracy"]  # fmt: skip
    found = of(probabilities)
    assert found["value"] == pytest.approx(told["value"])
    assert [found["low"], found["high"]] == pytest.approx([told["low"], told["high"]], abs=2e-3)
    assert (found["num_images"], found["spread"], found["method"].startswith("One seed; the 95 %")) == (300, None, True)


def test_of_seeds_that_err_alike_it_is_the_interval_of_one_and_otherwise_wider_than_that_of_resamples() -> None:
    first, second = predictions(0), predictions(1)
    assert [of(first, first)[name] for name in ("low", "high")] == [of(first)[name] for name in ("low", "high")]
    told = seed_mean(
        arm=ArmPredictions(np.stack([first, second]), (0, 1)), labels=LABELS, groups=None, num_bootstrap=2000, confidence=0.95,
        seed=0,
    )["balanced_accuracy"]  # fmt: skip
    found = of(first, second)
    assert [found["value"], found["spread"]] == pytest.approx([told["value"], told["spread"]])
    assert found["per_seed"] == pytest.approx(told["per_seed"])
    assert width(told) < width(found) < 1.5 * width(told)
    assert found["low"] < told["low"] < told["high"] < found["high"]
    assert "too wide rather than too narrow" in found["method"]


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, recalls, covered = np.random.default_rng(0), np.array([0.9, 0.6]), 0
    for _ in range(400):
        right = rng.binomial(40, recalls)
        found = mean_of_counts(matrices=[np.array([[right[0], 40 - right[0]], [40 - right[1], right[1]]])], confidence=0.95)  # fmt: skip
        covered += found["low"] <= recalls.mean() <= found["high"]
    assert 0.93 <= covered / 400 <= 0.98


def test_all_right_goes_down_to_what_so_many_images_prove() -> None:
    found = mean_of_counts(matrices=[np.diag([15, 15])], confidence=0.95)
    assert (found["value"], found["high"]) == (1.0, 1.0)
    assert 0.85 < found["low"] < 0.90


def test_a_class_without_images_is_left_out() -> None:
    found = mean_of_counts(matrices=[np.array([[8, 2, 0], [5, 5, 0], [0, 0, 0]])], confidence=0.95)
    assert found["value"] == pytest.approx(0.65)


def test_what_has_no_interval_says_why() -> None:
    found = mean_of_counts(matrices=[np.diag([5, 5]), np.diag([5, 4])], confidence=0.95)
    assert (found["value"], found["low"], found["high"], found["num_images"]) == (1.0, None, None, None)
    assert "different numbers of images" in found["reason"]
    assert "one group" in mean_of_counts(matrices=[np.diag([1, 1])], confidence=0.95)["reason"]
    with pytest.raises(ValueError, match="without images"):
        mean_of_counts(matrices=[np.zeros((2, 2), dtype=np.int64)], confidence=0.95)
