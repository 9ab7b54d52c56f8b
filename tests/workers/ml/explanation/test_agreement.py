import numpy as np
import pytest
from scipy.stats import spearmanr

from workers.ml.explanation.agreement import Weighted, agreement

SEGMENTS = np.arange(16).reshape(4, 4)


def of(*weights: float, segments: np.ndarray = SEGMENTS) -> Weighted:
    return Weighted(segments, dict(enumerate([*weights, *[0.0] * (segments.max() + 1 - len(weights))])))


def test_an_explanation_agrees_with_itself():
    found = agreement(first=of(3, 2, -1), second=of(3, 2, -1), top_k=2)
    assert (found.overlap, found.correlation) == (1.0, pytest.approx(1.0))


def test_overlap_counts_the_strongest_regions_that_speak_for_the_class():
    # {0, 1} and {1, 2}: one of three; the strong region against the class does not count
    found = agreement(first=of(3, 2, 1, -9), second=of(0, 2, 3, 0, -9), top_k=2)
    assert found.overlap == pytest.approx(1 / 3)


def test_correlation_is_that_of_ranks():
    a, b = (np.random.default_rng(seed).normal(size=16) for seed in (0, 1))
    expected = spearmanr(a, b).statistic
    assert agreement(first=of(*a), second=of(*b), top_k=3).correlation == pytest.approx(expected)
    assert agreement(first=of(*a), second=of(*np.exp(a)), top_k=3).correlation == pytest.approx(1.0)


def test_weights_that_do_not_vary_have_no_correlation_and_none_for_the_class_agree():
    found = agreement(first=of(), second=of(), top_k=3)
    assert (found.overlap, found.correlation) == (1.0, None)


def test_other_superpixels_are_compared_by_pixel():
    halves = np.repeat([[0, 0, 1, 1]], 4, axis=0)
    thirds = np.repeat([[0, 1, 1, 1]], 4, axis=0)
    found = agreement(first=of(1, 0, segments=halves), second=of(1, 0, segments=thirds), top_k=1)
    assert found.overlap == pytest.approx(4 / 8)
    same = agreement(
        first=of(1, 0, segments=halves), second=of(1, 0, segments=halves.repeat(2, 0).repeat(2, 1)), top_k=1
    )
    assert (same.overlap, same.correlation) == (1.0, pytest.approx(1.0))
