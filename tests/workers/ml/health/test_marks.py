"""What is planted at one place in many images is found, in whatever class; anatomy is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.ml.health.marks import Mark, repeated_marks

SIDE = 96


def anatomy(num: int, *, seed: int) -> NDArray[np.uint8]:
    """(num, SIDE, SIDE): rings of varying place and size on black, as heads are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    images = []
    for _ in range(num):
        centre = SIDE / 2 + rng.uniform(-6, 6, 2)
        radius = rng.uniform(0.3, 0.48) * SIDE
        distance = np.hypot(y - centre[0], x - centre[1])
        ring = 200 * (np.abs(distance - radius) < 3) + 80 * (distance < radius)
        images.append(np.clip(ring + rng.normal(5, 5, (SIDE, SIDE)), 0, 255))
    return np.array(images, dtype=np.uint8)


def marks(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[Mark]:
    return repeated_marks(images_uint8=images, labels=labels, num_classes=2)


LABELS = np.repeat([0, 1], 30)


def test_anatomy_is_no_mark():
    assert marks(anatomy(60, seed=0), LABELS) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_mark_of_one_class_is_found_with_its_share_in_each(seed: int):
    images = anatomy(60, seed=seed)
    images[:24, 86:92, 78:92] = 250  # 24 of the 30 of class 0, at the bottom right
    (mark,) = marks(images, LABELS)
    assert mark.tone == "bright"
    assert mark.shares == [pytest.approx(0.8, abs=0.05), 0.0]
    assert mark.spread == mark.shares[0]
    top, left, bottom, right = mark.box
    assert top < 86 / SIDE < 92 / SIDE <= bottom
    assert left < 78 / SIDE < 92 / SIDE <= right


def test_a_mark_of_all_classes_is_found_once():
    images = anatomy(60, seed=3)
    images[:, 3:8, 3:14] = 240
    (mark,) = marks(images, LABELS)
    assert min(mark.shares) > 0.9


def test_a_dark_mark_on_a_bright_ground_is_found():
    images = 255 - anatomy(60, seed=4)
    images[LABELS == 1, 86:92, 4:20] = 5
    (mark,) = marks(images, LABELS)
    assert mark.tone == "dark"
    assert mark.shares == [0.0, pytest.approx(1, abs=0.05)]


def test_what_only_a_few_carry_is_no_mark():
    images = anatomy(60, seed=5)
    images[:9, 86:92, 78:92] = 250
    assert marks(images, LABELS) == []


def test_too_few_images_say_nothing():
    images = anatomy(6, seed=6)
    images[:, 3:8, 3:14] = 240
    assert marks(images, np.repeat([0, 1], 3)) == []
