"""Opens a DICOM file, refuses what is no image, and yields its frames."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from pydicom import Dataset, FileDataset, config, dcmread
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from app.core.errors import BadInputError
from app.core.formats.conversion import Conversion, Picture
from app.core.formats.dicom import colour, grey, tags
from app.core.formats.dicom.frames import Frames
from app.core.formats.dicom.refusals import check_kind, check_transfer_syntax
from app.core.formats.scaling import joined
from app.core.formats.volumes import check_size, numbered

DAMAGED = "Its DICOM structure is damaged and cannot be read."
BURNT_IN = "the file says that text is burnt into its pixels"
PERHAPS_BURNT_IN = "text may be burnt into its pixels, as is usual in ultrasound and screen captures"
WITH_TEXT = tuple(f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("3.1", "6.1", "6.2", "7", "7.1", "7.2", "7.3", "7.4"))
GREY = ("MONOCHROME1", "MONOCHROME2")
BITS = (1, 8, 16, 32)

config.settings.reading_validation_mode = config.IGNORE  # what is wrong with a value is found where it is used


class Described(NamedTuple):
    """What the file says of all its images."""

    num_frames: int
    photometric: str
    group: str | None
    series: str | None
    note: str


def read(file: BinaryIO, file_sha256: str, conversion: Conversion) -> Iterator[Picture]:
    """The frames of a DICOM file. Raises BadInputError, in a radiologist's words, if it holds no image that can be read."""
    yield from _pictures(_opened(file, is_bare=False), file_sha256, conversion)


def read_without_header(file: BinaryIO, file_sha256: str, conversion: Conversion) -> Iterator[Picture]:
    """The same of a data set that was written without the DICOM header; only taken if it has pixels."""
    dataset = _opened(file, is_bare=True)
    if "PixelData" not in dataset or "Rows" not in dataset:
        raise BadInputError("It begins like a DICOM data set, but has no header and no pixels.")
    yield from _pictures(dataset, file_sha256, conversion)


def _opened(file: BinaryIO, *, is_bare: bool) -> FileDataset:
    try:
        dataset = dcmread(file, force=is_bare, specific_tags=list(tags.KEPT))
    except MemoryError:
        raise
    except Exception as error:  # pydicom stumbles over whatever a broken file holds
        raise BadInputError(DAMAGED) from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _guessed(dataset)
    return dataset


def _guessed(dataset: FileDataset) -> UID:
    """The transfer syntax by which pydicom could read a file that names none."""
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def _pictures(dataset: FileDataset, file_sha256: str, conversion: Conversion) -> Iterator[Picture]:
    about = _described(dataset, file_sha256)
    frames = Frames(dataset, about.num_frames)
    convert = grey if about.photometric in GREY else colour
    several = about.num_frames > 1
    for index, picture in enumerate(convert.pictures(dataset, frames, conversion)):
        yield picture._replace(
            frame=numbered("frame", index + 1, about.num_frames) if several else "",
            group=about.group,
            series=about.series,
            position=_position(dataset, index) if several else tags.position((dataset,)),
            conversion=joined(picture.conversion, about.note),
        )


def _position(dataset: Dataset, index: int) -> float:
    """Where a frame of several lies, in mm, if the file says it of every frame; else its number."""
    *own, _ = tags.of_frame(dataset, index)
    place = tags.position(own)
    return float(index + 1) if place is None else place


def _described(dataset: FileDataset, file_sha256: str) -> Described:
    """What the file says of all its images, once it is clear that they can be read."""
    root = (dataset,)
    check_kind(tags.text(root, "SOPClassUID") or str(dataset.file_meta.get("MediaStorageSOPClassUID", "")))
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise BadInputError("Its pixels are floating point numbers; save it as NIfTI to use it.")
    if "PixelData" not in dataset:
        raise BadInputError("It holds no image: there is no pixel data in it.")
    check_transfer_syntax(str(dataset.file_meta.TransferSyntaxUID))
    dataset.setdefault("SamplesPerPixel", 1)
    dataset.setdefault("PixelRepresentation", 0)
    dataset.setdefault("BitsStored", tags.whole(root, "BitsAllocated", 0))
    num_frames = max(tags.whole(root, "NumberOfFrames", 1), 1)
    check_size(tags.whole(root, "Rows", 0), tags.whole(root, "Columns", 0), num_frames)
    photometric = _photometric(root)
    _check_length(dataset, num_frames)
    series = tags.text(root, "SeriesInstanceUID") or (file_sha256 if num_frames > 1 else None)
    return Described(num_frames, photometric, tags.patient(root), series, _note(root))


def _note(root: tags.Tags) -> str:
    """What a person must know of text in the image, which no conversion removes."""
    match tags.text(root, "BurnedInAnnotation").upper():
        case "YES":
            return BURNT_IN
        case "NO":
            return ""
        case _:
            return PERHAPS_BURNT_IN if tags.text(root, "SOPClassUID") in WITH_TEXT else ""


def _photometric(root: tags.Tags) -> str:
    """How grey levels or colours are stored. Raises BadInputError if that cannot be read."""
    photometric = tags.text(root, "PhotometricInterpretation").upper()
    samples = tags.whole(root, "SamplesPerPixel", 1)
    bits, stored = tags.whole(root, "BitsAllocated", 0), tags.whole(root, "BitsStored", 0)
    expected = 1 if photometric in (*GREY, "PALETTE COLOR") else 3 if photometric in colour.COLOURS else None
    if expected is None:
        raise BadInputError(
            f"Its pixels are stored as {ascii(photometric[:16]) if photometric else 'nothing that it names'}; grey "
            "levels, RGB, YBR and palettes can be read."
        )
    if samples != expected or bits not in BITS or not 1 <= stored <= bits:
        raise BadInputError(
            f"Its tags contradict each other: {photometric} with {samples} samples of {stored} in {bits} bits."
        )
    return photometric


def _check_length(dataset: FileDataset, num_frames: int) -> None:
    """Raise BadInputError if uncompressed pixels are fewer than the tags say."""
    root = (dataset,)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    samples = (
        2 if tags.text(root, "PhotometricInterpretation") == "YBR_FULL_422" else tags.whole(root, "SamplesPerPixel", 1)
    )
    bits = tags.whole(root, "Rows", 0) * tags.whole(root, "Columns", 0) * samples * tags.whole(root, "BitsAllocated", 0)
    if len(dataset.PixelData) < num_frames * bits // 8:
        raise BadInputError("The file was cut off: it has fewer pixels than its tags say.")
