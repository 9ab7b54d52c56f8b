import re

import numpy as np
import pytest

from workers.ml.explanation.body import body_mask


def scan(*, inside: int = 150, outside: int = 10, noise: float = 4.0, side: int = 64) -> np.ndarray:
    """A disc of radius 20 around the middle before a background, with a hole of the background's grey in it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    picture = np.where(x**2 + y**2 < 20**2, inside, outside).astype(float)
    picture[x**2 + y**2 < 5**2] = outside
    return (picture + rng.normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)[..., None]


@pytest.mark.parametrize(("inside", "outside"), [(150, 10), (90, 240)])
def test_the_body_is_what_stands_before_a_dark_or_bright_background(inside, outside):
    mask, reason = body_mask(picture_uint8=scan(inside=inside, outside=outside))
    assert reason == ""
    assert mask is not None
    y, x = np.mgrid[:64, :64] - 31.5
    disc = x**2 + y**2 < 20**2
    assert (mask == disc).mean() > 0.97
    assert mask[32, 32]  # a dark hole within the body is not outside


def test_a_colour_picture_is_told_by_its_grey():
    grey = scan()
    np.testing.assert_array_equal(
        body_mask(picture_uint8=np.repeat(grey, 3, axis=2))[0], body_mask(picture_uint8=grey)[0]
    )


def smear() -> np.ndarray:
    """Four dark cells on white."""
    picture = np.full((64, 64, 1), 240, np.uint8)
    for y, x in ((8, 8), (8, 42), (40, 10), (42, 40)):
        picture[y : y + 14, x : x + 14] = 90
    return picture


NOISE = np.random.default_rng(1).integers(0, 256, (64, 64, 1), dtype=np.uint8)
CROPPED = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (64, 1, 1))


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (np.full((32, 32, 1), 80, np.uint8), "no contrast"),
        (smear(), "Several objects"),
        (NOISE, "not of one brightness|edge|fills the frame|Several"),
        (CROPPED, "edge|not of one brightness"),
    ],
)
def test_a_picture_without_background_has_a_reason_and_no_body(picture, why):
    mask, reason = body_mask(picture_uint8=picture)
    assert mask is None
    assert re.search(why, reason), reason
