import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ml.metrics.families import holm

PROBABILITIES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12)


def test_by_hand():
    # sorted .01 .03 .04: 3 * .01 = .03, 2 * .03 = .06, 1 * .04 is not below the one before
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005, 0.5, 0.03], [0.05, 0.12, 0.12, 0.03, 0.5, 0.12]),
        ([0.6, 0.0001, 0.02, 0.9], [1.0, 0.0004, 0.06, 1.0]),
    ],
)
def test_is_statsmodels(p_values, expected):
    """statsmodels 0.15.0, multitest.multipletests(method="holm")."""
    assert holm(p_values) == pytest.approx(expected)


def test_none_stays_none_and_does_not_count():
    assert holm([None, 0.02, None, 0.03]) == [None, 0.04, None, 0.04]
    assert holm([]) == []
    assert holm([None]) == [None]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="is no p-value"):
        holm([0.1, wrong])


@given(PROBABILITIES, st.randoms())
def test_the_order_of_tests_does_not_matter_and_none_gets_smaller(p_values, random):
    places = list(range(len(p_values)))
    random.shuffle(places)
    adjusted, shuffled = holm(p_values), holm([p_values[place] for place in places])
    assert shuffled == [adjusted[place] for place in places]
    assert all(a is None if p is None else p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
