import numpy as np
import pytest

from app.core.images.facts import facts


def test_of_two_levels_by_hand():
    image = np.zeros((4, 4, 1), dtype=np.uint8)
    image[:2] = 200  # half 200, half 0: mean 100, deviation 100, entropy 1 bit
    found = facts(image)
    assert (found["mean"], found["std"], found["entropy"]) == ([100.0], [100.0], 1.0)
    assert (found["dark_share"], found["bright_share"]) == (0.5, 0.0)
    assert found["histogram"][0] == found["histogram"][200 // 8] == 0.5
    # Rows 1 and 2, two pixels each: below 200 is 0, above 0 is 200. Laplacian -200 twice, 200 twice: variance 40,000.
    assert found["sharpness"] == pytest.approx(40_000)


def test_colour_has_three_means_and_one_grey_histogram():
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[..., 0] = 255
    found = facts(image)
    assert found["mean"] == [255.0, 0.0, 0.0]
    assert found["std"] == [0.0, 0.0, 0.0]
    assert found["histogram"][76 // 8] == 1.0  # ITU-R 601: 0.299 * 255 = 76
    assert found["entropy"] == 0.0
    assert found["sharpness"] == 0.0


def test_figures_equal_numpys():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    found = facts(image)
    assert found["mean"] == pytest.approx(image.mean(axis=(0, 1)).tolist(), abs=1e-3)
    assert found["std"] == pytest.approx(image.std(axis=(0, 1)).tolist(), abs=1e-3)


def test_a_picture_of_one_row_has_no_sharpness():
    assert facts(np.arange(9, dtype=np.uint8).reshape(1, 9, 1))["sharpness"] == 0.0
