"""The files of an upload by the hash of their content: further names (hard links) of what lies under the hash of its path.

By them a later upload of the same files takes over what has arrived.
"""

import os
import uuid
from pathlib import Path


class Contents:
    def __init__(self, folder: Path) -> None:
        self._root = folder / "contents"

    def place(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256[2:]

    def add(self, file: Path, sha256: str) -> bool:
        """Give `file` its name here; False if that cannot be."""
        return link(file, self.place(sha256))

    def has(self, sha256: str, size: int) -> bool:
        """Whether the content is here as a whole: a machine that lost its power may have left less of it."""
        try:
            return self.place(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def include(self, other: "Contents") -> bool:
        """Whether all that is in `other` is here, too; False if that is nothing."""
        any_held = False
        for held in other._root.glob("??/*"):
            any_held = True
            if not self.place(held.parent.name + held.name).exists():
                return False
        return any_held


def link(source: Path, target: Path) -> bool:
    """Give a file a further name, in place of what had it; False if that cannot be, and then the file is sent instead.

    It may have been discarded a moment ago, have too many names, or lie on a disk that knows no hard links.
    """
    try:
        _link(source, target)
    except FileExistsError:
        return _link_instead(source, target)
    except OSError:
        return False
    return True


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:  # the folder, for all we know
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)


def _link_instead(source: Path, target: Path) -> bool:
    partial = target.with_name(f"{uuid.uuid4().hex}.part")
    try:
        os.link(source, partial)
    except OSError:
        return False
    partial.replace(target)
    partial.unlink(missing_ok=True)  # which is still there if both were names of one file already
    return True
