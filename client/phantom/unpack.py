"""Unpack a downloaded zip into a folder without trusting its names, and check every file's sha256.

The zip comes from the studio, but the studio may not be ours: a name may not leave the folder, nor name a link.
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from phantom.errors import PhantomError

MANIFEST = "manifest.json"


def download_into(folder: Path, chunks: Iterable[bytes]) -> list[Path]:
    """Receive a zip in pieces and unpack it into `folder`, which is made if need be; the files written, in order.

    One folder around everything in the zip is left out. Raises PhantomError for a zip that is broken or unsafe, or
    whose files are not those of its manifest.
    """
    with tempfile.TemporaryFile() as held:
        for chunk in chunks:
            held.write(chunk)
        held.seek(0)
        try:
            with zipfile.ZipFile(held) as archive:
                return _unpack_all(archive, folder)
        except zipfile.BadZipFile as error:
            raise PhantomError(f"The download is not a whole zip: {error}.", hint="Download it again.") from error


def _unpack_all(archive: zipfile.ZipFile, folder: Path) -> list[Path]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    names = [_safe_parts(entry) for entry in entries]  # all are checked before the first is written
    around = {parts[0] for parts in names}
    skip = 1 if len(around) == 1 and all(len(parts) > 1 for parts in names) else 0
    written = {PurePosixPath(*parts[skip:]): entry for parts, entry in zip(names, entries, strict=True)}
    files = [_unpack(archive, entry, folder, path) for path, entry in written.items()]
    _verify(folder)
    return files


def _safe_parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of the entry's name; PhantomError for one that is absolute, climbs, or is a link."""
    path = PurePosixPath(entry.filename)
    is_link = (entry.external_attr >> 28) == 0xA  # S_IFLNK in the upper four bits of the Unix mode
    if (
        path.is_absolute()
        or not path.parts
        or ".." in path.parts
        or is_link
        or any(c in entry.filename for c in "\\:\0")
    ):
        raise PhantomError(
            f"The download holds {entry.filename!r}, which could be written outside the folder; it was refused."
        )
    return path.parts


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, path: PurePosixPath) -> Path:
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise PhantomError(f"{target} lies outside {folder}, by a link; nothing was written there.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    return target


def _verify(folder: Path) -> None:
    manifest = folder / MANIFEST
    if not manifest.exists():
        raise PhantomError(
            f"The download holds no {MANIFEST}, so its files cannot be checked.", hint="Download it again."
        )
    for name, sha256 in json.loads(manifest.read_text(encoding="utf-8"))["files"].items():
        file = folder / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            raise PhantomError(f"{file} is not what the studio says it is.", hint="Download it again.")
