import numpy as np
import pytest
import torch

from tests.workers.ml.classification.corner_marks import MARK, SIDE, draw
from workers.ml.classification.prediction import predict
from workers.ml.explanation.lime import (
    LimeExplanation,
    LimeProgress,
    explain_image,
    hide_segments,
    segment_image,
)

IMAGES, LABELS = draw(per_class=2, seed=11)
TOP_LEFT = IMAGES[LABELS == 1][0]


def steps(classifier, image, **changes):
    arguments = {"num_samples": 200, "num_segments": 16, "hide": "mean", "batch_size": 50, "seed": 0, "device": "cpu"}
    return list(explain_image(classifier=classifier, image_uint8=image, **{**arguments, **changes}))


def explain(classifier, image, **changes) -> LimeExplanation:
    explanation = steps(classifier, image, **changes)[-1]
    assert isinstance(explanation, LimeExplanation)
    return explanation


def mark(label):
    """Where the bright square of a class stands in the enlarged image."""
    start = 1 if label == 1 else SIDE - 1 - MARK
    side = slice(start * 64 // SIDE, (start + MARK) * 64 // SIDE)
    return side, side


class TestWhatItFinds:
    @pytest.mark.parametrize("hide", ["black", "grey"])  # the mean of a superpixel inside the mark is the mark itself
    @pytest.mark.parametrize("label", [1, 2])
    def test_the_strongest_region_is_the_mark_that_decides(self, corner_classifier, label, hide):
        explanation = explain(corner_classifier, IMAGES[label == LABELS][0], hide=hide)
        assert explanation.predicted == label
        segment, weight = explanation.classes[label].weights[0]
        region = explanation.segments == segment
        assert weight > 0.1
        assert region[mark(label)].mean() > 0.5
        assert region.mean() < 0.3

    def test_what_speaks_for_one_class_speaks_against_another(self, corner_classifier):
        explanation = explain(corner_classifier, TOP_LEFT, hide="black")
        strongest = explanation.classes[1].weights[0][0]
        assert dict(explanation.classes[0].weights)[strongest] < 0

    def test_every_class_is_explained_by_every_superpixel(self, corner_classifier):
        explanation = explain(corner_classifier, TOP_LEFT)
        assert [c.label for c in explanation.classes] == [0, 1, 2]
        for c in explanation.classes:
            assert sorted(segment for segment, _ in c.weights) == list(range(explanation.num_segments))
            strengths = [abs(weight) for _, weight in c.weights]
            assert strengths == sorted(strengths, reverse=True)
            assert c.score <= 1

    def test_the_weights_of_all_classes_cancel(self, corner_classifier):
        # probabilities sum to 1, and the regression is linear in them: intercepts sum to 1, weights to 0
        explanation = explain(corner_classifier, TOP_LEFT, hide="black")
        assert sum(c.intercept for c in explanation.classes) == pytest.approx(1)
        totals = np.zeros(explanation.num_segments)
        for c in explanation.classes:
            for segment, weight in c.weights:
                totals[segment] += weight
        np.testing.assert_allclose(totals, 0, atol=1e-9)

    def test_its_probabilities_are_those_of_prediction(self, corner_classifier):
        explanation = explain(corner_classifier, TOP_LEFT)
        expected = predict(classifier=corner_classifier, images_uint8=TOP_LEFT[None], batch_size=1, device="cpu")[0]
        np.testing.assert_allclose(explanation.probabilities, expected, atol=1e-6)


class TestReference:
    def test_gives_the_weights_of_the_lime_package_itself(self, rgb_classifier):
        from lime.lime_image import LimeImageExplainer

        from workers.ml.seeding import derive_seed

        image = np.random.default_rng(3).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        ours = explain(rgb_classifier, image, num_samples=160, hide="black", seed=5)
        stock = LimeImageExplainer(random_state=derive_seed(5, "lime") % 2**32).explain_instance(
            image,
            lambda images: predict(classifier=rgb_classifier, images_uint8=images, batch_size=50, device="cpu"),
            labels=(0, 1, 2),
            top_labels=None,
            hide_color=0,
            num_samples=ours.num_samples,
            batch_size=50,
            segmentation_fn=lambda _: ours.segments,
            random_seed=0,  # otherwise it draws one first
        )
        for c in ours.classes:
            assert dict(c.weights) == pytest.approx(dict(stock.local_exp[c.label]), abs=1e-7)
            assert c.intercept == pytest.approx(stock.intercept[c.label])


class TestRepeating:
    def test_the_same_seed_gives_the_same_bits(self, corner_classifier):
        first = explain(corner_classifier, TOP_LEFT, seed=3)
        np.random.seed(1)
        torch.manual_seed(1)
        second = explain(corner_classifier, TOP_LEFT, seed=3)
        assert first.classes == second.classes
        assert first.probabilities == second.probabilities
        np.testing.assert_array_equal(first.segments, second.segments)

    def test_another_seed_gives_other_perturbations_of_the_same_superpixels(self, corner_classifier):
        first, second = (explain(corner_classifier, TOP_LEFT, seed=seed) for seed in (3, 4))
        np.testing.assert_array_equal(first.segments, second.segments)
        assert first.classes != second.classes

    def test_the_batch_size_does_not_matter(self, corner_classifier):
        first, second = (explain(corner_classifier, TOP_LEFT, batch_size=size) for size in (7, 200))
        for a, b in zip(first.classes, second.classes, strict=True):
            assert dict(a.weights) == pytest.approx(dict(b.weights), abs=1e-5)

    def test_leaves_the_global_random_states_alone(self, corner_classifier):
        numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
        explain(corner_classifier, TOP_LEFT)
        np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)
        assert torch.equal(torch.get_rng_state(), torch_before)


class TestSamples:
    def test_are_raised_to_ten_for_each_superpixel(self, corner_classifier):
        explanation = explain(corner_classifier, TOP_LEFT, num_samples=20)
        assert explanation.num_samples == 10 * explanation.num_segments
        assert explanation.num_samples_requested == 20

    def test_are_otherwise_as_many_as_asked_for(self, corner_classifier):
        explanation = explain(corner_classifier, TOP_LEFT, num_samples=301)
        assert explanation.num_samples == explanation.num_samples_requested == 301

    def test_progress_is_told_after_every_batch_and_can_be_stopped(self, corner_classifier):
        records = steps(corner_classifier, TOP_LEFT, num_samples=300, batch_size=128)
        assert records[:-1] == [LimeProgress(128, 300), LimeProgress(256, 300), LimeProgress(300, 300)]
        running = explain_image(
            classifier=corner_classifier, image_uint8=TOP_LEFT, num_samples=300, num_segments=16, hide="mean",
            batch_size=10, seed=0, device="cpu",
        )  # fmt: skip
        assert next(running) == LimeProgress(10, 300)
        running.close()


class TestSegments:
    @pytest.mark.parametrize("image", [IMAGES[0], np.zeros((64, 64, 1), np.uint8), np.full((50, 50, 3), 200, np.uint8)])
    def test_are_numbered_without_gaps_about_as_many_as_asked_for(self, image):
        segments = segment_image(image_uint8=image, num_segments=16)
        assert segments.shape == image.shape[:2]
        assert np.unique(segments).tolist() == list(range(segments.max() + 1))
        assert 8 <= segments.max() + 1 <= 32

    def test_one_superpixel_explains_nothing(self):
        with pytest.raises(ValueError, match="one superpixel only"):
            segment_image(image_uint8=np.zeros((16, 16, 1), np.uint8), num_segments=1)


class TestHiding:
    SEGMENTS = np.array([[0, 0], [1, 1]])
    IMAGE = torch.tensor([[[0.0, 0.5], [0.2, 0.6]]])

    def test_mean_gives_every_superpixel_its_mean(self):
        hidden = hide_segments(image=self.IMAGE, segments=self.SEGMENTS, hide="mean")
        torch.testing.assert_close(hidden, torch.tensor([[[0.25, 0.25], [0.4, 0.4]]]))

    def test_black_and_grey_are_one_colour(self):
        assert hide_segments(image=self.IMAGE, segments=self.SEGMENTS, hide="black").unique().tolist() == [0.0]
        assert hide_segments(image=self.IMAGE, segments=self.SEGMENTS, hide="grey").unique().tolist() == [0.5]

    def test_another_way_is_refused(self, corner_classifier):
        with pytest.raises(ValueError, match="hide is 'blur', not one of mean, black, grey"):
            explain(corner_classifier, TOP_LEFT, hide="blur")


def test_an_image_with_other_channels_is_refused(corner_classifier):
    with pytest.raises(ValueError, match="have 3 channels, the classifier was trained on 1"):
        explain(corner_classifier, np.zeros((32, 32, 3), np.uint8))
