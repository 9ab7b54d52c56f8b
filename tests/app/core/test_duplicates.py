"""Pictures that are the same again, on phantoms; on real images see tests/data/test_real_duplicates.py."""

import io
from collections.abc import Callable

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from app.core import duplicates, phantoms
from app.core.duplicates import Gallery, Pair
from app.core.fingerprints import SIDE, Fingerprint, fingerprint, hash_tile

HEADS = [
    Image.fromarray(phantoms.draw(name, seed, 96).squeeze()) for seed in (0, 1, 2, 4, 5, 6) for name in phantoms.CLASSES
]


def looks(images: list[Image.Image]) -> Gallery:
    return Gallery([look(image) for image in images])


def look(image: Image.Image) -> Fingerprint:
    array = np.asarray(image)
    return fingerprint(array[..., None] if array.ndim == 2 else array)


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return Image.open(file)


def cropped(image: Image.Image) -> Image.Image:
    return image.crop((1, 1, image.width - 1, image.height - 1))  # 2 % of 96 px


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "same": lambda image: image,
    "re-encoded": jpeg,
    "smaller": lambda image: image.resize((61, 61)),
    "larger": lambda image: image.resize((200, 200)),
    "in colour mode": lambda image: image.convert("RGB"),
    "mirrored": ImageOps.mirror,
    "mirrored and re-encoded": lambda image: jpeg(ImageOps.mirror(image)),
    "brighter": lambda image: image.point(lambda value: min(255, round(value * 1.1 + 5))),
    "darker": lambda image: image.point(lambda value: round(value * 0.85)),
    "cropped": cropped,
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_finds_every_altered_picture_and_no_other(name: str):
    altered = [ALTERATIONS[name](image) for image in HEADS]
    found = list(duplicates.cross_pairs(looks(HEADS), looks(altered)))
    assert {(pair.first, pair.second) for pair in found} == {(i, i) for i in range(len(HEADS))}
    assert {pair.mirrored for pair in found} == {name.startswith("mirrored")}


class TestNearPairs:
    def test_names_each_pair_once_in_order(self):
        images = [HEADS[0], HEADS[5], jpeg(HEADS[0]), ImageOps.mirror(HEADS[5])]
        found = list(duplicates.near_pairs(looks(images)))
        assert [pair[:3] for pair in found] == [(0, 2, False), (1, 3, True)]
        assert all(0.99 <= pair.agreement <= 1 and pair.distance <= 4 for pair in found)

    def test_flat_pictures_are_like_nothing(self):
        flat = [Image.new("L", (40, 40), level) for level in (0, 0, 90)]
        assert list(duplicates.near_pairs(looks(flat))) == []

    def test_of_nothing_is_nothing(self):
        assert list(duplicates.near_pairs(Gallery([]))) == []
        assert list(duplicates.cross_pairs(Gallery([]), looks(HEADS[:2]))) == []

    def test_does_not_depend_on_how_many_rows_are_searched_at_once(self, monkeypatch: pytest.MonkeyPatch):
        gallery = looks([*HEADS[:9], *(jpeg(image) for image in HEADS[:9])])
        whole = list(duplicates.near_pairs(gallery))
        monkeypatch.setattr(duplicates, "ROWS_AT_ONCE", 4)
        pieces = list(duplicates.near_pairs(gallery))
        assert [pair[:4] for pair in pieces] == [pair[:4] for pair in whole]
        assert len(whole) == 9
        assert whole[0] == Pair(0, 9, False, whole[0].distance, whole[0].agreement)


class TestFingerprint:
    def test_hash_is_that_of_imagehash(self):
        # Equal up to the two bits that hang on rounding when a large image is shrunk.
        for image in HEADS[:12]:
            theirs = int(str(imagehash.phash(image)), 16)
            assert (theirs ^ int(look(image).perceptual_hash, 16)).bit_count() <= 2

    def test_mirrored_hash_is_the_hash_of_the_mirror_image(self):
        tile = look(HEADS[3]).pixels
        assert look(HEADS[3]).mirrored_hash == hash_tile(tile[:, ::-1])

    def test_tile_is_the_picture_in_small(self):
        ramp = np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None], 64, axis=0)[..., None]
        pixels = fingerprint(ramp).pixels
        assert pixels.shape == (SIDE, SIDE)
        assert np.abs(pixels[5].astype(int) - np.arange(3, 256, 8)).max() <= 3
