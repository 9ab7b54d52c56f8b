"""Finds the files that a table's values mean: by path, by the end of a path, by name, by name without ending.

A value that could mean two files means none. Case does not count, and backslashes are slashes.
"""

from collections.abc import Iterable

from app.core.layouts.tables import Table
from app.core.relative_paths import key as key_of

SAMPLE = 2000
ENOUGH = 0.5  # of the files named, or of the files there are
FILE_NAMES = (
    "file_name", "filename", "file", "filepath", "file_path", "path", "image", "image_path", "img", "image_name",
    "image_id", "image_index", "imageid", "img_id", "isic_id", "name", "id",
)  # fmt: skip


def plain(name: str) -> str:
    """A column's name as it is compared: `Image Index` is `image_index`."""
    return "".join(char if char.isalnum() else "_" for char in name.strip().casefold())


class FileIndex:
    """Every image under its path and under each end of it (b/c.png, c.png), with and without its ending."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.num_files = 0
        self._whole: dict[str, str | None] = {}
        self._ends: dict[str, str | None] = {}
        for path in paths:
            self.num_files += 1
            key = key_of(path)
            _note(self._whole, key, path)
            while key:
                _note(self._ends, key, path)
                key = key.partition("/")[2]

    def find(self, value: str, folder: str = "") -> str | None:
        """The file that `value` means in a table that lies in `folder` (with a slash at its end, or empty)."""
        key = key_of(value.strip().replace("\\", "/").removeprefix("./"))
        for whole in (key_of(folder) + key, key):
            if whole in self._whole:
                return self._whole[whole]
        while key:
            if key in self._ends:
                return self._ends[key]
            key = key.partition("/")[2]
        return None


def _note(found: dict[str, str | None], key: str, path: str) -> None:
    found[key] = None if key in found else path
    stem, dot, ending = key.rpartition(".")
    if dot and "/" not in ending and stem and not stem.endswith("/"):
        found[stem] = None if stem in found else path


def file_column(table: Table, index: FileIndex) -> int | None:
    """The column whose values mean the most different files; None if they are too few to be meant."""
    found = [_num_files(table, column, index) for column in range(len(table.columns))]
    best = max(range(len(found)), key=lambda column: (found[column], -_rank(table.columns[column]), -column))
    least = ENOUGH * min(len(set(table.cells[best])), index.num_files)
    return best if found[best] >= max(least, 1) else None


def is_headless(table: Table, column: int, index: FileIndex) -> bool:
    """Whether what was taken for the header names a file as well."""
    return index.find(table.columns[column], table.folder) is not None


def _num_files(table: Table, column: int, index: FileIndex) -> int:
    """How many files the column names. One without a telling name is looked at here and there first."""
    cells = table.cells[column]
    sample = cells[:: max(1, len(cells) // SAMPLE)]
    if _rank(table.columns[column]) == len(FILE_NAMES) and not any(index.find(cell, table.folder) for cell in sample):
        return 0
    return len({index.find(cell, table.folder) for cell in cells} - {None})


def _rank(name: str) -> int:
    return FILE_NAMES.index(plain(name)) if plain(name) in FILE_NAMES else len(FILE_NAMES)
