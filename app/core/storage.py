"""Files that never change, named by the sha256 of their content.

A file becomes visible by a rename within the storage folder, so a reader never sees half of it; two
writers of the same content do no harm.
"""

import hashlib
import os
import re
import tempfile
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


class LocalStorage:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, content: bytes | Path) -> Stored:
        """Keep `content` (bytes, or a file to copy); raises DiskFullError when there is no room."""
        incoming = self._root / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=incoming)
        try:
            with os.fdopen(handle, "wb") as target:
                digest, size = _copy(content, target)
            final = self._place(digest)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(name, final)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            if error.errno == 28:
                raise DiskFullError(
                    f"There is no room left in {self._root}.", hint="Free some disk space, then try again."
                ) from error
            raise
        return Stored(digest, size)

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

    def _place(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise NotFoundError(f"{key[:80]!r} is not the name of a stored file.")
        return self._root / key[:2] / key[2:]


def _copy(content: bytes | Path, target: BinaryIO) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    if isinstance(content, bytes):
        digest.update(content)
        target.write(content)
        return digest.hexdigest(), len(content)
    with content.open("rb") as source:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def make_storage(settings: Settings) -> Storage:
    if settings.storage_url and not settings.storage_url.startswith("file://"):
        raise ValueError(
            f"PHANTOM_STORAGE_URL is {settings.storage_url!r}; this version keeps files in a folder only: "
            "use file:///absolute/path or leave it empty."
        )
    return LocalStorage(settings.files_dir)
