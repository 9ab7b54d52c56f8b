"""Between uint8 image arrays and the float tensors that networks take.

Arrays are (N, H, W, C) uint8; tensors are (N, C, H, W) float32 in [-1, 1], channels_last in memory.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Uint8Images = NDArray[np.uint8]


def check_images(images_uint8: Uint8Images) -> None:
    """Raise ValueError unless the array is (N, H, W, C) uint8 with N >= 1 and C 1 or 3."""
    if images_uint8.dtype != np.uint8 or images_uint8.ndim != 4 or images_uint8.shape[-1] not in (1, 3):
        raise ValueError(
            f"Images have dtype {images_uint8.dtype} and shape {images_uint8.shape}; expected uint8 and (N, H, W, C) with "
            "C 1 (grey) or 3 (RGB)."
        )
    if not len(images_uint8):
        raise ValueError("There are no images; at least one is needed.")


def to_tensor(images_uint8: Uint8Images, *, device: str) -> Tensor:
    """Return (N, H, W, C) uint8 images as (N, C, H, W) float32 in [-1, 1] on `device`."""
    images = torch.from_numpy(np.ascontiguousarray(images_uint8)).to(device)
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)  # a permuted NHWC array is channels_last


def to_uint8(images: Tensor) -> Uint8Images:
    """Return (N, C, H, W) images in [-1, 1] as (N, H, W, C) uint8, rounded to nearest; values outside are clipped."""
    scaled = images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    array: Uint8Images = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array


def random_flips(images: Tensor, *, hflip: bool, vflip: bool, generator: torch.Generator) -> Tensor:
    """Mirror each image left-right (hflip) and top-bottom (vflip), each with probability one half.

    images: (N, C, H, W). Draws from the generator only for the flips asked for.
    """
    for wanted, axis in ((hflip, -1), (vflip, -2)):
        if wanted:
            chosen = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
            images = torch.where(chosen, images.flip(axis), images)
    return images
