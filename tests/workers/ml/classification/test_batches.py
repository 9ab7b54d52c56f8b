import numpy as np
import pytest

from workers.ml.classification.batches import epoch_batches

UNEVEN = np.array([0] * 50 + [1] * 5 + [2] * 20)


def test_without_balance_every_image_comes_once():
    batches = epoch_batches(labels=UNEVEN, batch_size=16, class_balanced=False, seed=0)
    assert sorted(np.concatenate(batches)) == list(range(75))


def test_balanced_batches_hold_every_class_equally_often():
    batches = epoch_batches(labels=UNEVEN, batch_size=15, class_balanced=True, seed=0)
    for batch in batches:
        assert np.bincount(UNEVEN[batch], minlength=3).tolist() == [5, 5, 5]


def test_a_rare_class_shows_all_its_images_equally_often():
    drawn = np.concatenate(epoch_batches(labels=UNEVEN, batch_size=15, class_balanced=True, seed=0))
    assert np.bincount(drawn, minlength=75)[50:55].tolist() == [5] * 5  # 25 draws of 5 images


def test_a_class_that_does_not_occur_is_left_out():
    labels = np.array([0, 0, 3, 3])
    drawn = np.concatenate(epoch_batches(labels=labels, batch_size=4, class_balanced=True, seed=0))
    assert sorted(labels[drawn]) == [0, 0, 3, 3]


@pytest.mark.parametrize("count", [2, 3, 5, 33, 47, 49])
def test_there_is_no_small_last_batch(count):
    sizes = [len(b) for b in epoch_batches(labels=np.arange(count) % 2, batch_size=16, class_balanced=False, seed=0)]
    assert sum(sizes) == count
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1


def test_the_order_depends_on_the_seed_alone():
    def draw(seed):
        return np.concatenate(epoch_batches(labels=UNEVEN, batch_size=8, class_balanced=True, seed=seed)).tolist()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.mark.parametrize("balanced", [True, False])
def test_an_epoch_has_as_many_full_batches_as_asked_for_whatever_the_number_of_images(balanced: bool) -> None:
    for labels in (np.arange(10) % 2, np.arange(1000) % 2):
        batches = epoch_batches(labels=labels, batch_size=16, class_balanced=balanced, seed=0, num_steps=7)
        assert [len(batch) for batch in batches] == [16] * 7
        counts = np.bincount(np.concatenate(batches), minlength=len(labels))
        assert counts.max() - counts.min() <= 1  # each image as often as any other
