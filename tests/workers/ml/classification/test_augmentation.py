import pytest
import torch

from workers.ml.classification.augmentation import augment_images

IMAGES = torch.rand(16, 3, 20, 20, generator=torch.Generator().manual_seed(0))


def test_none_without_flips_changes_nothing():
    assert augment_images(IMAGES, level="none", hflip=False, vflip=False, seed=0) is IMAGES


@pytest.mark.parametrize(("hflip", "vflip"), [(True, False), (False, True), (True, True)])
def test_flips_alone_give_mirror_images_and_nothing_else(hflip, vflip):
    views = augment_images(IMAGES, level="none", hflip=hflip, vflip=vflip, seed=0)
    seen = set()
    for image, view in zip(IMAGES, views, strict=True):
        mirrors = {(): image, (2,): image.flip(2), (1,): image.flip(1), (1, 2): image.flip(1, 2)}
        seen |= {axes for axes, mirror in mirrors.items() if torch.allclose(view, mirror, atol=1e-4)}
    assert seen == {(), *([(2,)] if hflip else []), *([(1,)] if vflip else []), *([(1, 2)] if hflip and vflip else [])}


@pytest.mark.parametrize("level", ["light", "strong"])
def test_every_level_changes_images_within_their_range(level):
    views = augment_images(IMAGES, level=level, hflip=False, vflip=False, seed=0)
    assert views.shape == IMAGES.shape
    assert views.min() >= 0
    assert views.max() <= 1
    assert all(not torch.allclose(image, view, atol=0.01) for image, view in zip(IMAGES, views, strict=True))


def test_a_constant_image_stays_constant():
    views = augment_images(torch.full((8, 1, 12, 12), 0.5), level="strong", hflip=True, vflip=True, seed=3)
    assert torch.allclose(views.amax(dim=(1, 2, 3)), views.amin(dim=(1, 2, 3)), atol=1e-5)


def test_a_crop_never_reaches_beyond_the_image():
    # Beyond the border the last value is repeated: a ramp would end in a run of equal values.
    ramp = torch.linspace(0.4, 0.6, 64).expand(4, 1, 64, 64)
    views = augment_images(ramp, level="light", hflip=False, vflip=False, seed=1)
    steps = views[:, 0, 32].diff(dim=1)
    assert (steps[:, 1:-1] > 0).all()


def test_the_same_seed_gives_the_same_views():
    def views(seed):
        return augment_images(IMAGES, level="strong", hflip=True, vflip=True, seed=seed)

    assert torch.equal(views(5), views(5))
    assert not torch.equal(views(5), views(6))


def test_an_unknown_level_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="'wild' is not one of none, light, strong"):
        augment_images(IMAGES, level="wild", hflip=False, vflip=False, seed=0)
