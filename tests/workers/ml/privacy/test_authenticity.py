"""Authenticity and memorised images, on distances that one can check by hand."""

import numpy as np
import pytest

from workers.ml.privacy.authenticity import authenticity, is_authentic, memorised
from workers.ml.privacy.neighbours import Neighbours


def neighbours(nearest, distances) -> Neighbours:
    num = len(nearest)
    values = np.array(distances, dtype=float)
    return Neighbours(np.array(nearest), np.zeros(num, dtype=int), values, values, values[:, None])


TRAIN = neighbours([1, 0, 0, -1], [0.5, 0.5, 0.9, np.nan])  # image 3 is blank


def test_an_image_nearer_than_its_training_image_is_to_another_is_not_authentic():
    images = neighbours([0, 0, 2, 2], [0.4, 0.5, 0.8, 1.0])
    assert is_authentic(images=images, train=TRAIN).tolist() == [False, True, False, True]
    result = authenticity(images=images, train=TRAIN)
    assert (result["n"], result["count"], result["value"]) == (4, 2, 0.5)
    assert result["low"] == pytest.approx(0.0676, abs=1e-3)


def test_what_cannot_be_compared_does_not_count():
    result = authenticity(images=neighbours([-1, 3, 0], [np.nan, 0.1, 0.1]), train=TRAIN)
    assert (result["n"], result["count"]) == (1, 0)
    nothing = authenticity(images=neighbours([-1], [np.nan]), train=TRAIN)
    assert nothing["value"] is None
    assert "no images" in nothing["reason"]


def test_a_training_image_is_memorised_once_however_often_it_is_copied():
    images = neighbours([2, 2, 0, 1], [0.1, 0.1, 0.1, 0.9])
    result = memorised(synthetic=images, flagged=np.array([True, True, True, False]), num_train=4)
    assert (result["count"], result["value"]) == (2, 0.5)
    assert result["train"] == [{"train": 2, "copies": 2}, {"train": 0, "copies": 1}]
