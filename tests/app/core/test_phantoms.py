import numpy as np
import pytest

from app.core import phantoms


@pytest.mark.parametrize("name", phantoms.CLASSES)
def test_class_and_seed_fix_every_pixel(name: str):
    assert np.array_equal(phantoms.draw(name, 5, 32), phantoms.draw(name, 5, 32))
    assert not np.array_equal(phantoms.draw(name, 5, 32), phantoms.draw(name, 6, 32))


def test_a_phantom_is_a_bright_skull_around_a_dark_brain_on_black():
    image = phantoms.draw("no_lesion", 1, 64)
    assert (image.shape, image.dtype) == ((64, 64), np.uint8)
    assert image[:3, :3].max() < 20  # a corner, outside the head
    row = image[32]
    skull = np.flatnonzero(row > 110)
    assert skull[0] < 16
    assert skull[-1] > 48
    assert 50 < np.median(image[16:48, 16:48]) < 80


def test_classes_differ_by_their_lesion_only():
    mean = {name: np.mean([phantoms.draw(name, seed, 48) for seed in range(40)]) for name in phantoms.CLASSES}
    assert mean["crescent_bleed"] > mean["solid_mass"] > mean["no_lesion"]
    assert mean["ring_lesion"] > mean["no_lesion"]


def test_draw_all_gives_every_class_its_number():
    drawn = [(name, number) for name, number, _ in phantoms.draw_all(3, seed=1, size=16)]
    assert drawn == [(name, number) for name in phantoms.CLASSES for number in range(3)]


def test_an_unknown_class_is_refused_with_the_classes_there_are():
    with pytest.raises(ValueError, match=r"'cat'.*crescent_bleed, no_lesion"):
        phantoms.draw("cat", 0)
