"""Grey frames as a viewer shows them: rescale, then window or table, then inversion (PS3.3 C.11, PS3.4 N.2)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset

from app.core.errors import BadInputError
from app.core.formats.conversion import Conversion, Picture
from app.core.formats.dicom import tags
from app.core.formats.dicom.frames import Frames
from app.core.formats.dicom.tables import look_up
from app.core.formats.scaling import Bounds, Numbers, Rescale, bounds_of, joined, to_8_bit, values_sha256
from app.core.images.arrays import Uint8, normal_sha256

INVERTED = "MONOCHROME1 inverted"


class Stored(NamedTuple):
    """How grey levels are stored. padding: the range of stored numbers that stand for no pixel, if there is one."""

    bits: int
    is_signed: bool
    is_inverted: bool
    is_little_endian: bool
    padding: tuple[int, int] | None

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest number that can be stored."""
        half = 1 << (self.bits - 1)
        return (-half, half - 1) if self.is_signed else (0, 2 * half - 1)


class Levels(NamedTuple):
    """A frame before it is windowed: its value is numbers * rescale; padded: where there is no pixel."""

    numbers: Numbers
    rescale: Rescale
    range: tuple[int, int]
    padded: NDArray[np.bool_] | None
    words: str


def pictures(dataset: FileDataset, frames: Frames, conversion: Conversion) -> Iterator[Picture]:
    """Every frame, converted. Percentiles and the full range are taken over all frames together."""
    stored = _stored(dataset)
    shared: Bounds | None = None
    for index, frame in enumerate(frames):
        layers = tags.of_frame(dataset, index)
        levels = _levels(frame, stored, layers)
        display = _display(levels, stored, layers) if conversion.scaling == "auto" else None
        if display is None and _stays(levels, stored):
            yield _unchanged(levels, stored)
            continue
        if display is None:
            shared = shared or _bounds(dataset, frames, stored, conversion)
            display = to_8_bit(levels.numbers, levels.rescale, shared), shared.words
        yield _picture(levels, stored, *display)


def _stored(dataset: FileDataset) -> Stored:
    root = (dataset,)
    value, limit = tags.number(root, "PixelPaddingValue"), tags.number(root, "PixelPaddingRangeLimit")
    padding = None
    if value is not None:
        low, high = sorted((int(value), int(value if limit is None else limit)))
        padding = (low, high)
    return Stored(
        bits=tags.whole(root, "BitsStored", 8),
        is_signed=tags.whole(root, "PixelRepresentation", 0) == 1,
        is_inverted=tags.text(root, "PhotometricInterpretation").upper() == "MONOCHROME1",
        is_little_endian=dataset.file_meta.TransferSyntaxUID.is_little_endian,
        padding=padding,
    )


def _levels(frame: Numbers, stored: Stored, layers: tags.Tags) -> Levels:
    """The frame after its modality table or rescale."""
    padded = None
    if stored.padding is not None:
        padded = (frame >= stored.padding[0]) & (frame <= stored.padding[1])
        padded = padded if padded.any() else None
    if table := tags.get(layers, "ModalityLUTSequence"):
        looked_up, depth = _looked_up(frame, table[0], stored)
        return Levels(looked_up, Rescale(), (0, (1 << depth) - 1), padded, "modality table")
    slope, intercept = tags.number(layers, "RescaleSlope"), tags.number(layers, "RescaleIntercept")
    rescale = Rescale(slope or 1.0, intercept or 0.0)
    return Levels(frame, rescale, stored.range, padded, rescale.in_words)


def _looked_up(values: Numbers, item: Dataset, stored: Stored) -> tuple[NDArray[np.uint16], int]:
    try:
        return look_up(values, item, stored.is_little_endian)
    except (BadInputError, MemoryError):
        raise
    except Exception as error:  # pydicom stumbles over whatever a broken table holds
        raise BadInputError("One of its look-up tables is damaged.") from error


def _stays(levels: Levels, stored: Stored) -> bool:
    """Whether the pixels are 8 bit already."""
    return stored.bits <= 8 and not stored.is_signed and levels.numbers.dtype.kind == "u" and not levels.words


def _unchanged(levels: Levels, stored: Stored) -> Picture:
    """8 bit, inverted at most. The two values of 1 bit become black and white."""
    largest = 255 if stored.bits == 1 else stored.range[1]
    array = np.asarray(levels.numbers * 255 if stored.bits == 1 else levels.numbers, np.uint8)
    if stored.is_inverted:
        array = np.asarray(largest - array, np.uint8)
    array = _without_padding(array, levels)[..., None]
    words = joined(INVERTED if stored.is_inverted else "", _padding_words(levels))
    return Picture(array, normal_sha256(array), "1" if stored.bits == 1 else "L", stored.bits, conversion=words)


def _picture(levels: Levels, stored: Stored, array: Uint8, how: str) -> Picture:
    """array: (H, W) uint8, not yet inverted; how: what made it."""
    rescale = levels.rescale
    if stored.is_inverted:
        array = np.asarray(255 - array, np.uint8)
        rescale = Rescale(-rescale.slope, rescale.slope * sum(levels.range) + rescale.intercept)
    words = joined(levels.words, how, INVERTED if stored.is_inverted else "", _padding_words(levels))
    mode = "I" if stored.bits > 16 else "I;16" if stored.bits > 8 else "L"
    return Picture(
        _without_padding(array, levels)[..., None],
        values_sha256(levels.numbers, rescale),
        mode,
        stored.bits,
        conversion=words,
    )


def _without_padding(array: Uint8, levels: Levels) -> Uint8:
    return array if levels.padded is None else np.where(levels.padded, np.uint8(0), array)


def _padding_words(levels: Levels) -> str:
    return "" if levels.padded is None else "padding black"


def _display(levels: Levels, stored: Stored, layers: tags.Tags) -> tuple[Uint8, str] | None:
    """The frame (H, W) by the file's own table or first window, and how; None if it has none that changes anything."""
    if table := tags.get(layers, "VOILUTSequence"):
        values = levels.numbers * levels.rescale.slope + levels.rescale.intercept
        looked_up, depth = _looked_up(values, table[0], stored)
        return to_8_bit(looked_up, Rescale(), Bounds(0, (1 << depth) - 1, "")), "VOI table"
    centre, width = tags.number(layers, "WindowCenter"), tags.number(layers, "WindowWidth")
    function = tags.text(layers, "VOILUTFunction").upper() or "LINEAR"
    if centre is None or width is None or width < (1 if function == "LINEAR" else 1e-6):
        return None
    words = f"VOI window centre {centre:g} width {width:g}"
    if function == "SIGMOID":
        return _sigmoid(levels, centre, width), f"{words} sigmoid"
    bounds = _window(centre, width, is_exact=function == "LINEAR_EXACT")
    if _stays(levels, stored) and bounds == (0.0, 255.0):
        return None
    return to_8_bit(levels.numbers, levels.rescale, Bounds(*bounds, "")), words


def _window(centre: float, width: float, *, is_exact: bool) -> tuple[float, float]:
    """What becomes black and white (PS3.3 C.11.2.1.2.1 and C.11.2.1.3.2)."""
    if is_exact:
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _sigmoid(levels: Levels, centre: float, width: float) -> Uint8:
    """PS3.3 C.11.2.1.3.1: 255 / (1 + exp(-4 (x - centre) / width))."""
    values = levels.numbers * levels.rescale.slope + levels.rescale.intercept
    exponent = np.clip(-4.0 * (values - centre) / width, -80, 80)
    return np.asarray(np.rint(255 / (1 + np.exp(exponent))), np.uint8)


def _bounds(dataset: FileDataset, frames: Frames, stored: Stored, conversion: Conversion) -> Bounds:
    """The bounds of all frames together, padding left out."""
    rescales = {_levels_of(dataset, index, stored) for index in range(frames.num_frames)}
    if len(rescales) == 1:
        (rescale,) = rescales
        return bounds_of((_numbers(levels) for levels in _all_levels(dataset, frames, stored)), rescale, conversion)
    values = (
        (_numbers(levels) * levels.rescale.slope + levels.rescale.intercept).astype(np.float32)
        for levels in _all_levels(dataset, frames, stored)
    )
    return bounds_of(values, Rescale(), conversion)


def _all_levels(dataset: FileDataset, frames: Frames, stored: Stored) -> Iterator[Levels]:
    for index, frame in enumerate(frames):
        yield _levels(frame, stored, tags.of_frame(dataset, index))


def _levels_of(dataset: FileDataset, index: int, stored: Stored) -> Rescale:
    return _levels(np.zeros((1, 1), np.int16), stored, tags.of_frame(dataset, index)).rescale


def _numbers(levels: Levels) -> Numbers:
    return levels.numbers if levels.padded is None else levels.numbers[~levels.padded]
