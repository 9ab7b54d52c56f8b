"""Look-up tables of DICOM: modality, VOI and palette."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from app.core.errors import BadInputError
from app.core.formats.scaling import Numbers
from app.core.images.arrays import Uint8

MAX_ENTRIES = 1 << 16


def look_up(values: Numbers, item: Dataset, is_little_endian: bool) -> tuple[NDArray[np.uint16], int]:
    """`values` through the table of one sequence item, and its depth in bits (PS3.3 C.11.1.1.1).

    What lies before the table has its first entry, what lies behind it the last.
    """
    order = "<" if is_little_endian else ">"
    descriptor = item.LUTDescriptor
    if isinstance(descriptor, bytes):
        descriptor = np.frombuffer(descriptor, f"{order}u2").tolist()
    num_entries, first, depth = (int(each) for each in descriptor)
    num_entries = num_entries or MAX_ENTRIES
    if first >= MAX_ENTRIES // 2 and values.min() < 0:
        first -= MAX_ENTRIES  # written without its sign
    data = item.LUTData
    table = np.frombuffer(data, _entry_type(data, num_entries, order)) if isinstance(data, bytes) else np.asarray(data)
    if not 1 <= depth <= 16 or not 0 < num_entries <= table.size:
        raise BadInputError("One of its look-up tables is damaged.")
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, num_entries - 1)
    return table.astype(np.uint16)[index], depth


def _entry_type(data: bytes, num_entries: int, order: str) -> str:
    return f"{order}u2" if len(data) >= 2 * num_entries else "u1"


def palette_colours(indices: Numbers, dataset: Dataset) -> Uint8:
    """(H, W, 3) of the palette's colours for indices (H, W)."""
    from pydicom.pixels.processing import apply_color_lut

    colours = apply_color_lut(indices, dataset)[..., :3]
    if colours.dtype != np.uint8:
        colours = colours >> 8 if colours.max() > 255 else colours
    return np.asarray(colours, dtype=np.uint8)
