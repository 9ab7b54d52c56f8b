from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.workers.ml.explanation.test_lime import TOP_LEFT, explain
from workers.ml.classification.prediction import LoadedClassifier
from workers.ml.explanation.faithfulness import FaithfulnessCurves, faithfulness_curves, stability
from workers.ml.explanation.lime import ClassExplanation, LimeExplanation, LimeProgress


@pytest.fixture(scope="module")
def explanation(corner_classifier):
    return explain(corner_classifier, TOP_LEFT, hide="black")


def steps(classifier, explanation, **changes):
    arguments = {"image_uint8": TOP_LEFT, "label": 1, "batch_size": 32, "device": "cpu"}
    return list(faithfulness_curves(classifier=classifier, explanation=explanation, **{**arguments, **changes}))


def curves(classifier, explanation, **changes) -> FaithfulnessCurves:
    return steps(classifier, explanation, **changes)[-1]


class Brightness(torch.nn.Module):
    """Class 1 is as probable as the image is bright: of logits log(1 - m) and log(m) the softmax is (1 - m, m)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.double().mean(dim=(1, 2, 3)).clamp(1e-12, 1)
        return torch.stack([torch.log1p(-mean), torch.log(mean)], dim=1)


def two_halves():
    """A classifier by brightness, an image whose left half has brightness 0.8 and whose right half 0.2, and its explanation."""
    classifier = LoadedClassifier(
        network=Brightness(), architecture="brightness", classes=("dark", "bright"), channels=1, input_size=4, image_size=4,
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), metadata={},
    )  # fmt: skip
    halves = np.array([[0, 0, 1, 1]] * 4)
    image = np.where(halves == 0, 204, 51).astype(np.uint8)[..., None]
    classes = (
        ClassExplanation(0, 1.0, ((0, -0.4), (1, -0.1)), 1.0),
        ClassExplanation(1, 0.0, ((0, 0.4), (1, 0.1)), 1.0),
    )
    explanation = LimeExplanation(
        segments=halves, classes=classes, predicted=1, probabilities=(0.5, 0.5), num_samples=2, num_samples_requested=2,
        hide="black", seed=0,
    )  # fmt: skip
    return classifier, image, explanation


def with_weights(explanation, weights, seed=0):
    """The same superpixels with other weights for class 0."""
    ordered = tuple(sorted(enumerate(weights), key=lambda pair: -abs(pair[1])))
    return replace(explanation, classes=(ClassExplanation(0, 0.0, ordered, 1.0),), seed=seed)


class TestCurves:
    def test_equal_those_drawn_by_hand(self):
        classifier, image, explanation = two_halves()
        result = curves(classifier, explanation, image_uint8=image)
        assert result.shares == (0, 0.5, 1)
        assert result.deletion == pytest.approx((0.5, 0.1, 0))
        assert result.insertion == pytest.approx((0, 0.4, 0.5))
        assert result.deletion_auc == pytest.approx(0.5 * (0.5 + 0.1) / 2 + 0.5 * (0.1 + 0) / 2)  # 0.175
        assert result.insertion_auc == pytest.approx(0.5 * (0 + 0.4) / 2 + 0.5 * (0.4 + 0.5) / 2)  # 0.325

    def test_deletion_is_insertion_in_the_reverse_order(self):
        # class 0 has the opposite weights: its order is the reverse, and its probability 1 - p
        classifier, image, explanation = two_halves()
        forward, back = (curves(classifier, explanation, image_uint8=image, label=label) for label in (1, 0))
        assert back.insertion_auc == pytest.approx(1 - forward.deletion_auc)
        assert back.deletion_auc == pytest.approx(1 - forward.insertion_auc)

    def test_progress_counts_both_curves(self, corner_classifier, explanation):
        total = 2 * (explanation.num_segments + 1)
        *progress, _ = steps(corner_classifier, explanation, batch_size=10)
        assert progress == [LimeProgress(min(done, total), total) for done in range(10, total + 10, 10)]

    def test_do_not_depend_on_the_batch_size(self, corner_classifier, explanation):
        one, all_at_once = (curves(corner_classifier, explanation, batch_size=size) for size in (1, 1000))
        assert one.deletion == pytest.approx(all_at_once.deletion, abs=1e-5)
        assert one.insertion == pytest.approx(all_at_once.insertion, abs=1e-5)

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
