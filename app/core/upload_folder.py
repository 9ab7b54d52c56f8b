"""The bytes of one upload on our disk, between its arrival and its import, or where they lie on the server.

An archive is one file, written from front to back in pieces; so is an npz file. A folder arrives in batches, in any
order, some of them twice: each file lies under the hash of its path, and each batch leaves a list of what it brought,
unless the whole folder was announced before (upload_list.py). A second name of each file, the hash of its content, lets a
later upload of the same person take it over. Both names are hard links to one file.
What lies on the server is read where it is: only what is written below `folder` here is ever deleted.
"""

import hashlib
import io
import json
import shutil
import tempfile
import uuid
from collections.abc import Collection, Container, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from app.core import relative_paths, server_folders
from app.core.archives import Extracted, Limits, Member, extract, list_members, unique
from app.core.config import Settings
from app.core.errors import BadInputError, ConflictError, DiskFullError, TooLargeError
from app.core.server_folders import ServerFolder
from app.core.upload_contents import Contents, link
from app.core.upload_list import Announced, UploadList
from models import Upload, UploadKind

CHUNK = 1 << 20
IN_MEMORY_BYTES = 4 << 20  # files of an archive up to here never touch the disk
RESERVE_BYTES = 200_000_000  # left free on the disk, so that the database can still write


class Received(NamedTuple):
    """A file of a folder that has arrived. added_bytes: 0 and is_new False if it had arrived before."""

    path: str
    size: int
    is_new: bool


class Looked(NamedTuple):
    """What a part of a list tells: the places in it of files that must be sent, and the files that need not be."""

    missing: list[int]
    found: list[Received]
    is_last: bool


class ReadFile(NamedTuple):
    """What a file holds, or the reason why it cannot be read (problem)."""

    path: str
    content: bytes
    problem: str | None


class UploadFolder:
    def __init__(self, settings: Settings, upload: Upload) -> None:
        self.folder = settings.uploads_dir / str(upload.id)
        self.list, self.contents = UploadList(self.folder), Contents(self.folder)
        self.kind, self._name = upload.kind, upload.name
        self._settings = settings
        self._max_bytes = int(settings.max_upload_gb * 1e9)
        self._max_files = settings.max_files
        self.limits = Limits(max_entries=settings.max_files, max_bytes=int(settings.max_unpacked_gb * 1e9))

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def archive_bytes(self) -> int:
        """How much of the archive has arrived."""
        return self.archive.stat().st_size if self.archive.exists() else 0

    @property
    def touched_at(self) -> float:
        """When bytes last arrived, in seconds since 1970; 0 if none has."""
        places = (self.folder, self.archive, self.folder / "files", self.folder / "lists", self.list.folder)
        return max((place.stat().st_mtime for place in places if place.exists()), default=0.0)

    def append(self, offset: int, chunk: bytes) -> int:
        """Write the next piece of the archive, which must begin where the last one ended; returns the new size."""
        self._check_kind(UploadKind.ARCHIVE)
        have = self.archive_bytes
        if offset != have:
            raise ConflictError(
                f"This piece begins at byte {offset:,}, but {have:,} have arrived.", hint=f"Go on at byte {have}."
            )
        self._check_room(have + len(chunk), len(chunk))
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.archive.open("ab") as file:
            file.write(chunk)
        return have + len(chunk)

    def receive_archive(self, source: BinaryIO) -> int:
        """Write a whole archive from `source`, instead of what arrived before; returns its size."""
        self._check_kind(UploadKind.ARCHIVE)
        self.archive.unlink(missing_ok=True)
        size = 0
        while chunk := source.read(CHUNK):
            size = self.append(size, chunk)
        return size

    def announce(
        self, number: int, total: int, files: Sequence[Announced], *, earlier: Sequence["UploadFolder"]
    ) -> Looked:
        """Take part `number` of the list of a folder of `total` files; part 0 forgets an earlier list.

        earlier: uploads of the same person; what they hold with the same content is taken over from them.
        """
        self._check_kind(UploadKind.FOLDER)
        if total > self._max_files:
            raise too_many_files(self._max_files)
        files = [file._replace(path=_file_path(file.path)) for file in files]
        if number == 0:
            self.list.forget()
            for forgotten in ("files", "lists"):
                shutil.rmtree(self.folder / forgotten, ignore_errors=True)
        is_last = self.list.keep(number, total, files)
        missing, found = [], []
        for place, file in enumerate(files):
            is_new = not self._file(file.path).exists()
            if any(self._take(file, holder.contents) for holder in (self, *earlier)):
                found.append(Received(file.path, file.size, is_new))
            else:
                missing.append(place)
        return Looked(missing, found, is_last)

    def replaces(self, other: "UploadFolder") -> bool:
        """Whether `other` was broken off before all its files had come, and those that had are here, too."""
        if not other.list.exists:
            return False
        try:
            other._announced()
        except ConflictError:
            return self.contents.include(other.contents)
        return False

    def receive_file(
        self, path: str, source: BinaryIO, *, bytes_so_far: int, announced: dict[str, Announced] | None = None
    ) -> Received:
        """Write one file of a folder; BadInputError if it is not as it was announced.

        bytes_so_far: what the upload has without it. announced: the part of the list that names it.
        """
        self._check_kind(UploadKind.FOLDER)
        path = _file_path(path)
        if announced is not None:
            path = _announced_path(path, announced)
        target = self._file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        is_new = not target.exists()
        partial = target.with_name(f"{uuid.uuid4().hex}.part")
        try:
            size, sha256 = self._copy(source, partial, bytes_so_far)
            if announced is not None:
                _check_as_announced(announced[path], size, sha256)
            self.contents.add(partial, sha256)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return Received(path, size, is_new)

    def note_batch(self, received: list[Received]) -> None:
        """Remember the files of one batch, once they are all there."""
        lists = self.folder / "lists"
        lists.mkdir(parents=True, exist_ok=True)
        target = lists / f"{uuid.uuid4().hex}.json"
        partial = target.with_suffix(".part")
        partial.write_text(json.dumps([[file.path, file.size] for file in received]))
        partial.replace(target)

    def members(self) -> list[Member]:
        """All files of the upload, with what speaks against taking them; of a folder, sorted by path."""
        source = self._source()
        if isinstance(source, ServerFolder):
            return source.members()
        if source is None:
            return unique(Member(path, size) for path, size in sorted(self._listed().items()))
        if not source.exists():
            raise ConflictError("Nothing of the archive has arrived yet.", hint="Send its bytes first.")
        if self._is_npz:
            return [Member(self._npz_path, source.stat().st_size)]
        return list_members(source, limits=self.limits)

    def files(self, wanted: Container[str], scratch: Path) -> Iterator[Extracted]:
        """The `wanted` files, one by one. Large ones of an archive are written into `scratch`: delete them, and no others."""
        source = self._source()
        if isinstance(source, ServerFolder):
            yield from source.files(wanted)
        elif source is None:
            yield from (Extracted(path, self._file(path), None) for path in sorted(self._listed()) if path in wanted)
        elif self._is_npz:
            yield from [Extracted(self._npz_path, source, None)] if self._npz_path in wanted else []
        else:
            yield from extract(source, scratch, wanted=wanted, limits=self.limits, in_memory=IN_MEMORY_BYTES)

    def read(self, paths: Collection[str]) -> Iterator[ReadFile]:
        """The content of the files at `paths`, each as a whole: only for files whose size was looked at."""
        left = set(paths)
        with self._scratch() as scratch, closing(self._some_files(left, scratch)) as found:
            for path, file, problem in found:
                content = file.read_bytes() if isinstance(file, Path) else file
                yield ReadFile(path, content or b"", problem)
                left.discard(path)
                if not left:
                    return

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """The file at `path`, to be read in any order; BadInputError if it cannot be."""
        with self._scratch() as scratch, closing(self._some_files({path}, scratch)) as found:
            _, file, problem = next(found, Extracted(path, None, "It is not there."))
            if file is None:
                raise BadInputError(f"{path} cannot be read: {problem}", hint="Upload it again.")
            with file.open("rb") if isinstance(file, Path) else io.BytesIO(file) as opened:
                yield opened

    @property
    def stamp(self) -> tuple[object, ...]:
        """Equal as long as nothing more arrives. What lies on the server may change without a change of this."""
        lists = self.list.folder if self.list.exists else self.folder / "lists"
        folder = self.archive if self.kind == UploadKind.ARCHIVE else lists
        about = folder.stat() if folder.exists() else None
        return (str(self.folder), self._name, about and (about.st_size, about.st_mtime_ns))

    @property
    def _is_npz(self) -> bool:
        return self._name.lower().endswith(".npz")

    @property
    def _npz_path(self) -> str:
        return relative_paths.clean(self._name.replace("\\", "/").rsplit("/", 1)[-1])

    def _source(self) -> ServerFolder | Path | None:
        """A folder on the server, or an archive or npz file here or there; None for a folder that was uploaded."""
        if self.kind == UploadKind.FOLDER:
            return None
        if self.kind == UploadKind.ARCHIVE:
            return self.archive
        real = server_folders.find(self._settings, self._name)
        if real.is_dir():
            return ServerFolder(real, server_folders.Allowed.of(self._settings), max_files=self._max_files)
        return real

    def _some_files(self, wanted: Container[str], scratch: Path) -> Generator[Extracted, None, None]:
        yield from self.files(wanted, scratch)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="look-") as scratch:
            yield Path(scratch)

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listed(self) -> dict[str, int]:
        """The sizes of a folder's files by path; ConflictError if some of those that were announced are not there."""
        if self.list.exists:
            return self._announced()
        lists = (json.loads(file.read_text()) for file in (self.folder / "lists").glob("*.json"))
        listed = {path: size for entries in lists for path, size in entries}
        return {path: self._file(path).stat().st_size for path in listed}  # the last to arrive of two counts

    def _announced(self) -> dict[str, int]:
        listed = {file.path: file.size for file in self.list.files()}
        missing = [path for path in listed if not self._file(path).exists()]
        if missing:
            raise ConflictError(
                f"{len(missing):,} of the folder's {len(listed):,} files have not arrived; the first is {missing[0]}.",
                hint="Choose the folder again: only what is missing is sent.",
            )
        return listed

    def _file(self, path: str) -> Path:
        name = hashlib.sha256(path.encode()).hexdigest()
        return self.folder / "files" / name[:2] / name[2:]

    def _take(self, file: Announced, holder: Contents) -> bool:
        """Whether `holder` has the content of `file`; then it is the file's here, too."""
        if file.sha256 is None or not holder.has(file.sha256, file.size):
            return False
        if holder is not self.contents and not self.contents.add(holder.place(file.sha256), file.sha256):
            return False
        return link(self.contents.place(file.sha256), self._file(file.path))

    def _copy(self, source: BinaryIO, target: Path, bytes_so_far: int) -> tuple[int, str]:
        size, digest = 0, hashlib.sha256()
        with target.open("wb") as file:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                self._check_room(bytes_so_far + size, len(chunk))
                digest.update(chunk)
                file.write(chunk)
        return size, digest.hexdigest()

    def _check_kind(self, kind: UploadKind) -> None:
        if self.kind != kind:
            raise ConflictError(
                f"This upload is for {_ARTICLE[self.kind]}, not for {_ARTICLE[kind]}.", hint="Start another upload."
            )

    def _check_room(self, total_bytes: int, next_bytes: int) -> None:
        if total_bytes > self._max_bytes:
            raise TooLargeError(
                f"The upload is larger than {self._max_bytes / 1e9:.3g} GB.",
                hint="Split it into several, or raise PHANTOM_MAX_UPLOAD_GB.",
            )
        present = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        if shutil.disk_usage(present).free < next_bytes + RESERVE_BYTES:
            raise DiskFullError(
                f"There is no room left for uploads in {present}.", hint="Free some disk space, then try again."
            )


def too_many_files(max_files: int) -> BadInputError:
    return BadInputError(
        f"The upload has more than {max_files:,} files.", hint="Split it into several, or raise PHANTOM_MAX_FILES."
    )


def _file_path(path: str) -> str:
    path = relative_paths.clean(path)
    if path.endswith("/"):
        raise BadInputError(f"{path} names a folder; send files.")
    return path


def _announced_path(path: str, announced: dict[str, Announced]) -> str:
    escaped = {each.replace('"', "%22"): each for each in announced}  # as multipart forms write names
    known = path if path in announced else escaped.get(path)
    if known is not None:
        return known
    raise BadInputError(f"{path} is not in this part of the list.", hint="Begin the list again with part 0.")


def _check_as_announced(announced: Announced, size: int, sha256: str) -> None:
    if size != announced.size or announced.sha256 not in (None, sha256):
        raise BadInputError(
            f"{announced.path} is not what was announced: {size:,} bytes with SHA-256 {sha256[:12]}... arrived, "
            f"{announced.size:,} bytes"
            + (f" with {announced.sha256[:12]}..." if announced.sha256 else "")
            + " were to come.",
            hint="It was changed while it was sent, or damaged on the way. Choose the folder again.",
        )


_ARTICLE = {
    UploadKind.ARCHIVE: "an archive",
    UploadKind.FOLDER: "a folder",
    UploadKind.SERVER: "what lies on the server",
}
