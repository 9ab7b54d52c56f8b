"""Any file as a stream of its images, by what it holds and never by its name."""

from collections.abc import Iterator
from typing import BinaryIO

from app.core.errors import BadInputError
from app.core.formats import plain
from app.core.formats.conversion import Conversion, Picture
from app.core.formats.sniffing import format_of


def read(file: BinaryIO, file_sha256: str, conversion: Conversion) -> Iterator[Picture]:
    """The images of a file that stands at its beginning, one after another.

    Raises BadInputError with the reason if it cannot be read; for a file that is damaged in the middle, after the
    images before.
    """
    try:
        yield from _images(file, file_sha256, conversion)
    except (BadInputError, OSError, MemoryError, ModuleNotFoundError):
        raise
    except Exception as error:  # what a broken file makes a library stumble over; its words may quote the file
        raise BadInputError("It is damaged, and cannot be read.") from error


def _images(file: BinaryIO, file_sha256: str, conversion: Conversion) -> Iterator[Picture]:
    match format_of(file):
        case "dicom":
            from app.core.formats import dicom

            yield from dicom.read(file, file_sha256, conversion)
        case "dicom-without-header":
            from app.core.formats import dicom

            yield from dicom.read_without_header(file, file_sha256, conversion)
        case "nifti":
            from app.core.formats import nifti

            yield from nifti.read(file, file_sha256, conversion)
        case "npz":
            from app.core.formats import npz

            yield from npz.read(file, file_sha256, conversion)
        case "plain":
            yield plain.read(file, conversion)
