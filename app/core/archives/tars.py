"""Tar and tar.gz archives, read once from front to back, header by header.

The standard library's TarFile reads long names of any announced size into memory and follows links, so only its
parser of single headers is used here.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from app.core import relative_paths
from app.core.archives.members import ADVICE, Limits, Member, Opened
from app.core.errors import BadInputError

BLOCK = tarfile.BLOCKSIZE
MAX_EXTENDED_BYTES = 1 << 20  # a long name or a set of extended attributes
SKIP_BYTES = 1 << 20
REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE
)  # fmt: skip
EXTENDED = (LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, tarfile.SOLARIS_XHDTYPE)


def is_gzip(start: bytes) -> bool:
    return start.startswith(b"\x1f\x8b")


def is_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def read(file: BinaryIO, *, limits: Limits) -> Iterator[Opened]:
    """Every entry in turn; its bytes can be read until the next one is asked for."""
    file.seek(0, 2)
    packed_bytes = file.tell()
    file.seek(0)
    if is_gzip(file.read(2)):
        file.seek(0)
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield from _entries(_Stream(unzipped, packed_bytes, limits), limits)  # type: ignore[arg-type]
    else:
        file.seek(0)
        yield from _entries(_Stream(file, packed_bytes, limits), limits)


class _Stream:
    """Forward reading with the limits on what comes out, and errors in our words."""

    def __init__(self, source: BinaryIO, packed_bytes: int, limits: Limits) -> None:
        self._source, self._packed_bytes, self._limits = source, packed_bytes, limits
        self._num_read = 0

    def up_to(self, num_bytes: int) -> bytes:
        try:
            data = self._source.read(num_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInputError(f"The tar.gz archive is damaged ({error}).", hint="Upload it again.") from error
        self._num_read += len(data)
        self._limits.check_unpacked(self._num_read, self._packed_bytes)
        return data

    def exactly(self, num_bytes: int) -> bytes:
        data = self.up_to(num_bytes)
        if len(data) < num_bytes:
            raise BadInputError("The archive has no end: the file was cut off.", hint="Upload it again.")
        return data

    def chunks(self, num_bytes: int, most: int) -> Iterator[bytes]:
        while num_bytes:
            yield self.exactly(min(num_bytes, most))
            num_bytes -= min(num_bytes, most)


def _entries(stream: _Stream, limits: Limits) -> Iterator[Opened]:
    extended: dict[str, str] = {}
    num_entries = 0
    while (header := _header(stream)) is not None:
        num_entries += 1
        limits.check_entries(num_entries)
        if header.type in EXTENDED:
            if header.type in (LONG_NAME, PAX):
                extended |= _extended(header, stream)
            else:
                _skip(stream, _padded(header.size))
            continue
        yield from _entry(header, extended, stream)
        extended = {}


def _header(stream: _Stream) -> tarfile.TarInfo | None:
    """The next header; None at the end."""
    block = stream.exactly(BLOCK)
    if not any(block):
        return None  # the mark at an archive's end
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise BadInputError(f"The tar archive is damaged ({error}).", hint=ADVICE) from error
    if header.size < 0:
        raise BadInputError("The tar archive is damaged (a negative size).", hint=ADVICE)
    if header.type == tarfile.GNUTYPE_SPARSE:
        raise BadInputError("The tar archive holds sparse files.", hint="Make it again without --sparse.")
    return header


def _entry(header: tarfile.TarInfo, extended: dict[str, str], stream: _Stream) -> Iterator[Opened]:
    """The entry of `header`; what was not read of its bytes is skipped when the next is asked for."""
    size = _size(header, extended)
    name = extended.get("path", header.name)
    if header.type == tarfile.DIRTYPE:
        name = name.rstrip("/") + "/"
    problem = _problem(header, extended)
    left = _padded(size) if header.type in REGULAR else 0

    def chunks(most: int) -> Iterator[bytes]:
        nonlocal left
        for chunk in stream.chunks(size, most):
            left -= len(chunk)
            yield chunk

    if name not in (".", "./"):  # `tar -C folder .` begins with an entry "./" for the folder itself
        yield Opened(Member(relative_paths.clean(name), 0 if name.endswith("/") else size, problem), chunks)
    _skip(stream, left)


def _problem(header: tarfile.TarInfo, extended: dict[str, str]) -> str | None:
    if header.type in LINKS:
        return "It is a link to another file."
    if any(name.startswith("GNU.sparse") for name in extended):
        return "It is stored as a sparse file, which is not read."
    if header.type not in REGULAR and header.type != tarfile.DIRTYPE:
        return "It is no regular file."
    return None


def _size(header: tarfile.TarInfo, extended: dict[str, str]) -> int:
    size = extended.get("size", str(header.size))
    if not (size.isascii() and size.isdigit() and len(size) < 19):
        raise BadInputError("The tar archive is damaged (a size that is no number).", hint=ADVICE)
    return int(size)


def _extended(header: tarfile.TarInfo, stream: _Stream) -> dict[str, str]:
    """The records of a GNU long name or a pax header."""
    if header.size > MAX_EXTENDED_BYTES:
        raise BadInputError("The tar archive has a file name of more than a million bytes.", hint=ADVICE)
    data = stream.exactly(_padded(header.size))[: header.size]
    if header.type == LONG_NAME:
        return {"path": data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")}
    return _pax_records(data)


def _pax_records(data: bytes) -> dict[str, str]:
    """Records `<length> <key>=<value>\\n`, where the length counts itself."""
    records = {}
    while data:
        digits, space, _ = data[:20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if length < 5 or length > len(data) or not equals:
            raise BadInputError("The tar archive is damaged (a bad extended header).", hint=ADVICE)
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[length:]
    return records


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK


def _skip(stream: _Stream, num_bytes: int) -> None:
    for _ in stream.chunks(num_bytes, SKIP_BYTES):
        pass
