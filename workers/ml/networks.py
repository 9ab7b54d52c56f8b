"""The class-conditional UNet of the diffusion models, and the config that rebuilds it.

With `patch_size` above 1 the UNet proper works on pixel-unshuffled features, several times cheaper, while a shallow
stem and head at full resolution, joined by a skip, draw texture and keep the patch grid out of the images.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class UNetConfig:
    """All that is needed to build the network; checked on construction.

    image_size: side of the square images, px. channels: 1 (grey) or 3 (RGB). num_classes: labels 0..num_classes-1;
    num_classes itself is the null class. block_channels: width of each level, finest first. attention_levels:
    indices of levels with self-attention (the middle has it when the coarsest level has). patch_size: 1, 2 or 4.
    stem_channels: width at full resolution, 0 for no stem; must be 0 when patch_size is 1.

    Raises ValueError for values that no network can be built from.
    """

    image_size: int
    channels: int
    num_classes: int
    block_channels: tuple[int, ...]
    layers_per_block: int
    attention_levels: tuple[int, ...]
    patch_size: int
    stem_channels: int
    dropout: float

    def __post_init__(self) -> None:
        _check_widths(self)
        _check_options(self)
        if self.image_size != valid_size(self.image_size, config=self):
            below, above = nearest_valid_sizes(self.image_size, config=self)
            raise ValueError(
                f"image_size {self.image_size} does not fit this network, which needs a multiple of "
                f"{size_multiple(self)}; the nearest valid sizes are {below} and {above}."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the config as JSON-able values."""
        return asdict(self) | {
            "block_channels": list(self.block_channels),
            "attention_levels": list(self.attention_levels),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "UNetConfig":
        """Rebuild a config from `to_json`; raises ValueError for unknown or missing fields."""
        try:
            return cls(
                **values
                | {
                    "block_channels": tuple(int(width) for width in values["block_channels"]),
                    "attention_levels": tuple(int(level) for level in values["attention_levels"]),
                }
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"This is not the config of a UNet ({error}); expected {_FIELDS}.") from error


_FIELDS = ", ".join(UNetConfig.__dataclass_fields__)


def _check_widths(config: UNetConfig) -> None:
    widths = (*config.block_channels, *([config.stem_channels] if config.stem_channels else []))
    if not config.block_channels or any(width < 8 or width % 8 for width in widths):
        raise ValueError(
            f"block_channels {config.block_channels} and stem_channels {config.stem_channels}: each width must be a "
            "positive multiple of 8 (stem_channels may be 0), and there must be at least one level."
        )
    levels = len(config.block_channels)
    if any(not 0 <= level < levels for level in config.attention_levels):
        raise ValueError(f"attention_levels {config.attention_levels} must be indices of the {levels} levels.")


def _check_options(config: UNetConfig) -> None:
    if config.channels not in (1, 3):
        raise ValueError(f"channels is {config.channels}; expected 1 (grey) or 3 (RGB).")
    if config.num_classes < 1 or config.layers_per_block < 1:
        raise ValueError(
            f"num_classes {config.num_classes} and layers_per_block {config.layers_per_block} must both be at least 1."
        )
    if config.patch_size not in (1, 2, 4):
        raise ValueError(f"patch_size is {config.patch_size}; expected 1, 2 or 4.")
    if config.patch_size == 1 and config.stem_channels:
        raise ValueError("stem_channels needs patch_size 2 or 4; set it to 0 with patch_size 1.")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout is {config.dropout}; expected a share from 0 to below 1.")


def size_multiple(config: UNetConfig) -> int:
    """Return the number of pixels of which the image side must be a multiple."""
    return config.patch_size * int(2 ** (len(config.block_channels) - 1))


def nearest_valid_sizes(size: int, *, config: UNetConfig) -> tuple[int, int]:
    """Return the greatest valid side <= size and the least one >= size, px (both at least one multiple)."""
    multiple = size_multiple(config)
    return max(multiple, size // multiple * multiple), max(multiple, -(-size // multiple) * multiple)


def valid_size(size: int, *, config: UNetConfig) -> int:
    """Return the valid side nearest to `size`, px; `size` itself when it fits."""
    below, above = nearest_valid_sizes(size, config=config)
    return below if size - below <= above - size else above


def num_groups(*widths: int) -> int:
    """Return the number of GroupNorm groups for these widths: 4 channels or more a group, at most 32 groups."""
    return math.gcd(*widths, 32 * 4) // 4


class ConditionalUNet(nn.Module):
    """diffusers' UNet2DModel behind pixel-unshuffle, between a stem and a head at full resolution.

    keeps_layout: give back the channels_last that unshuffling loses; vmap, which cannot, needs it off.
    """

    keeps_layout = True

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        stem, area = config.stem_channels, config.patch_size**2
        self.body = _build_body(config=config, width=(stem or config.channels) * area)
        self.stem_in: nn.Module | None = None
        if stem:
            self.stem_in = nn.Conv2d(config.channels, stem, 3, padding=1)
            self.stem_block = _resnet_block(config=config, in_channels=stem)
            self.head_block = _resnet_block(config=config, in_channels=2 * stem)
            self.head_norm = nn.GroupNorm(num_groups(stem), stem)
            self.head_out = nn.Conv2d(stem, config.channels, 3, padding=1)
        _zero(self.head_out if stem else self.body.conv_out)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Predict v or epsilon.

        x: (N, C, H, W) noisy images, about [-1, 1]. t: (N,) timesteps, 0..999. labels: (N,) int64, where
        num_classes is the null class. Returns (N, C, H, W) float32.
        """
        patch = self.config.patch_size
        if self.stem_in is None:
            x = functional.pixel_unshuffle(x, patch) if patch > 1 else x
            x = self.body(x, t, class_labels=labels).sample
            return (functional.pixel_shuffle(x, patch) if patch > 1 else x).float()
        embedding = self._embed(t, labels)  # (N, E)
        stem = self.stem_block(self.stem_in(x), embedding)  # (N, S, H, W)
        x = functional.pixel_unshuffle(stem, patch)  # (N, S * P**2, H / P, W / P)
        x = self.body(self._as(x, stem), t, class_labels=labels).sample
        x = functional.pixel_shuffle(x, patch)  # (N, S, H, W)
        x = self.head_block(self._as(torch.cat([x, stem], dim=1), stem), embedding)
        out: Tensor = self.head_out(functional.silu(self.head_norm(x)))
        return out.float()

    def _as(self, x: Tensor, like: Tensor) -> Tensor:
        """Return x in the memory format of `like`."""
        if not self.keeps_layout:
            return x
        channels_last = like.is_contiguous(memory_format=torch.channels_last)
        return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def _embed(self, t: Tensor, labels: Tensor) -> Tensor:
        waves = self.body.time_proj(t).to(self.body.dtype)
        embedding: Tensor = self.body.time_embedding(waves) + self.body.class_embedding(labels)
        return embedding


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _resnet_block(*, config: UNetConfig, in_channels: int) -> nn.Module:
    """Return a full-resolution block of stem_channels, told time and class."""
    from diffusers.models.resnet import ResnetBlock2D

    block: nn.Module = ResnetBlock2D(
        in_channels=in_channels,
        out_channels=config.stem_channels,
        temb_channels=4 * config.block_channels[0],
        dropout=config.dropout,
        groups=num_groups(config.stem_channels),
        eps=1e-5,
        time_embedding_norm="scale_shift",
    )
    return block


def _build_body(*, config: UNetConfig, width: int) -> Any:
    from diffusers import UNet2DModel

    levels = range(len(config.block_channels))
    attends = [level in config.attention_levels for level in levels]
    groups = num_groups(*config.block_channels)
    body = cast("Any", UNet2DModel)  # untyped
    return body(
        sample_size=config.image_size // config.patch_size,
        in_channels=width,
        out_channels=width,
        block_out_channels=config.block_channels,
        layers_per_block=config.layers_per_block,
        down_block_types=tuple("AttnDownBlock2D" if attends[level] else "DownBlock2D" for level in levels),
        up_block_types=tuple("AttnUpBlock2D" if attends[level] else "UpBlock2D" for level in reversed(levels)),
        add_attention=attends[-1],
        attention_head_dim=min(32, *config.block_channels),
        norm_num_groups=groups,
        attn_norm_num_groups=groups,
        resnet_time_scale_shift="scale_shift",
        dropout=config.dropout,
        num_class_embeds=config.num_classes + 1,
    )


def build_unet(*, config: UNetConfig) -> ConditionalUNet:
    """Build the network with freshly drawn weights; the last layer is zero, so it predicts 0 at first.

    Weights come from torch's global generator: seed it first (`seeding.seeded`) for a reproducible network.
    """
    return ConditionalUNet(config)


def to_device(network: ConditionalUNet, *, device: str) -> ConditionalUNet:
    """Move a network to a device, its weights channels_last (1.1 to 1.2 times as fast)."""
    nn.Module.to(network, device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
