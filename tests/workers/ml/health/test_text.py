"""A name written into the corner is seen; rings, noise and cells are not taken for one."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests import factories
from workers.ml.health.text import has_text


def written(words: str, *, size: int, at: tuple[int, int] = (4, 4), side: int = 256) -> np.ndarray:
    image = Image.fromarray(factories.drawing(1, 0, side)[..., 0])
    ImageDraw.Draw(image).text(at, words, fill=255, font=ImageFont.load_default(size))
    return np.asarray(image)


@pytest.mark.parametrize("size", [10, 14, 18])
@pytest.mark.parametrize("at", [(4, 4), (150, 232)], ids=["top left", "bottom right"])
def test_a_name_in_the_border_is_seen(size: int, at: tuple[int, int]):
    assert has_text(image_uint8=written("DOE^JANE 1956", size=size, at=at))


def test_dark_letters_on_white_are_seen():
    assert has_text(image_uint8=255 - written("200 px 1956", size=12))


@pytest.mark.parametrize("label", [0, 1])
def test_drawings_have_none(label: int):
    assert not any(has_text(image_uint8=factories.drawing(label, seed, 256)[..., 0]) for seed in range(5))


def test_noise_and_blanks_have_none():
    rng = np.random.default_rng(0)
    for mean, std in ((30, 50), (128, 80)):  # speckle
        noise = np.clip(rng.normal(mean, std, (200, 200)), 0, 255).astype(np.uint8)
        assert not has_text(image_uint8=noise)
    assert not has_text(image_uint8=np.zeros((200, 200), np.uint8))
    assert not has_text(image_uint8=np.zeros((9, 12), np.uint8))


def test_a_single_side_letter_is_no_text():
    assert not has_text(image_uint8=written("R", size=18))
