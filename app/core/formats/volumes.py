"""Which slices of a volume become images, and how they are called."""

import math

import numpy as np

from app.core.errors import BadInputError
from app.core.formats.conversion import MAX_FILE_PIXELS, MAX_IMAGES, Conversion
from app.core.images.decoding import MAX_PIXELS

AXES = "xyz"


def slice_numbers(length: int, conversion: Conversion) -> list[int]:
    """The slices, from 0, whose middle lies within the range asked for; of them every n-th, from the first on.

    Raises BadInputError if there is none.
    """
    middles = (np.arange(length) + 0.5) * 100 / length
    inside = np.flatnonzero((middles >= conversion.slice_from) & (middles <= conversion.slice_to))
    if not inside.size:
        raise BadInputError(
            f"None of its {length} slices along {conversion.slice_axis} lies between {conversion.slice_from:g} and "
            f"{conversion.slice_to:g} % of the axis."
        )
    return [int(number) for number in inside[:: conversion.slice_every]]


def numbered(word: str, number: int, total: int, *, digits: int = 3) -> str:
    """ "slice z 012": with zeros in front, so that names sort as numbers do."""
    return f"{word} {number:0{max(digits, len(str(total)))}d}"


def check_size(height: int, width: int, num_images: int) -> None:
    """Raise BadInputError if an image, or all of them together, are larger than anything that is read."""
    if min(height, width, num_images) < 1:
        raise BadInputError("It says that it holds an image of no size.")
    if height * width > MAX_PIXELS:
        raise BadInputError(f"It has more than {MAX_PIXELS // 1_000_000} million pixels; cut or shrink it first.")
    if num_images > MAX_IMAGES:
        raise BadInputError(f"It holds {num_images:,} images; at most {MAX_IMAGES:,} are read from one file.")
    if math.prod((height, width, num_images)) > MAX_FILE_PIXELS:
        raise BadInputError(f"Its {num_images:,} images are too large together; save them as several files.")
