"""Folders and archives that lie on the server already, below the folders that PHANTOM_IMPORT_ROOTS allows.

They are read where they are, and never changed or deleted. A path that a person gives, and every link on the way, is
followed to its real end, which must be below an allowed folder and outside the studio's own; this is looked at again
before each file is read.
"""

import os
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from app.core import relative_paths
from app.core.archives import Extracted, Member, unique
from app.core.config import Settings
from app.core.errors import BadInputError, TooLargeError

ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".npz")
MAX_SHOWN = 500
MAX_LOOKED_AT = 20_000


class Entry(NamedTuple):
    """Something in a folder that can be looked into or imported."""

    name: str
    path: str
    is_folder: bool


@dataclass(frozen=True)
class Allowed:
    """The folders below which imports may read, and the studio's own, which they may not. All real paths."""

    roots: tuple[Path, ...]
    own: Path

    @classmethod
    def of(cls, settings: Settings) -> "Allowed":
        return cls(tuple(Path(os.path.realpath(root)) for root in settings.import_folders), settings.folder)

    def covers(self, real: Path) -> bool:
        """Whether a real path is below an allowed folder, and not in the studio's own."""
        return not real.is_relative_to(self.own) and any(real.is_relative_to(root) for root in self.roots)


def find(settings: Settings, path: str) -> Path:
    """The real path of the folder or file that a person named.

    Raises BadInputError if imports from the server are off, the path is not absolute, climbs, is not there, leads out
    of the allowed folders, or is neither a folder nor a regular file. What lies elsewhere is never looked at.
    """
    allowed = Allowed.of(settings)
    if not allowed.roots:
        raise BadInputError(
            "This studio imports nothing from folders of the server.",
            hint="Set PHANTOM_IMPORT_ROOTS to the folders that may be read, and start the studio again.",
        )
    where = ":".join(map(str, settings.import_folders))
    given = Path(path)
    if "\x00" in path or not given.is_absolute() or ".." in given.parts:
        raise BadInputError(f"{path[:200]!a} is no absolute path without `..`.", hint=f"Name a folder below {where}.")
    if not any(given.is_relative_to(root) for root in (*settings.import_folders, *allowed.roots)):
        raise _outside(path, where)
    try:
        real = Path(os.path.realpath(given, strict=True))
    except OSError as error:
        raise BadInputError(
            f"{path} cannot be read ({error.strerror}).", hint="Look at its name, and at who may read it."
        ) from error
    if not allowed.covers(real):
        raise _outside(path, where)
    if not (real.is_dir() or stat.S_ISREG(real.stat().st_mode)):
        raise BadInputError(f"{path} is neither a folder nor a regular file.", hint="Name a folder, or an archive.")
    return real


def _outside(path: str, where: str) -> BadInputError:
    return BadInputError(
        f"{path} is not in a folder that may be imported.", hint=f"Allowed (PHANTOM_IMPORT_ROOTS): {where}."
    )


def look_into(settings: Settings, path: str) -> list[Entry]:
    """The folders and archives right in a folder, by name, at most 500; hidden ones and links that lead out are not."""
    folder = find(settings, path)
    if not folder.is_dir():
        return []
    allowed, found = Allowed.of(settings), []
    with os.scandir(folder) as entries:
        for entry in islice(entries, MAX_LOOKED_AT):
            real = Path(os.path.realpath(entry.path))
            if entry.name.startswith(".") or not allowed.covers(real):
                continue
            if real.is_dir() or (entry.name.lower().endswith(ARCHIVE_ENDINGS) and real.is_file()):
                found.append(Entry(entry.name, entry.path, real.is_dir()))
    return sorted(found, key=lambda entry: (not entry.is_folder, entry.name.casefold()))[:MAX_SHOWN]


class ServerFolder:
    """A folder on the server, read as an upload is. max_files: more are refused before all are listed."""

    def __init__(self, folder: Path, allowed: Allowed, *, max_files: int) -> None:
        self._folder, self._allowed, self._max_files = folder, allowed, max_files

    def members(self) -> list[Member]:
        return unique(member for member, _ in self._walked())

    def files(self, wanted: Container[str]) -> Iterator[Extracted]:
        """The `wanted` files, where they are, each looked at anew."""
        seen: set[str] = set()
        for member, file in self._walked():
            if member.path in wanted and member.path not in seen:
                seen.add(member.path)
                problem = self._problem(file)
                yield Extracted(member.path, None if problem else Path(file), problem)

    def _walked(self) -> list[tuple[Member, str]]:
        """Every folder and file with where it is, by path."""
        found: list[tuple[Member, str]] = []
        waiting = [(str(self._folder), "")]
        while waiting:
            for member, place in self._look(*waiting.pop()):
                found.append((member, place))
                if member.is_folder:
                    waiting.append((place, member.path))
            if len(found) > self._max_files:
                raise TooLargeError(
                    f"The folder {self._folder} holds more than {self._max_files:,} files.",
                    hint="Import its folders one by one, or raise PHANTOM_MAX_FILES.",
                )
        return sorted(found, key=lambda each: (each[0].path, each[1]))

    def _look(self, folder: str, inside: str) -> Iterator[tuple[Member, str]]:
        """What is right in one folder."""
        try:
            with os.scandir(folder) as scanned:
                entries = list(islice(scanned, self._max_files + 1))
        except OSError as error:
            yield Member(inside.rstrip("/") or ".", 0, f"The folder cannot be read ({error.strerror})."), folder
            return
        for entry in entries:
            try:
                yield self._member(relative_paths.clean(inside + entry.name), entry), entry.path
            except BadInputError as error:
                yield Member(inside + ascii(entry.name), 0, error.detail), entry.path
            except OSError as error:
                yield Member(inside + ascii(entry.name), 0, f"It cannot be read ({error.strerror})."), entry.path

    def _member(self, path: str, entry: "os.DirEntry[str]") -> Member:
        """A plain file lies where its folder does, which was looked at; all else is followed to its end."""
        if entry.is_file(follow_symlinks=False):
            return Member(path, entry.stat(follow_symlinks=False).st_size)
        if not entry.is_dir(follow_symlinks=False):
            problem = self._problem(entry.path)
            return Member(path, 0 if problem else entry.stat().st_size, problem)
        if entry.name.startswith("."):
            return Member(path, 0, "The folder is hidden: its name begins with a dot.")
        if not self._allowed.covers(Path(os.path.realpath(entry.path))):
            return Member(path, 0, "It is the folder that holds the studio's own data.")
        return Member(f"{path}/", 0)

    def _problem(self, file: str) -> str | None:
        """What speaks against reading a file."""
        try:
            real = Path(os.path.realpath(file, strict=True))
            mode = real.stat().st_mode
        except OSError as error:
            return f"It cannot be read ({error.strerror})."
        if not self._allowed.covers(real):
            return "It is a link that leads out of the folders that may be imported."
        if stat.S_ISDIR(mode):
            return "It is a link to a folder, which is not followed."
        return None if stat.S_ISREG(mode) else "It is no regular file."
