"""Pixel arrays (H, W, C), C 1 or 3, uint8 or uint16, and their one normal form.

Medical images are often grey content saved as RGB, and 8 bit content saved as 16 bit. `normalise` undoes both, so
that equal pixels have equal hashes whatever the file's mode.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Uint8 = NDArray[np.uint8]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]

GREY_TOLERANCE = 8  # of 255: chroma that JPEG rounding leaves in grey content
PERCENTILES = (0.5, 99.5)  # of a 16 bit image's values: these become 0 and 255
STEP_16_TO_8 = 257  # 65535 / 255


def check_pixels(array: Pixels) -> None:
    """Raise ValueError unless the array is (H, W, 1 or 3) uint8 or uint16 with at least one pixel."""
    if array.dtype not in (np.uint8, np.uint16) or array.ndim != 3 or array.shape[2] not in (1, 3) or not array.size:
        raise ValueError(
            f"The image has dtype {array.dtype} and shape {array.shape}; expected uint8 or uint16 and (H, W, C) with "
            "C 1 (grey) or 3 (RGB)."
        )


def is_grey(array: Pixels) -> bool:
    """True if no pixel's channels differ by more than GREY_TOLERANCE of 255. array: (H, W, 1 or 3)."""
    check_pixels(array)
    if array.shape[2] == 1:
        return True
    if _has_equal_channels(array):
        return True
    red, green, blue = (array[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    tolerance = GREY_TOLERANCE * (STEP_16_TO_8 if array.dtype == np.uint16 else 1)
    return bool(spread.max() <= tolerance)


def normalise(array: Pixels) -> Pixels:
    """The normal form of (H, W, C) pixels: one channel if grey, uint8 if uint16 brings nothing beyond 8 bit.

    Idempotent. Grey content of three channels becomes its luma (ITU-R 601), which is the channel itself where the
    three are equal.
    """
    if array.shape[-1] == 3:
        if _has_equal_channels(array):
            array = array[..., :1].copy()
        elif is_grey(array):
            array = _luma(array)
    check_pixels(array)
    if array.dtype == np.uint8 or np.any(array % STEP_16_TO_8):
        return array
    return (array // STEP_16_TO_8).astype(np.uint8)


def pixel_sha256(array: Pixels) -> str:
    """SHA-256 of the normalised pixels and their shape and depth: grey saved as RGB and as L agree."""
    return normal_sha256(normalise(array))


def normal_sha256(array: Pixels) -> str:
    """`pixel_sha256` of an array that is in normal form."""
    height, width, channels = array.shape
    digest = hashlib.sha256(f"{height}x{width}x{channels}:{8 * array.itemsize}:".encode())
    digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def to_uint8(array: Pixels) -> Uint8:
    """(H, W, C) pixels as uint8 of the same shape; uint8 is returned as it is.

    uint16: linear from the image's own 0.5 and 99.5 percentiles to 0 and 255, clipped, since 16 bit files rarely use
    their range (a 12 bit CT would be nearly black). An image without contrast becomes its value / 257. 8 bit content
    saved as 16 bit (multiples of 257) is divided exactly.
    """
    check_pixels(array)
    if array.dtype == np.uint8:
        return np.asarray(array, dtype=np.uint8)
    if not np.any(array % STEP_16_TO_8):
        return (array // STEP_16_TO_8).astype(np.uint8)
    low, high = np.percentile(array, PERCENTILES)
    if high <= low:
        return (array // STEP_16_TO_8).astype(np.uint8)
    scaled = (array.astype(np.float32) - low) * (255.0 / (high - low))
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), dtype=np.uint8)


def to_image(array: Uint8) -> Image.Image:
    """A Pillow image (L or RGB) of (H, W, 1 or 3) uint8."""
    array = np.ascontiguousarray(array)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def from_image(image: Image.Image) -> Uint8:
    """(H, W, 1 or 3) uint8 of a Pillow image of mode L or RGB."""
    array: Uint8 = np.asarray(image, dtype=np.uint8)
    return array[..., None] if array.ndim == 2 else array


def _has_equal_channels(array: Pixels) -> bool:
    red, green, blue = (array[..., channel] for channel in range(3))
    return np.array_equal(red, green) and np.array_equal(green, blue)


def _luma(array: Pixels) -> Pixels:
    if array.dtype == np.uint8:
        return from_image(Image.fromarray(np.ascontiguousarray(array)).convert("L"))
    weights = np.array([19595, 38470, 7471], dtype=np.uint64)  # of 65536, as Pillow's
    grey = (array.astype(np.uint64) @ weights + 0x8000) >> 16
    return grey.astype(np.uint16)[..., None]
