import numpy as np
import pytest

from workers.ml.health.associations import OTHER, association


def test_by_hand():
    # class 0: 3 png, 1 jpg; class 1: 1 png, 3 jpg. Guessing by the format is right in 3 of 4 of each class.
    found = association(
        values=["png"] * 3 + ["jpg"] + ["png"] + ["jpg"] * 3, labels=np.repeat([0, 1], 4), num_classes=2, most_values=5
    )
    assert found is not None
    assert sorted(found.values) == ["jpg", "png"]
    assert found.shares[found.values.index("png")].tolist() == [0.75, 0.25]
    assert (found.accuracy, found.skill) == (0.75, 0.5)
    assert found.p_value > 0.05  # of eight images


def test_a_value_for_each_class_is_certainty():
    found = association(values=["a"] * 50 + ["b"] * 50, labels=np.repeat([0, 1], 50), num_classes=2, most_values=5)
    assert found is not None
    assert found.skill == pytest.approx(1)
    assert found.p_value < 1e-10


def test_values_that_know_nothing_of_the_class():
    found = association(values=["a", "b"] * 50, labels=np.repeat([0, 1], 50), num_classes=2, most_values=5)
    assert found is not None
    assert found.skill == pytest.approx(0)


def test_one_value_is_no_association():
    assert association(values=["a"] * 4, labels=np.array([0, 0, 1, 1]), num_classes=2, most_values=5) is None


def test_one_class_is_none_either():
    assert association(values=["a", "b"], labels=np.array([0, 0]), num_classes=2, most_values=5) is None


def test_rare_values_count_as_one():
    found = association(values=[*"aaaabbbcd", "e"], labels=np.array([0, 1] * 5), num_classes=2, most_values=3)
    assert found is not None
    assert found.values == ["a", "b", OTHER]
    assert found.shares.sum(axis=0) == pytest.approx([1, 1])
