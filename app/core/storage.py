"""Files that never change, named by the sha256 of their content.

A file becomes visible by a rename within the storage folder, so a reader never sees half of it; two
writers of the same content do no harm. Putting what is there already makes the file new: its date says when it was
last put, and what nothing names may be discarded by that date (see app.core.leftovers).
"""

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from app.core.config import Settings
from app.core.errors import DiskFullError, NotFoundError

KEY = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20


class Stored(NamedTuple):
    sha256: str
    size: int


class Storage(Protocol):
    def put(self, content: bytes | Path) -> Stored: ...
    def open(self, key: str) -> BinaryIO: ...
    def read(self, key: str) -> bytes: ...
    def path(self, key: str) -> Path: ...
    def exists(self, key: str) -> bool: ...
    def delete(self, key: str) -> None: ...
    def now(self) -> float: ...
    def put_before(self, moment: float) -> Iterator[Stored]: ...
    def discard(self, key: str, *, put_before: float) -> bool: ...
    def remove_remains(self, *, older_than: float) -> None: ...


class LocalStorage:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, content: bytes | Path) -> Stored:
        """Keep `content` (bytes, or a file to copy); raises DiskFullError when there is no room."""
        key = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else ""
        if isinstance(content, bytes) and self._put_again(key):
            return Stored(key, len(content))
        partial = self._root / "incoming" / secrets.token_hex(16)
        try:
            with _created(partial) as target:
                stored = Stored(key, target.write(content)) if isinstance(content, bytes) else _copy(content, target)
            _move(partial, self._place(stored.sha256))
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.errno == 28:
                raise DiskFullError(
                    f"There is no room left in {self._root}.", hint="Free some disk space, then try again."
                ) from error
            raise
        return stored

    def _put_again(self, key: str) -> bool:
        """Date the file as put now, so that discard() leaves it alone; False if it is not there."""
        try:
            os.utime(self._place(key))
        except FileNotFoundError:
            return False
        return True

    def path(self, key: str) -> Path:
        """Where the file of `key` lies; NotFoundError if it does not."""
        path = self._place(key)
        if not path.exists():
            raise NotFoundError(f"The file {key[:12]}... is not in storage.", hint="It may have been deleted by hand.")
        return path

    def open(self, key: str) -> BinaryIO:
        return self.path(key).open("rb")

    def read(self, key: str) -> bytes:
        return self.path(key).read_bytes()

    def exists(self, key: str) -> bool:
        return self._place(key).exists()

    def delete(self, key: str) -> None:
        self._place(key).unlink(missing_ok=True)

    def now(self) -> float:
        """The time by the clock that dates the files, in seconds since 1970: on a shared disk it may not be ours."""
        with tempfile.TemporaryFile(dir=self._incoming()) as file:
            return os.fstat(file.fileno()).st_mtime

    def put_before(self, moment: float) -> Iterator[Stored]:
        """Every file that was last put before `moment`, by the storage's clock, in no order."""
        for folder in self._root.glob("[0-9a-f][0-9a-f]"):
            for file in folder.iterdir():
                key = folder.name + file.name
                found = _look_at(file)
                if found is not None and found.st_mtime < moment and KEY.fullmatch(key):
                    yield Stored(key, found.st_size)

    def discard(self, key: str, *, put_before: float) -> bool:
        """Delete the file unless somebody has put it since `put_before`; returns whether it is gone by this call.

        Looking at the date and then deleting would delete what is put in between, and no file system does both at
        once. So the file is first renamed aside, under a name that nobody else knows, and looked at there: a put
        before the rename has made it new, and it is renamed back; a put after it made a file of its own, which is
        left alone. That needs no lock, which a shared disk may not have, and put() pays nothing for it. Between the
        two renames a file that was just put cannot be opened; what a killed process leaves aside, remove_remains()
        puts back.
        """
        final, aside = self._place(key), self._root / "aside" / f"{key}.{secrets.token_hex(8)}"
        try:
            if final.stat().st_mtime >= put_before:
                return False
            aside.parent.mkdir(exist_ok=True)
            final.rename(aside)
            if aside.stat().st_mtime >= put_before:
                aside.rename(final)
                return False
            aside.unlink()
        except FileNotFoundError:  # somebody else discarded it or put it back
            return False
        return True

    def remove_remains(self, *, older_than: float) -> None:
        """Delete what killed processes left half written before that moment, put back what they left aside.

        What is put back counts as put now: it may take the place of a file that was.
        """
        for file in self._root.glob("aside/*.*"):
            with contextlib.suppress(FileNotFoundError):
                os.utime(file)
                file.rename(self._place(file.name.partition(".")[0]))
        for file in self._root.glob("incoming/*"):
            found = _look_at(file)
            if found is not None and found.st_mtime < older_than:
                file.unlink(missing_ok=True)

    def _incoming(self) -> Path:
        incoming = self._root / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        return incoming

    def _place(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise NotFoundError(f"{key[:80]!r} is not the name of a stored file.")
        return self._root / key[:2] / key[2:]


def _created(path: Path) -> BinaryIO:
    """A new file at `path`, for us alone to read; its folder is made if it is not there yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        handle = os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, flags, 0o600)
    return os.fdopen(handle, "wb")


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def _copy(content: Path, target: BinaryIO) -> Stored:
    digest = hashlib.sha256()
    size = 0
    with content.open("rb") as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
            size += len(chunk)
    return Stored(digest.hexdigest(), size)


def _look_at(file: Path) -> os.stat_result | None:
    """What is known of the file; None if it has been deleted meanwhile."""
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def make_storage(settings: Settings) -> Storage:
    if settings.storage_url and not settings.storage_url.startswith("file://"):
        raise ValueError(
            f"PHANTOM_STORAGE_URL is {settings.storage_url!r}; this version keeps files in a folder only: "
            "use file:///absolute/path or leave it empty."
        )
    return LocalStorage(settings.files_dir)
