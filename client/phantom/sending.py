"""How folders and archives get into the studio.

A folder is announced first: paths, sizes and SHA-256 of its files. Then only those go that the studio lacks, in batches. An
archive goes in pieces, on from where a broken connection stopped them. Symbolic links are not followed.
"""

import hashlib
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from phantom.errors import PhantomError, ProblemError, StudioUnreachable
from phantom.progress import Progress
from phantom.transport import Transport

T = TypeVar("T")
PART_FILES = 1000  # of the list, in one request
BATCH_FILES = 200
BATCH_BYTES = 32_000_000
PIECE_BYTES = 8_000_000
TRIES = 8
HASHED_AT_ONCE = 4


class FolderSender:
    """Sends the folder at `folder`; what the same person sent of it before, and did not import, is not sent again."""

    def __init__(self, transport: Transport, upload_id: int, folder: Path) -> None:
        self._transport, self._upload_id, self._folder = transport, upload_id, folder
        self._top = folder.resolve().name
        self.num_files = self.num_missing = 0

    def send(self, progress: Progress) -> None:
        files = sorted(_files(self._folder))
        if not files:
            raise PhantomError(
                f"The folder {self._folder} holds no files.", hint="Give the folder that holds your class folders."
            )
        self.num_files = len(files)
        missing = self._announce(files, progress)
        self.num_missing = num_missing = sum(map(len, missing))
        there = self.num_files - num_missing
        sent = 0
        for part, places in enumerate(missing):
            for batch in _batches([files[PART_FILES * part + place] for place in places]):
                _patiently(partial(self._send_batch, part, batch))
                sent += len(batch)
                note = f"; {there:,} were already there" if there else ""
                progress.count(f"sending {sent:,} of {num_missing:,} files{note}", sent, num_missing)

    def _announce(self, files: list[Path], progress: Progress) -> list[list[int]]:
        """Tell what the folder holds; returns for each part of the list the places of files that are missing."""
        missing = []
        with ThreadPoolExecutor(HASHED_AT_ONCE) as executor:
            for part, start in enumerate(range(0, len(files), PART_FILES)):
                told = list(executor.map(self._told, files[start : start + PART_FILES]))
                missing.append(_patiently(partial(self._put, part, len(files), told)))
                done = min(start + PART_FILES, len(files))
                progress.count(f"looking at what is already there, {done:,} of {len(files):,} files", done, len(files))
        return missing

    def _put(self, part: int, total: int, told: list[dict[str, Any]]) -> list[int]:
        body = {"total": total, "files": told}
        answer = self._transport.send(
            "PUT", f"/api/v1/uploads/{self._upload_id}/list/{part}", json=body, again=True
        ).json()
        return [int(place) for place in answer["missing"]]

    def _told(self, file: Path) -> dict[str, Any]:
        with _opened(file) as source:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            return {"path": self._name(file), "size": source.tell(), "sha256": sha256}

    def _name(self, file: Path) -> str:
        return f"{self._top}/{file.relative_to(self._folder).as_posix()}"

    def _send_batch(self, part: int, batch: list[Path]) -> None:
        with ExitStack() as opened:
            parts = [("files", (self._name(file), opened.enter_context(_opened(file)))) for file in batch]
            self._transport.send(
                "POST", f"/api/v1/uploads/{self._upload_id}/files", params={"part": part}, files=parts, again=False
            )


class ArchiveSender:
    def __init__(self, transport: Transport, upload_id: int, path: Path) -> None:
        self._transport, self._path = transport, path
        self._content = f"/api/v1/uploads/{upload_id}/content"

    def send(self) -> None:
        """Send the archive in pieces; after a broken connection ask how much arrived and go on from there."""
        size, offset, tries = self._path.stat().st_size, 0, 0
        with self._path.open("rb") as source:
            while offset < size:
                source.seek(offset)
                try:
                    offset = self.send_piece(offset, source.read(PIECE_BYTES))
                    tries = 0
                except (StudioUnreachable, ProblemError) as error:
                    tries += 1
                    if tries > TRIES or (isinstance(error, ProblemError) and error.status != 409):
                        raise
                    time.sleep(_pause_s(tries))
                    offset = self.offset()

    def send_piece(self, offset: int, piece: bytes) -> int:
        """Send what begins at `offset`; returns where the next piece begins."""
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        response = self._transport.send("PATCH", self._content, content=piece, headers=headers, again=False)
        return int(response.headers["Upload-Offset"])

    def offset(self) -> int:
        """How much has arrived."""
        response = self._transport.send("HEAD", self._content, headers={"Tus-Resumable": "1.0.0"}, again=True)
        return int(response.headers["Upload-Offset"])


def _patiently(attempt: Callable[[], T]) -> T:
    """Try again when the connection breaks: what is sent twice replaces itself."""
    for tries in itertools.count(1):
        try:
            return attempt()
        except StudioUnreachable as error:
            if tries > TRIES:
                hint = "Send the same folder again later: only what is missing is sent."
                raise StudioUnreachable(error.message, hint=hint) from error
            time.sleep(_pause_s(tries))
    raise AssertionError("the last try returns or raises")


def _pause_s(tries: int) -> float:
    return float(min(0.2 * 2**tries, 5.0))


def _opened(file: Path) -> Any:
    try:
        return file.open("rb")
    except OSError as error:
        raise PhantomError(
            f"{file} cannot be read ({error.strerror}).", hint="Mend or remove it, then send the folder again."
        ) from error


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below `folder`; links are left out, so nothing outside it is sent."""
    for root, _, names in os.walk(folder, followlinks=False):
        for name in names:
            file = Path(root, name)
            if stat.S_ISREG(file.lstat().st_mode):
                yield file


def _batches(files: list[Path]) -> Iterator[list[Path]]:
    """Cut into batches of at most BATCH_FILES files and, unless one file alone is larger, BATCH_BYTES bytes."""
    batch: list[Path] = []
    num_bytes = 0
    for file in files:
        size = file.stat().st_size
        if batch and (len(batch) == BATCH_FILES or num_bytes + size > BATCH_BYTES):
            yield batch
            batch, num_bytes = [], 0
        batch.append(file)
        num_bytes += size
    if batch:
        yield batch
