"""The tags that are read of a DICOM file, and safe ways to look at them."""

import math
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset

# Patient and series leave this process only to be hashed; of everything else, nothing says who somebody is.
KEPT = (
    "SOPClassUID", "PatientID", "SeriesInstanceUID", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "BurnedInAnnotation",
    "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip
FRAME_MACROS = (
    "PixelValueTransformationSequence", "FrameVOILUTSequence", "PlanePositionSequence", "PlaneOrientationSequence",
)  # fmt: skip
Tags = Sequence[Dataset]  # of a file: the data set itself; of a frame: its functional groups before that
# What people write who have taken the real id away: nobody's id, so it must not make one patient of all.
NOBODY = {"anonymous", "anonymized", "anonymised", "anon", "unknown", "none", "n/a", "na", "removed", "deidentified",
          "de-identified", "default"}  # fmt: skip


def get(tags: Tags, keyword: str) -> Any:
    """The first value there is, or None if it is missing, empty or broken."""
    for dataset in tags:
        try:
            value = dataset.get(keyword)
        except (
            Exception
        ):  # pydicom converts values when they are asked for, and raises whatever a broken one brings about
            return None
        if value is not None and value != "" and not (isinstance(value, Sequence) and not value):
            return value
    return None


def numbers(tags: Tags, keyword: str) -> list[float]:
    """All values as finite numbers; empty if one of them is none."""
    value = get(tags, keyword)
    values = [] if value is None else [value] if isinstance(value, str | int | float) else list(value)
    try:
        found = [float(each) for each in values]
    except (TypeError, ValueError):
        return []
    return found if all(math.isfinite(each) for each in found) else []


def number(tags: Tags, keyword: str) -> float | None:
    """The value, or the first of several, as a finite number; None if there is none."""
    found = numbers(tags, keyword)
    return found[0] if found else None


def whole(tags: Tags, keyword: str, default: int) -> int:
    found = number(tags, keyword)
    return default if found is None else int(found)


def text(tags: Tags, keyword: str) -> str:
    value = get(tags, keyword)
    return "" if value is None else str(value).strip()


def patient(tags: Tags) -> str | None:
    """The patient's id as the file has it; None if it is empty or a word that stands for no id."""
    found = text(tags, "PatientID")
    return found if found and found.casefold() not in NOBODY else None


def of_frame(dataset: Dataset, index: int) -> Tags:
    """What holds for one frame: its own functional groups, then the shared ones, then the file's own tags."""
    found: list[Dataset] = []
    for groups, place in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        sequence = get((dataset,), groups)
        if sequence is not None and place < len(sequence):
            found += [items[0] for macro in FRAME_MACROS if (items := get((sequence[place],), macro)) is not None]
    return (*found, dataset)


def position(tags: Tags) -> float | None:
    """Where the slice lies: along the normal of its plane in mm, else its location in mm, else its instance number."""
    place, axes = numbers(tags, "ImagePositionPatient"), numbers(tags, "ImageOrientationPatient")
    if len(place) == 3 and len(axes) == 6:
        (a, b, c), (d, e, f) = axes[:3], axes[3:]
        normal = (b * f - c * e, c * d - a * f, a * e - b * d)
        return round(sum(along * at for along, at in zip(normal, place, strict=True)), 4)
    location = number(tags, "SliceLocation")
    return number(tags, "InstanceNumber") if location is None else location
