"""Copies made on purpose: training images, altered. An audit that does not find these proves nothing.

Strengths are meant for images of 32 to 64 px: mild ones are hardly seen, moderate ones are seen at once, strong ones mark where the search ends.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.ml.images import Uint8Images
from workers.ml.seeding import numpy_generator

Pixels = NDArray[np.float64]  # (S, S, C), 0 to 255
Generator = np.random.Generator

STRENGTHS = ("mild", "moderate", "strong")
AMOUNTS: dict[str, tuple[float, float, float]] = {
    "noise": (5.0, 10.0, 20.0),  # standard deviation in grey levels
    "blur": (0.5, 1.0, 1.5),  # standard deviation in px
    "shift": (1.0, 2.0, 3.0),  # at most, px, each way, parts of a pixel too
    "mirror": (1.0, 1.0, 1.0),  # left-right
    "contrast": (0.1, 0.2, 0.3),  # gain by up to so much more or less, offset by up to a tenth of the range times it
    "jpeg": (75.0, 50.0, 30.0),  # quality
}
OFFSET = 100.0  # grey levels, times the amount of contrast


def altered(*, images_uint8: Uint8Images, alteration: str, strength: str, seed: int) -> Uint8Images:
    """(N, S, S, C) images, each altered with random numbers of its own. alteration: of AMOUNTS; strength: of STRENGTHS."""
    if alteration not in AMOUNTS or strength not in STRENGTHS:
        raise ValueError(
            f"'{strength} {alteration}' is unknown; choose one of {', '.join(STRENGTHS)} and one of {', '.join(AMOUNTS)}."
        )
    amount = AMOUNTS[alteration][STRENGTHS.index(strength)]
    changed = [
        _CHANGES[alteration](image.astype(np.float64), amount, numpy_generator("planted", alteration, strength, seed, place))
        for place, image in enumerate(images_uint8)
    ]  # fmt: skip
    return _to_uint8(np.stack(changed))


def _to_uint8(pixels: Pixels) -> Uint8Images:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _noise(image: Pixels, amount: float, rng: Generator) -> Pixels:
    return np.asarray(image + rng.normal(0, amount, image.shape))


def _blur(image: Pixels, amount: float, _: Generator) -> Pixels:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(image, (amount, amount, 0), mode="nearest"))


def _shift(image: Pixels, amount: float, rng: Generator) -> Pixels:
    from scipy.ndimage import shift

    return np.asarray(shift(image, (*rng.uniform(-amount, amount, 2), 0), order=1, mode="nearest"))


def _mirror(image: Pixels, _: float, __: Generator) -> Pixels:
    return image[:, ::-1]


def _contrast(image: Pixels, amount: float, rng: Generator) -> Pixels:
    gain, offset = 1 + rng.choice([-amount, amount]), rng.uniform(-amount, amount) * OFFSET
    return np.asarray((image - 127.5) * gain + 127.5 + offset)


def _jpeg(image: Pixels, amount: float, _: Generator) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(_to_uint8(image).squeeze()).save(file, "JPEG", quality=int(amount))
    return np.asarray(Image.open(file)).reshape(image.shape).astype(np.float64)


_CHANGES: dict[str, Callable[[Pixels, float, Generator], Pixels]] = {
    "noise": _noise,
    "blur": _blur,
    "shift": _shift,
    "mirror": _mirror,
    "contrast": _contrast,
    "jpeg": _jpeg,
}
