"""The nearest training image is found whatever lies between, and the same whatever else is searched for."""

import numpy as np
import pytest

from tests.workers.ml.privacy.pictures import pictures
from workers.ml.privacy.neighbours import KINDS, Neighbours
from workers.ml.privacy.pixels import nearest_in_pixels, pixel_gallery
from workers.ml.privacy.planted import AMOUNTS, altered

TRAIN = pictures(40, seed=0)
COLOUR = pictures(40, seed=0, channels=3)
GALLERY = pixel_gallery(images_uint8=TRAIN, clusters=None)


def search(images, *, gallery=GALLERY, mirrors=("left_right",), own=None) -> Neighbours:
    return nearest_in_pixels(gallery=gallery, images_uint8=images, mirrors=mirrors, own=own)


@pytest.mark.parametrize("alteration", AMOUNTS)
@pytest.mark.parametrize("train", [TRAIN, COLOUR], ids=["grey", "colour"])
def test_an_altered_copy_leads_to_its_original(train, alteration):
    gallery = pixel_gallery(images_uint8=train, clusters=None)
    copies = altered(images_uint8=train[:12], alteration=alteration, strength="mild", seed=3)
    found = search(copies, gallery=gallery)
    assert (found.nearest == np.arange(12)).mean() >= 0.9
    kind = KINDS.index("left_right" if alteration == "mirror" else "plain")
    assert (found.kind[found.nearest == np.arange(12)] == kind).all()


def test_a_copy_is_equal_and_a_fresh_image_is_not():
    copies, fresh = search(TRAIN[:5]), search(pictures(5, seed=9))
    assert copies.similarity == pytest.approx(np.ones(5), abs=1e-4)
    assert copies.distances == pytest.approx(np.zeros(5), abs=0.01)
    assert (fresh.similarity < 0.98).all()
    assert copies.views.max() < fresh.views.min() - 2


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (0.6, 80), (1.0, -40)])
def test_brightness_and_contrast_make_no_difference(gain, offset):
    images = np.clip(TRAIN.astype(float), 50, 200)  # so that nothing saturates
    gallery = pixel_gallery(images_uint8=images.astype(np.uint8), clusters=None)
    found = search((images[:6] * gain + offset).astype(np.uint8), gallery=gallery)
    assert found.nearest.tolist() == list(range(6))
    assert (found.similarity > 0.999).all()


def test_a_mirror_image_is_found_only_where_it_is_asked_for():
    turned = TRAIN[:6, ::-1, ::-1]
    assert search(turned, mirrors=("left_right", "rotated")).nearest.tolist() == list(range(6))
    assert (search(turned, mirrors=("rotated",)).kind == KINDS.index("rotated")).all()
    assert (search(turned, mirrors=()).similarity < 0.98).all()


def test_an_unknown_mirroring_is_refused():
    with pytest.raises(ValueError, match="no mirroring sideways; choose among left_right"):
        search(TRAIN, mirrors=("sideways",))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_images_are_like_nothing_and_divide_nothing(level):
    blank = np.full((1, *TRAIN.shape[1:]), level, dtype=np.uint8)
    gallery = pixel_gallery(images_uint8=np.concatenate([blank, TRAIN]), clusters=None)
    with np.errstate(all="raise"):
        found = search(np.concatenate([blank, TRAIN[:3]]), gallery=gallery)
    assert found.nearest.tolist() == [-1, 1, 2, 3]
    assert found.is_blank.tolist() == [True, False, False, False]
    assert np.isnan(found.views[0]).all()
    with pytest.raises(ValueError, match="All 1 training images are blank"):
        pixel_gallery(images_uint8=blank, clusters=None)


def test_what_is_found_depends_neither_on_neighbours_nor_on_repetition():
    images = np.concatenate([pictures(140, seed=4), TRAIN[:4]])
    together = search(images)
    again = search(images)
    apart = [search(images[place : place + 1]) for place in (0, 127, 128, 143)]
    assert np.array_equal(together.views, again.views)
    assert together.nearest[[0, 127, 128, 143]].tolist() == [int(each.nearest[0]) for each in apart]
    assert together.views[[0, 127, 128, 143]] == pytest.approx(np.concatenate([each.views for each in apart]), abs=1e-5)


def test_an_image_is_not_its_own_neighbour_nor_its_look_alikes():
    clusters = np.arange(40)
    clusters[1] = 0
    train = TRAIN.copy()
    train[1] = train[0]
    gallery = pixel_gallery(images_uint8=train, clusters=clusters)
    found = search(train, gallery=gallery, own=clusters)
    assert not set(found.nearest[:2].tolist()) & {0, 1}
    assert (found.nearest != np.arange(40)).all()


def test_twelve_copies_of_one_training_image_hide_no_copy_if_they_are_known():
    train = np.concatenate([np.repeat(TRAIN[:1], 12, axis=0), TRAIN[1:]])
    clusters = np.maximum(np.arange(len(train)) - 11, 0)
    known = search(TRAIN[:1], gallery=pixel_gallery(images_uint8=train, clusters=clusters))
    unknown = search(TRAIN[:1], gallery=pixel_gallery(images_uint8=train, clusters=None))
    assert known.views.max() < -3
    assert unknown.views == pytest.approx(np.zeros((1, 2)), abs=1e-6)


@pytest.mark.parametrize("num", [1, 2, 5])
def test_few_training_images_are_enough_to_search_in(num):
    found = search(TRAIN[:8], gallery=pixel_gallery(images_uint8=TRAIN[:num], clusters=None))
    assert found.nearest[:num].tolist() == list(range(num))
    assert np.isfinite(found.views).all()


def test_large_images_are_compared_at_64_px():
    train = pictures(12, seed=5, side=96)
    found = search(train[:4], gallery=pixel_gallery(images_uint8=train, clusters=None))
    assert found.nearest.tolist() == [0, 1, 2, 3]


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(16, 16, 3\) \(H, W, C\), the training images \(16, 16, 1\)"):
        search(COLOUR)
    with pytest.raises(ValueError, match="expected squares"):
        pixel_gallery(images_uint8=TRAIN[:, :8], clusters=None)
    with pytest.raises(ValueError, match="clusters of shape"):
        pixel_gallery(images_uint8=TRAIN, clusters=np.arange(3))
