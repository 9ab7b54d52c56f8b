"""Reads zip, tar and tar.gz that strangers made, entry by entry, and writes files under names of our own.

Nothing of an archive's own names ever becomes a path on our disk. What threatens the machine (too many entries, a
bomb, overlapping spans, names that climb, encryption) refuses the archive as a whole; what only concerns one entry
(a link, a device, a second file of the same name, damaged data) refuses that entry, with the reason.
"""

import errno
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from app.core.archives import tars, zips
from app.core.archives.members import Limits, Member, Opened, unique
from app.core.errors import BadInputError, DiskFullError

__all__ = ["Extracted", "Limits", "Member", "extract", "list_members", "unique"]

CHUNK = 1 << 20


class Extracted(NamedTuple):
    """An entry on our disk, or its bytes (`file`), or the reason why there is neither (`problem`)."""

    path: str
    file: Path | bytes | None
    problem: str | None


def list_members(archive: Path, *, limits: Limits) -> list[Member]:
    """Every file and folder of `archive`, in its order. Raises BadInputError or TooLargeError if it is unsafe."""
    return unique(opened.member for opened in _open(archive, limits))


def extract(
    archive: Path, folder: Path, *, wanted: Container[str], limits: Limits, in_memory: int = 0
) -> Iterator[Extracted]:
    """Write the members whose paths are `wanted` into `folder`, one after the other, under numbers as names.

    Those of at most `in_memory` bytes are handed over as bytes instead. The caller may delete each file before it asks
    for the next.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    for index, opened in enumerate(_open(archive, limits)):
        path = opened.member.path
        if path in wanted and path not in seen and opened.member.problem is None:
            seen.add(path)
            is_small = 0 < opened.member.size <= in_memory
            yield _read(opened) if is_small else _extract_one(opened, folder / f"{index:06d}")


def _open(archive: Path, limits: Limits) -> Iterator[Opened]:
    with archive.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if zips.is_zip(start):
            yield from zips.read(file, limits=limits)
        elif tars.is_gzip(start) or tars.is_tar(start):
            yield from tars.read(file, limits=limits)
        else:
            raise BadInputError(
                f"The file is no zip, tar or tar.gz archive (it begins with the bytes {start[:8].hex(' ') or 'of nothing'}).",
                hint="Make a zip of the folder, or upload the folder itself.",
            )


def _read(opened: Opened) -> Extracted:
    path = opened.member.path
    try:
        return Extracted(path, b"".join(opened.chunks(CHUNK)), None)
    except BadInputError as error:
        return Extracted(path, None, error.detail)


def _extract_one(opened: Opened, target: Path) -> Extracted:
    path = opened.member.path
    try:
        with target.open("wb") as file:
            file.writelines(opened.chunks(CHUNK))
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise DiskFullError(
                f"There is no room left in {target.parent}.", hint="Free some disk space, then try again."
            ) from error
        raise
    except BadInputError as error:
        target.unlink(missing_ok=True)
        return Extracted(path, None, error.detail)
    return Extracted(path, target, None)
