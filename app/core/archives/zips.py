"""Zip archives. The standard library reads the directory and inflates; every check on it is ours.

Python's zipfile reads the whole directory into memory and opens archives whose entries overlap, so the directory's
size is checked before it is read, and the spans of all entries before any of them is opened.
"""

import contextlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from app.core import relative_paths
from app.core.archives.members import ADVICE, Limits, Member, Opened
from app.core.errors import BadInputError

ENTRY_BYTES = 1024  # of the directory, per entry allowed: names and extra fields are shorter on the average
MAX_ENTRY_RATIO_FROM = 1 << 20  # smaller entries may be as empty as they like
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR_64_BYTES = 20
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flag bits: entry, strong, directory
UTF_8 = 0x800
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def is_zip(start: bytes) -> bool:
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read(file: BinaryIO, *, limits: Limits) -> Iterator[Opened]:
    """Every entry in turn, after the checks on the archive as a whole."""
    _check_directory_size(file, limits)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        raise BadInputError(f"The zip archive is damaged ({error}).", hint=ADVICE) from error
    with archive:
        entries = archive.infolist()
        _check_entries(entries, file, archive.start_dir, limits)
        for entry in entries:
            member = Member(_path(entry), 0 if entry.is_dir() else entry.file_size, _problem(entry))
            yield Opened(member, _reader(archive, entry))


def _check_directory_size(file: BinaryIO, limits: Limits) -> None:
    """Refuse a directory too large to be read into memory, by the sizes at the archive's end."""
    file.seek(0, 2)
    length = file.tell()
    start = max(0, length - END.size - 0xFFFF)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END.size:
        raise BadInputError("The zip archive has no end: the file was cut off, or is damaged.", hint="Upload it again.")
    _, _, _, _, num_entries, num_bytes, _, _ = END.unpack_from(tail, at)
    before = start + at - LOCATOR_64_BYTES - END_64.size
    if before >= 0:
        file.seek(before)
        wide = file.read(END_64.size)
        if wide.startswith(b"PK\x06\x06"):
            num_entries, num_bytes = END_64.unpack(wide)[7:9]
    limits.check_entries(num_entries)
    if num_bytes > limits.max_entries * ENTRY_BYTES:
        raise BadInputError("The zip archive's directory is too large to be that of a set of images.", hint=ADVICE)
    file.seek(0)


def _check_entries(entries: list[zipfile.ZipInfo], file: BinaryIO, directory: int, limits: Limits) -> None:
    limits.check_entries(len(entries))
    if any(entry.flag_bits & ENCRYPTED for entry in entries):
        raise BadInputError("The zip archive is encrypted.", hint="Make it again without a password.")
    file.seek(0, 2)
    limits.check_unpacked(sum(entry.file_size for entry in entries), file.tell())
    _check_spans(entries, file, directory)


def _check_spans(entries: list[zipfile.ZipInfo], file: BinaryIO, directory: int) -> None:
    """Refuse entries that share bytes with each other or with the directory: the trick of most zip bombs."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise BadInputError(f"Entries of the zip archive overlap at {entry.filename[:80]!r}.", hint=ADVICE)
        end = _data_offset(entry, file) + entry.compress_size
    if end > directory:
        raise BadInputError("Entries of the zip archive reach into its directory.", hint=ADVICE)


def _data_offset(entry: zipfile.ZipInfo, file: BinaryIO) -> int:
    file.seek(max(entry.header_offset, 0))
    header = file.read(LOCAL_HEADER.size)
    if entry.header_offset < 0 or len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise BadInputError(f"The zip archive is damaged at {entry.filename[:80]!r}.", hint=ADVICE)
    *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
    return int(entry.header_offset + LOCAL_HEADER.size + name_length + extra_length)


def _path(entry: zipfile.ZipInfo) -> str:
    """The entry's name. Names without the UTF-8 flag that are UTF-8 all the same (macOS) are read as UTF-8."""
    name = entry.orig_filename
    if not entry.flag_bits & UTF_8:
        with contextlib.suppress(UnicodeError):  # else it is in the old code page, as zipfile has read it
            name = name.encode("cp437").decode("utf-8")
    return relative_paths.clean(name)


def _problem(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "It is a link to another file."
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "It is no regular file."
    if entry.compress_type not in METHODS:
        return f"It is packed by method {entry.compress_type}; only deflate and stored are read."
    if entry.file_size > MAX_ENTRY_RATIO_FROM and entry.file_size > 100 * entry.compress_size:
        return "It unpacks to more than 100 times its size, which no image does."
    return None


def _reader(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[int], Iterator[bytes]]:
    def chunks(num_bytes: int) -> Iterator[bytes]:
        try:
            with archive.open(entry) as source:
                while chunk := source.read(num_bytes):  # never beyond the size that was checked
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
            raise BadInputError(f"It is damaged inside the archive ({error}).") from error

    return chunks
