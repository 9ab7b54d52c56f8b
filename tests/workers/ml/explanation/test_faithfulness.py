from dataclasses import replace

import numpy as np
import pytest

from tests.workers.ml.explanation.test_lime import TOP_LEFT, explain
from workers.ml.explanation.faithfulness import faithfulness_curves, stability
from workers.ml.explanation.lime import ClassExplanation


@pytest.fixture(scope="module")
def explanation(corner_classifier):
    return explain(corner_classifier, TOP_LEFT, hide="black")


def curves(classifier, explanation, **changes):
    arguments = {"label": 1, "batch_size": 32, "device": "cpu"}
    return faithfulness_curves(
        classifier=classifier, image_uint8=TOP_LEFT, explanation=explanation, **{**arguments, **changes}
    )


def with_weights(explanation, weights, seed=0):
    """The same superpixels with other weights for class 0."""
    ordered = tuple(sorted(enumerate(weights), key=lambda pair: -abs(pair[1])))
    return replace(explanation, classes=(ClassExplanation(0, 0.0, ordered, 1.0),), seed=seed)


class TestCurves:
    def test_run_from_the_whole_image_to_nothing_and_back(self, corner_classifier, explanation):
        result = curves(corner_classifier, explanation)
        assert len(result.shares) == len(result.deletion) == len(result.insertion) == explanation.num_segments + 1
        assert (result.shares[0], result.shares[-1]) == (0, 1)
        assert list(result.shares) == sorted(result.shares)
        assert result.deletion[0] == pytest.approx(explanation.probabilities[1], abs=1e-6)
        assert result.deletion[0] == pytest.approx(result.insertion[-1], abs=1e-6)
        assert result.deletion[-1] == pytest.approx(result.insertion[0], abs=1e-6)

    def test_a_right_order_falls_early_and_a_reversed_one_late(self, corner_classifier, explanation):
        turned = ClassExplanation(1, 0.0, tuple((s, -w) for s, w in explanation.classes[1].weights), 0.0)
        reversed_ = replace(explanation, classes=(explanation.classes[0], turned, explanation.classes[2]))
        right, wrong = curves(corner_classifier, explanation), curves(corner_classifier, reversed_)
        assert right.deletion_auc < wrong.deletion_auc - 0.2
        assert right.insertion_auc > wrong.insertion_auc + 0.2

    def test_areas_are_those_of_the_trapezoids(self, corner_classifier, explanation):
        result = curves(corner_classifier, explanation)
        widths, values = np.diff(result.shares), np.array(result.deletion)
        assert result.deletion_auc == pytest.approx((widths * (values[1:] + values[:-1]) / 2).sum())

    def test_a_class_that_was_not_explained_is_refused(self, corner_classifier, explanation):
        with pytest.raises(ValueError, match="Label 3 was not explained; choose one of 0 to 2"):
            curves(corner_classifier, explanation, label=3)


class TestStability:
    def test_explanations_of_a_clear_image_agree(self, corner_classifier):
        several = [explain(corner_classifier, TOP_LEFT, hide="black", seed=seed, num_samples=400) for seed in range(3)]
        result = stability(explanations=several, label=1, top_k=2)
        assert result.num_seeds == 3
        assert result.overlap > 0.3
        assert result.correlation > 0.8
        assert len(result.deviations) == several[0].num_segments

    def test_equals_the_closed_form(self, explanation):
        count = explanation.num_segments
        first, second = np.zeros(count), np.zeros(count)
        first[[0, 1]] = 1.0, 0.5
        second[[0, 2]] = 1.0, 0.5
        pair = [with_weights(explanation, first, seed=0), with_weights(explanation, second, seed=1)]
        result = stability(explanations=pair, label=0, top_k=2)
        assert result.overlap == pytest.approx(1 / 3)  # {0, 1} and {0, 2}
        assert result.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
        assert result.deviations[1] == pytest.approx(0.5 / np.sqrt(2))
        assert result.deviations[0] == 0

    def test_weights_without_variation_have_no_correlation(self, explanation):
        flat = [with_weights(explanation, np.zeros(explanation.num_segments), seed=seed) for seed in (0, 1)]
        result = stability(explanations=flat, label=0, top_k=2)
        assert (result.overlap, result.correlation) == (1.0, None)

    def test_needs_two_seeds_and_equal_superpixels(self, explanation):
        with pytest.raises(ValueError, match="a seed of its own"):
            stability(explanations=[explanation, explanation], label=0, top_k=2)
        other = replace(explanation, segments=explanation.segments[::-1], seed=9)
        with pytest.raises(ValueError, match="different superpixels"):
            stability(explanations=[explanation, other], label=0, top_k=2)
