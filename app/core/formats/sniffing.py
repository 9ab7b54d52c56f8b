"""Which format a file has, by how it begins; and by its ending, as long as nobody has looked into it."""

import gzip
import struct
import zlib
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

Format = Literal["dicom", "dicom-without-header", "nifti", "npz", "plain"]

IMAGE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff",
    ".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".npz",
})  # fmt: skip
DICM_AT = 128
START_BYTES = 540  # the longer of NIfTI's two headers
NIFTI_MAGIC_AT = {348: 344, 540: 4}  # size of the header: where its magic lies
NIFTI_MAGICS = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")
GROUPS = (2, 8)  # a data set begins with one of these
MAX_FIRST_ELEMENT = 0x1000  # of those groups, what may stand first


def looks_like_dicom(first_bytes: bytes) -> bool:
    """Whether a file that begins so (132 bytes are enough) is DICOM, as files without an ending often are."""
    return first_bytes[DICM_AT : DICM_AT + 4] == b"DICM"


def suffix_of(name: str) -> str:
    """The ending of a file name in lower case, with its dot; .nii.gz is one."""
    name = name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else PurePosixPath(name).suffix


def format_of(file: BinaryIO) -> Format:
    """The format of a file that stands at its beginning, and does so again afterwards."""
    start = file.read(START_BYTES)
    file.seek(0)
    if looks_like_dicom(start):
        return "dicom"
    if start.startswith(b"PK\x03\x04"):
        return "npz"
    if start.startswith(b"\x1f\x8b"):
        start = _gunzipped(file)
    if _looks_like_nifti(start):
        return "nifti"
    return "dicom-without-header" if _looks_like_a_data_set(start) else "plain"


def _gunzipped(file: BinaryIO) -> bytes:
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            return unpacked.read(START_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""
    finally:
        file.seek(0)


def _looks_like_nifti(start: bytes) -> bool:
    sizes = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    return any(start[at : at + 4] in NIFTI_MAGICS for size, at in NIFTI_MAGIC_AT.items() if size in sizes)


def _looks_like_a_data_set(start: bytes) -> bool:
    """A DICOM data set without the 132 bytes before it: group 2 or 8, a low element, and a short value."""
    if len(start) < DICM_AT:
        return False
    return any(_is_first_element(start, order) for order in "<>")


def _is_first_element(start: bytes, order: str) -> bool:
    group, element = struct.unpack_from(f"{order}HH", start)
    if group not in GROUPS or element > MAX_FIRST_ELEMENT:
        return False
    is_explicit = start[4:6].isalpha() and start[4:6].isupper()
    length: int = struct.unpack_from(f"{order}H", start, 6)[0] if is_explicit else struct.unpack_from("<I", start, 4)[0]
    return length < DICM_AT
