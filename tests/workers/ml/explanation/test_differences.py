import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_1samp

from workers.ml.explanation.differences import above_zero, flip_signs

EIGHT = np.array([0.3, 0.1, 0.2, 0.4, 0.25, 0.05, 0.15, -0.02])


def test_all_of_one_sign_have_two_patterns_of_all():
    assert flip_signs(differences=np.arange(1.0, 7.0), groups=None, confidence=0.95).p == pytest.approx(2 / 2**6)


def test_equals_the_exact_permutation_test_of_scipy():
    expected = permutation_test((EIGHT,), np.mean, permutation_type="samples", n_resamples=np.inf)
    found = flip_signs(differences=EIGHT, groups=None, confidence=0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.mean == pytest.approx(EIGHT.mean())


def test_swapping_the_arms_turns_the_interval_and_keeps_p():
    one, other = (flip_signs(differences=sign * EIGHT, groups=None, confidence=0.95) for sign in (1, -1))
    assert one.p == other.p
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    reference = ttest_1samp(EIGHT, 0).confidence_interval(0.95)
    assert (one.low, one.high) == (pytest.approx(reference.low), pytest.approx(reference.high))


def test_many_units_are_tested_by_drawn_patterns_near_the_exact_p():
    values = np.random.default_rng(0).normal(0.4, 1, 40)
    found = flip_signs(differences=values, groups=None, confidence=0.95)
    assert found.p == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.02)
    assert flip_signs(differences=values, groups=None, confidence=0.95) == found


def test_images_of_one_patient_count_once():
    found = flip_signs(differences=np.array([1.0, 1, 1, 2, 2, 2]), groups=np.array([0, 0, 0, 1, 1, 1]), confidence=0.95)
    assert (found.num_images, found.num_units, found.p) == (6, 2, 0.5)


def test_one_unit_has_no_p_and_no_interval():
    found = flip_signs(differences=np.array([1.0, 2.0]), groups=np.array([3, 3]), confidence=0.95)
    assert (found.mean, found.low, found.high, found.p) == (1.5, None, None, None)
    assert above_zero(differences=np.array([1.0]), groups=None, confidence=0.95).p is None


def test_above_zero_is_the_one_sided_t_test():
    found = above_zero(differences=EIGHT, groups=None, confidence=0.95)
    assert found.p == pytest.approx(ttest_1samp(EIGHT, 0, alternative="greater").pvalue)


def test_differences_that_are_all_the_same_are_above_zero_or_not():
    assert above_zero(differences=np.full(5, 0.5), groups=None, confidence=0.95).p == 0
    assert above_zero(differences=np.full(5, -0.5), groups=None, confidence=0.95).p == 1


def test_nothing_cannot_be_tested():
    with pytest.raises(ValueError, match="no difference to test"):
        flip_signs(differences=np.array([]), groups=None, confidence=0.95)
