"""Planted images are flagged as what they are, and nothing else is."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app.core.images.facts import facts
from workers.ml.health.quality import KINDS, quality_flags, relative_detail, robust_deviations

Uint8 = NDArray[np.uint8]
SIDE = 64


def texture(seed: int, *, low: int = 20, high: int = 220) -> Uint8:
    """(SIDE, SIDE) uint8: noise of some size, between two grey levels."""
    rng = np.random.default_rng(seed)
    grey = Image.fromarray(rng.integers(0, 256, (SIDE // 2, SIDE // 2), dtype=np.uint8)).resize((SIDE, SIDE))
    return np.asarray(low + (high - low) * (np.asarray(grey) / 255.0), dtype=np.uint8)


def flags(images: list[Uint8]) -> dict[str, list[int]]:
    """{kind: places flagged}."""
    figures = [facts(image[..., None]) for image in images]
    found = quality_flags(
        stds=np.array([max(each["std"]) for each in figures]),
        histograms=np.array([each["histogram"] for each in figures]),
        entropies=np.array([each["entropy"] for each in figures]),
        sharpnesses=np.array([each["sharpness"] for each in figures]),
        widths=np.array([float(image.shape[1]) for image in images]),
        heights=np.array([float(image.shape[0]) for image in images]),
    )
    assert tuple(found) == KINDS
    return {kind: np.flatnonzero(flagged).tolist() for kind, flagged in found.items() if flagged.any()}


USUAL = [texture(seed) for seed in range(20)]


def blurred(image: Uint8) -> Uint8:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(3)))


@pytest.mark.parametrize(
    ("planted", "kinds"),
    [
        (np.zeros((SIDE, SIDE), np.uint8), {"blank"}),
        (np.full((SIDE, SIDE), 200, np.uint8), {"blank"}),
        (texture(99, low=0, high=30), {"dark"}),
        (texture(99, low=225, high=255), {"bright"}),
        (np.where(texture(99) > 120, 200, 60).astype(np.uint8), {"low_information"}),  # two levels: one bit
        (blurred(texture(99)), {"blurred"}),
        (texture(99)[:, :16], {"odd_aspect"}),
    ],
    ids=["black", "grey", "dark", "bright", "two levels", "blurred", "strip"],
)
def test_a_planted_image_is_flagged_and_no_other(planted: Uint8, kinds: set[str]):
    assert flags([*USUAL, planted]) == {kind: [len(USUAL)] for kind in kinds}


def test_a_dataset_that_is_dark_throughout_is_not_wrong():
    scans = [np.pad(texture(seed)[:32, :32], 16) for seed in range(20)]  # three quarters are black
    assert flags(scans) == {}


def test_sizes_that_vary_in_proportion_are_not_odd():
    assert flags([image[:, : 40 + seed] for seed, image in enumerate(USUAL)]) == {}


def test_robust_deviations_by_hand():
    # median 3, absolute deviations 2 1 0 1 97, their median 1: the scale is 1.4826
    found = robust_deviations(np.array([1.0, 2, 3, 4, 100]), least_scale=0.1)
    assert found == pytest.approx(np.array([-2, -1, 0, 1, 97]) / 1.4826)
    assert robust_deviations(np.array([5.0, 5, 5, 6]), least_scale=0.5).tolist() == [0, 0, 0, 2]


def test_relative_detail_does_not_depend_on_contrast():
    strong, weak = (facts(texture(1, low=0, high=high)[..., None]) for high in (240, 60))
    found = relative_detail(
        histograms=np.array([strong["histogram"], weak["histogram"]]),
        sharpnesses=np.array([strong["sharpness"], weak["sharpness"]]),
    )
    assert found[0] == pytest.approx(found[1], abs=0.1)
