"""Colour frames: RGB and YBR as they are, palettes by their colours."""

from collections.abc import Iterator

import numpy as np
from pydicom import Dataset

from app.core.errors import BadInputError
from app.core.formats.conversion import Conversion, Picture
from app.core.formats.dicom import tags
from app.core.formats.dicom.frames import Frames
from app.core.formats.dicom.tables import palette_colours
from app.core.formats.scaling import Numbers, joined
from app.core.images.arrays import Uint8, normal_sha256, normalise

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT")


def pictures(dataset: Dataset, frames: Frames, _: Conversion) -> Iterator[Picture]:
    """Every frame; colours are never scaled."""
    root = (dataset,)
    is_palette = tags.text(root, "PhotometricInterpretation").upper() == "PALETTE COLOR"
    bits = tags.whole(root, "BitsStored", 8)
    for frame in frames:
        colours = _by_palette(frame, dataset) if is_palette else _of_8_bit(frame, bits)
        array = normalise(colours)
        words = joined("palette colours" if is_palette else "", f"{bits} bit colour cut to 8 bit" if bits > 8 else "")
        yield Picture(
            np.asarray(array, np.uint8), normal_sha256(array), "P" if is_palette else "RGB", bits, conversion=words
        )


def _by_palette(indices: Numbers, dataset: Dataset) -> Uint8:
    try:
        return palette_colours(indices, dataset)
    except MemoryError:
        raise
    except Exception as error:  # pydicom stumbles over whatever a broken palette holds
        raise BadInputError("Its palette is damaged.") from error


def _of_8_bit(frame: Numbers, bits: int) -> Uint8:
    return np.asarray(frame >> (bits - 8) if bits > 8 else frame, dtype=np.uint8)
