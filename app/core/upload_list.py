"""The list of a folder's files as its sender has it, told in parts before any file is sent.

What it names, and nothing else, is imported. Part 0 begins it anew: the list that was given last is the truth.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from app.core.errors import BadInputError, ConflictError


class Announced(NamedTuple):
    """A file that is to come. sha256: of its content, None if the sender cannot tell; then only its size is checked."""

    path: str
    size: int
    sha256: str | None


class UploadList:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "announced"

    @property
    def exists(self) -> bool:
        return self._place(0).exists()

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, number: int, total: int, files: Sequence[Announced]) -> bool:
        """Write down part `number` of a list of `total` files, again if it came before; returns whether the list ends here.

        Raises ConflictError if the part before it is not there, BadInputError if the numbers of files disagree.
        """
        before = 0
        if number:
            if not self._place(number - 1).exists():
                raise ConflictError(f"Part {number - 1} of the list is not there.", hint="Send the parts from 0 on.")
            previous = self._read(number - 1)
            before = previous["before"] + len(previous["files"])
            if previous["total"] != total:
                raise _disagree(f"the parts before said {previous['total']:,} files, this one says {total:,}")
        if before + len(files) > total:
            raise _disagree(f"{before + len(files):,} files are named, of {total:,} in all")
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{number}.part"
        partial.write_text(json.dumps({"total": total, "before": before, "files": files}))
        partial.replace(self._place(number))
        return before + len(files) == total

    def part(self, number: int) -> dict[str, Announced]:
        """The files of one part, by path."""
        if not self._place(number).exists():
            raise ConflictError(f"There is no part {number} of this upload's list.", hint="Send that part first.")
        return {path: Announced(path, size, sha256) for path, size, sha256 in self._read(number)["files"]}

    def files(self) -> Iterator[Announced]:
        """Every file of the list; raises ConflictError if parts of it are missing."""
        number = total = told = 0
        while self._place(number).exists():
            part = self._read(number)
            total, told, number = part["total"], told + len(part["files"]), number + 1
            yield from (Announced(*file) for file in part["files"])
        if told < total:
            raise ConflictError(
                f"The list of the folder ends after {told:,} of {total:,} files.", hint="Choose the folder again."
            )

    def _read(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._place(number).read_text())
        return found

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"


def _disagree(what: str) -> BadInputError:
    return BadInputError(f"The parts of the list disagree: {what}.", hint="Begin the list again with part 0.")
