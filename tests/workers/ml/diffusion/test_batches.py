"""Batches depend on seed and position alone, visit every image, and balance classes."""

import numpy as np
import pytest

from workers.ml.diffusion.batches import BatchOrder

LABELS = np.array([0] * 6 + [1] * 2 + [3] * 4, dtype=np.int64)


def order(class_balanced: bool, seed: int = 0) -> BatchOrder:
    return BatchOrder(LABELS, class_balanced=class_balanced, seed=seed)


@pytest.mark.parametrize("class_balanced", [False, True])
def test_any_part_can_be_taken_on_its_own(class_balanced):
    whole = order(class_balanced).take(0, 100)
    parts = [order(class_balanced).take(start, 20) for start in (80, 0, 40, 20, 60)]
    assert np.array_equal(whole, np.concatenate([parts[i] for i in (1, 3, 2, 4, 0)]))


def test_a_plain_epoch_holds_every_image_once_in_another_order_each_time():
    first, second = order(False).take(0, 12), order(False).take(12, 12)
    assert sorted(first) == sorted(second) == list(range(12))
    assert not np.array_equal(first, second)


def test_balanced_blocks_hold_each_class_once_whatever_its_size():
    blocks = LABELS[order(True).take(0, 36)].reshape(12, 3)
    assert all(sorted(block) == [0, 1, 3] for block in blocks)


def test_balanced_classes_visit_all_their_images_equally_often():
    taken = order(True).take(0, 36)  # 12 turns: 2 rounds of class 0, 6 of class 1, 3 of class 3
    assert np.bincount(taken).tolist() == [2] * 6 + [6] * 2 + [3] * 4


def test_another_seed_is_another_order():
    assert not np.array_equal(order(True).take(0, 36), order(True, seed=1).take(0, 36))
