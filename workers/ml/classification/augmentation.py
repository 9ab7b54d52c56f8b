"""Random views of a batch, drawn on the CPU from a seed and applied on the device.

One affine resampling does crop, shift and flip together; the same seed gives the same views on every device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentationLevel:
    """min_side: least side of a crop, as a share of the image's. aspect, brightness, contrast: greatest relative change
    (brightness: of the full range). blur_probability: share of images softened by a 3 x 3 binomial filter."""

    min_side: float
    aspect: float
    brightness: float
    contrast: float
    blur_probability: float


LEVELS = {
    "none": AugmentationLevel(1.0, 0.0, 0.0, 0.0, 0.0),
    "light": AugmentationLevel(0.85, 0.05, 0.1, 0.1, 0.0),
    "strong": AugmentationLevel(0.7, 0.1, 0.2, 0.3, 0.3),
}


def augment_images(images: Tensor, *, level: str, hflip: bool, vflip: bool, seed: int) -> Tensor:
    """A random view of each of `images` (N, C, S, S) in [0, 1], of the same shape and range.

    level: a key of LEVELS; "none" without flips gives the images unchanged. Raises ValueError for another level.
    """
    if level not in LEVELS:
        raise ValueError(f"Augmentation {level!r} is not one of {', '.join(LEVELS)}.")
    chosen = LEVELS[level]
    generator = torch.Generator().manual_seed(seed)
    if level != "none" or hflip or vflip:
        thetas = _draw_views(len(images), chosen, hflip=hflip, vflip=vflip, generator=generator)
        images = _resample(images, thetas.to(images.device))
    if level == "none":
        return images
    return _soften(_relight(images, chosen, generator), chosen, generator)


def _draw_views(
    count: int, level: AugmentationLevel, *, hflip: bool, vflip: bool, generator: torch.Generator
) -> Tensor:
    """(N, 2, 3) affine matrices: a crop of random side and place, mirrored with probability 1/2 where allowed."""
    side = 1 - (1 - level.min_side) * torch.rand(count, 1, generator=generator)
    stretch = 1 + level.aspect * (2 * torch.rand(count, 2, generator=generator) - 1)
    sides = (side * stretch).clamp(max=1)  # (N, 2): width and height of the crop
    shifts = (1 - sides) * (2 * torch.rand(count, 2, generator=generator) - 1)  # the crop stays inside the image
    mirrored = (torch.rand(count, 2, generator=generator) < 0.5) & torch.tensor([hflip, vflip])
    scales = torch.where(mirrored, -sides, sides)
    return torch.cat([torch.diag_embed(scales), shifts[:, :, None]], dim=2)


def _resample(images: Tensor, thetas: Tensor) -> Tensor:
    grid = functional.affine_grid(thetas, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _relight(images: Tensor, level: AugmentationLevel, generator: torch.Generator) -> Tensor:
    draws = (2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1).to(images.device)
    means = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - means) * (1 + level.contrast * draws[0]) + means + level.brightness * draws[1]).clamp(0, 1)


def _soften(images: Tensor, level: AugmentationLevel, generator: torch.Generator) -> Tensor:
    chosen = (torch.rand(len(images), 1, 1, 1, generator=generator) < level.blur_probability).to(images.device)
    line = torch.tensor([0.25, 0.5, 0.25], device=images.device)
    kernel = (line[:, None] * line[None, :]).expand(images.shape[1], 1, 3, 3)
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    return torch.where(chosen, functional.conv2d(padded, kernel, groups=images.shape[1]), images)
