"""Trivial models find a shortcut that is there, and none where labels mean nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.ml.health.baselines import Model, folds, predict_held_out, scores, shrunk, stratified_places

NUM = 120


def cross_validated(
    features: NDArray[np.float64], labels: NDArray[np.int64], units: NDArray[np.int64], model: Model
) -> dict[str, dict[str, float]]:
    predicted = np.full(len(labels), -1)
    for fold in folds(labels=labels, units=units, num_folds=5, seed=0):
        predicted[fold.held_out] = predict_held_out(
            features=features, labels=labels, fold=fold, model=model, num_trees=20, seed=0
        )
    assert (predicted >= 0).all()
    return scores(labels=labels, predicted=predicted, units=units, num_bootstrap=500, confidence=0.95, seed=0)


def bright_classes(*, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Three numbers, the first of which is the class and some noise; every unit has two images."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(NUM // 2), 2)
    labels = units % 3
    return np.stack([labels + rng.normal(0, 0.2, NUM), *rng.normal(0, 1, (2, NUM))], axis=1), labels, units


@pytest.mark.parametrize("model", ["linear", "forest"])
def test_finds_a_shortcut(model: Model):
    found = cross_validated(*bright_classes(seed=0), model)
    assert found["balanced_accuracy"]["low"] > 0.8


@pytest.mark.parametrize("model", ["linear", "forest"])
def test_permuted_labels_give_chance(model: Model):
    features, _, units = bright_classes(seed=0)
    shuffled = np.random.default_rng(1).permutation(NUM // 2)[units] % 3  # whole units change their class
    figure = cross_validated(features, shuffled, units, model)["balanced_accuracy"]
    assert figure["low"] <= 1 / 3 <= figure["high"]


def test_copies_do_not_help_since_folds_are_by_unit():
    rng = np.random.default_rng(2)
    noise, labels = rng.normal(0, 1, (40, 3)), np.arange(40) % 2
    features, labels, units = np.repeat(noise, 4, axis=0), np.repeat(labels, 4), np.repeat(np.arange(40), 4)
    torn = cross_validated(features, labels, np.arange(160), "forest")["accuracy"]["value"]
    whole = cross_validated(features, labels, units, "forest")["accuracy"]["value"]
    assert torn > 0.95
    assert whole < 0.75


def test_no_unit_stands_in_two_folds():
    _, labels, units = bright_classes(seed=3)
    parts = [set(units[fold.held_out]) for fold in folds(labels=labels, units=units, num_folds=5, seed=0)]
    assert sum(len(part) for part in parts) == len(set(units)) == len(set.union(*parts))


def test_scores_by_hand():
    # class 0: 3 of 4 right, class 1: 1 of 2 right
    found = scores(
        labels=np.array([0, 0, 0, 0, 1, 1]), predicted=np.array([0, 0, 0, 1, 1, 0]), units=np.arange(6),
        num_bootstrap=200, confidence=0.95, seed=0,
    )  # fmt: skip
    assert found["accuracy"]["value"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"]["value"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert 0 <= found["accuracy"]["low"] < 4 / 6 < found["accuracy"]["high"] <= 1


def test_whole_units_make_wider_intervals():
    labels = np.zeros(100, dtype=np.int64)
    predicted = np.repeat(np.arange(10) % 2, 10)

    def width(units: NDArray[np.int64]) -> float:
        found = scores(labels=labels, predicted=predicted, units=units, num_bootstrap=500, confidence=0.95, seed=0)
        return found["accuracy"]["high"] - found["accuracy"]["low"]

    assert width(np.repeat(np.arange(10), 10)) > 2 * width(np.arange(100))


def test_shrinks_by_areas():
    tile = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    assert shrunk(tiles=tile, side=2).tolist() == [[2.5, 4.5, 10.5, 12.5]]  # means of 2 x 2
    assert shrunk(tiles=np.full((3, 32, 32), 7, np.uint8), side=24) == pytest.approx(np.full((3, 576), 7))


def test_small_classes_are_taken_whole():
    labels = np.repeat([0, 1, 2], [100, 5, 60])
    places = stratified_places(labels=labels, most=65, seed=0)
    assert np.bincount(labels[places]).tolist() == [30, 5, 30]
    assert (np.diff(places) > 0).all()
    assert len(stratified_places(labels=labels, most=1000, seed=0)) == 165
