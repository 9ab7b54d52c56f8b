import numpy as np
import pytest

from workers.ml.explanation.drawing import list_regions, overlay, strongest
from workers.ml.explanation.lime import ClassExplanation

SEGMENTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 10, axis=0), 10, axis=1)  # four squares of 10 px
WEIGHTS = ((2, -0.4), (0, 0.3), (3, 0.1), (1, -0.05))
GREY = np.full((20, 20, 1), 100, dtype=np.uint8)


def draw(**changes):
    arguments = {"top_k": 4, "positive": True, "negative": True}
    return overlay(image_uint8=GREY, segments=SEGMENTS, weights=WEIGHTS, **{**arguments, **changes})


def tinted(canvas):
    """Which of the four squares are not the image's grey."""
    return {s for s in range(4) if (canvas[s == SEGMENTS] != 100).any()}


class TestOverlay:
    def test_shows_the_top_k_of_the_wanted_signs(self):
        assert tinted(draw()) == {0, 1, 2, 3}
        assert tinted(draw(top_k=2)) == {2, 0}
        assert tinted(draw(top_k=1, negative=False)) == {0}
        assert tinted(draw(positive=False)) == {2, 1}

    def test_is_blue_for_and_orange_against(self):
        canvas = draw().astype(int)
        assert canvas[5, 5, 2] > canvas[5, 5, 0]  # square 0, weight 0.3
        assert canvas[15, 5, 0] > canvas[15, 5, 2]  # square 2, weight -0.4

    def test_tints_the_stronger_more(self):
        canvas = np.abs(draw().astype(int) - 100).sum(axis=2)
        assert canvas[5, 5] > canvas[15, 15]

    def test_shows_the_image_itself_where_there_is_nothing_to_show(self):
        canvas = draw(positive=False, negative=False)
        assert canvas.shape == (20, 20, 3)
        assert canvas.dtype == np.uint8
        assert (canvas == 100).all()

    def test_changes_neither_image_nor_size(self):
        small = np.full((5, 5, 3), 100, dtype=np.uint8)
        canvas = overlay(image_uint8=small, segments=SEGMENTS, weights=WEIGHTS, top_k=1, positive=True, negative=False)
        assert canvas.shape == (20, 20, 3)
        assert tinted(canvas) == {0}
        assert (small == 100).all()

    def test_keeps_the_size_of_a_larger_image(self):
        large = np.full((60, 50, 3), 100, dtype=np.uint8)
        canvas = overlay(image_uint8=large, segments=SEGMENTS, weights=WEIGHTS, top_k=1, positive=True, negative=False)
        changed = np.argwhere((canvas != 100).any(axis=2))
        assert canvas.shape == (60, 50, 3)
        assert changed.min(axis=0).tolist() == [0, 0]
        assert changed.max(axis=0).tolist() == [29, 24]  # square 0: the upper left quarter


class TestRegions:
    def test_are_listed_by_strength_with_their_places(self):
        regions = list_regions(segments=SEGMENTS, explanation=ClassExplanation(0, 0.1, WEIGHTS, 0.9))
        assert [(r.rank, r.segment, r.weight) for r in regions] == [
            (1, 2, -0.4),
            (2, 0, 0.3),
            (3, 3, 0.1),
            (4, 1, -0.05),
        ]
        assert regions[0].box == (0.0, 0.5, 0.5, 1.0)  # square 2: bottom left
        assert regions[0].centre == pytest.approx((0.25, 0.75))
        assert sum(r.share for r in regions) == pytest.approx(1)

    def test_equal_strengths_are_ordered_by_number(self):
        weights = [(3, 0.2), (1, -0.2), (2, 0.2)]
        assert strongest(weights=weights, top_k=3, positive=True, negative=True) == [(1, -0.2), (2, 0.2), (3, 0.2)]
