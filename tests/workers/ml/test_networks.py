"""UNets of several shapes: what goes in comes out in shape, sizes that do not fit are refused with a way out."""

from dataclasses import replace

import pytest
import torch

from workers.ml.networks import UNetConfig, build_unet, nearest_valid_sizes, size_multiple, valid_size
from workers.ml.seeding import seeded

TINY = UNetConfig(
    image_size=8,
    channels=1,
    num_classes=2,
    block_channels=(8, 16),
    layers_per_block=1,
    attention_levels=(1,),
    patch_size=2,
    stem_channels=8,
    dropout=0.0,
)


def built(config: UNetConfig) -> torch.nn.Module:
    with seeded("test"):
        network = build_unet(config=config)
        for parameter in network.parameters():  # the last layer starts at zero, which would hide the rest
            torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channels": 3},
        {"stem_channels": 0},
        {"patch_size": 1, "stem_channels": 0},
        {"patch_size": 4, "image_size": 16},
        {"attention_levels": ()},
        {"block_channels": (8, 8, 24), "image_size": 16, "layers_per_block": 2},
    ],
)
def test_the_output_has_the_shape_of_the_input(changes):
    config = replace(TINY, **changes)
    x = torch.randn(3, config.channels, config.image_size, config.image_size)
    out = built(config)(x, torch.tensor([0, 500, 999]), torch.tensor([0, 1, 2]))
    assert out.shape == x.shape
    assert torch.isfinite(out).all()
    assert out.std() > 0


def test_predicts_zero_before_training():
    out = build_unet(config=TINY)(torch.randn(2, 1, 8, 8), torch.tensor([0, 999]), torch.tensor([0, 2]))
    assert torch.equal(out, torch.zeros(2, 1, 8, 8))


def test_time_and_label_change_the_prediction():
    network, x = built(TINY), torch.randn(1, 1, 8, 8)
    outs = [network(x, torch.tensor([t]), torch.tensor([label])) for t, label in ((0, 0), (900, 0), (0, 1), (0, 2))]
    for i, one in enumerate(outs):
        assert all(not torch.allclose(one, other) for other in outs[i + 1 :])


def test_the_full_resolution_path_sees_single_pixels():
    # two inputs that are equal after averaging 2 x 2 patches, but not pixel by pixel
    checkerboard = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4).view(1, 1, 8, 8)
    network, t, label = built(TINY), torch.tensor([10]), torch.tensor([0])
    assert not torch.allclose(network(checkerboard, t, label), network(torch.zeros(1, 1, 8, 8), t, label))


def test_a_config_survives_json():
    assert UNetConfig.from_json(TINY.to_json()) == TINY


def test_json_of_another_kind_is_refused_with_the_fields_expected():
    with pytest.raises(ValueError, match=r"not the config of a UNet .* expected image_size"):
        UNetConfig.from_json(TINY.to_json() | {"depth": 3})


def test_sizes_that_do_not_fit_name_the_nearest_that_do():
    # patch 2 * 2**(3 levels - 1) = 8
    config = replace(TINY, block_channels=(8, 8, 8))
    assert size_multiple(config) == 8
    assert nearest_valid_sizes(30, config=config) == (24, 32)
    assert (valid_size(27, config=config), valid_size(30, config=config), valid_size(3, config=config)) == (
        24,
        32,
        8,
    )
    with pytest.raises(ValueError, match=r"30 does not fit .* multiple of 8; the nearest valid sizes are 24 and 32"):
        replace(config, image_size=30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_channels": (12,)}, "multiple of 8"),
        ({"block_channels": ()}, "at least one level"),
        ({"attention_levels": (2,)}, "indices of the 2 levels"),
        ({"channels": 2}, r"expected 1 \(grey\) or 3"),
        ({"patch_size": 3}, "expected 1, 2 or 4"),
        ({"patch_size": 1}, "stem_channels needs patch_size"),
        ({"num_classes": 0}, "at least 1"),
        ({"dropout": 1.0}, "below 1"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)
