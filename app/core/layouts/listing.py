"""A table of an upload whose rows name its images: which column is what, and the row of every image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.core.layouts.naming import FileIndex, file_column, is_headless
from app.core.layouts.tables import Table, tidy

EXAMPLES = 3


@dataclass(frozen=True)
class Listing:
    """One table, or several with the same columns that name different images.

    cells[column][row]; splits_by_table: the tables are named train, val and test; rows: {image: its row}, the first if there are several; again: {image: its further rows};
    sources: the table that each row is from; missing: what the file column names that is not in the upload.
    """

    paths: list[str]
    columns: list[str]
    cells: list[list[str]]
    file_column: str
    rows: Mapping[str, int]
    again: Mapping[str, Sequence[int]]
    sources: Sequence[str]
    missing: list[str]
    label_column: str = ""
    one_hot: tuple[str, ...] = ()
    split_column: str = ""
    splits_by_table: bool = False

    @property
    def names(self) -> str:
        """The tables' names for a sentence: `metadata.csv`, or `train/metadata.csv and test/metadata.csv`."""
        return " and ".join(self.paths) if len(self.paths) < 4 else f"{self.paths[0]} and {len(self.paths) - 1} more"

    @property
    def num_rows(self) -> int:
        return len(self.sources)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.columns)}

    def column(self, name: str) -> list[str]:
        """The untidied cells of a column, by row."""
        return self.cells[self._numbers[name]]

    def values(self, name: str) -> dict[str, str]:
        """{image: what the column says of it in its first row}, tidied."""
        cells = self.column(name)
        tidied = {cell: tidy(cell) for cell in set(cells)}
        return {path: tidied[cells[row]] for path, row in self.rows.items()}

    def all_values(self, cells: Sequence[str]) -> dict[str, list[str]]:
        """{image: what `cells`, one for each row, say of it}, tidied, each once and none empty."""
        tidied = {cell: tidy(cell) for cell in set(cells)}
        once = {cell: [text] if text else [] for cell, text in tidied.items()}
        found = {path: once[cells[row]] for path, row in self.rows.items()}
        for path, rows in self.again.items():
            named = dict.fromkeys(tidied[cells[row]] for row in (self.rows[path], *rows))
            found[path] = [text for text in named if text]
        return found

    def distinct(self, name: str) -> list[str]:
        """The different values of a column, in the order of their first row; the empty one left out."""
        return [value for value in dict.fromkeys(map(tidy, dict.fromkeys(self.column(name)))) if value]

    def role(self, name: str) -> str:
        """file, label, split, or empty."""
        roles = {self.file_column: "file", self.label_column: "label", self.split_column: "split"}
        return "label" if name in self.one_hot else roles.get(name, "")

    def as_json(self) -> dict[str, Any]:
        return {
            "paths": self.paths,
            "num_rows": self.num_rows,
            "file_column": self.file_column,
            "label_column": self.label_column or None,
            "label_columns": list(self.one_hot),
            "split_column": self.split_column or None,
            "columns": self.columns,
            "num_listed": len(self.rows),
            "num_missing": len(self.missing),
        }


def find_listing(tables: Iterable[Table], index: FileIndex) -> tuple[Listing | None, dict[str, str]]:
    """The listing of the upload, if a table names images, and why the other tables are not used: {path: reason}."""
    refused: dict[str, str] = {}
    found: list[_Matched] = []
    for table in tables:
        matched = _match(table, index)
        if matched is None:
            refused[table.path] = "It is a table, but none of its columns names images of this upload."
        else:
            found.append(matched)
    if not found:
        return None, refused
    best = max(found, key=lambda matched: (len(matched.rows), len(matched.table.columns)))
    used = [best]
    for matched in (each for each in found if each is not best):
        if matched.table.columns == best.table.columns and not any(
            matched.rows.keys() & each.rows.keys() for each in used
        ):
            used.append(matched)
        else:
            refused[matched.table.path] = f"It is a table, but {best.table.path} is used; one table is."
    return _joined(sorted(used, key=lambda matched: matched.table.path)), refused


@dataclass(frozen=True)
class _Matched:
    table: Table
    column: int
    rows: Mapping[str, int]
    again: Mapping[str, Sequence[int]]
    missing: list[str]


def _match(table: Table, index: FileIndex) -> _Matched | None:
    column = file_column(table, index)
    if column is None:
        return None
    if is_headless(table, column, index):
        table = table.without_header()
    rows: dict[str, int] = {}
    again: dict[str, list[int]] = {}
    missing: dict[str, None] = {}
    for row, value in enumerate(table.cells[column]):
        path = index.find(value, table.folder)
        if path is None:
            missing[tidy(value)] = None
        elif path in rows:
            again.setdefault(path, []).append(row)
        else:
            rows[path] = row
    return _Matched(table, column, rows, again, [value for value in missing if value])


def _joined(matched: Sequence[_Matched]) -> Listing:
    """The tables one below the other."""
    first = matched[0]
    cells: list[list[str]] = [[] for _ in first.table.columns]
    rows: dict[str, int] = {}
    again: dict[str, list[int]] = {}
    sources: list[str] = []
    for each in matched:
        start = len(sources)
        rows |= {path: start + row for path, row in each.rows.items()}
        again |= {path: [start + row for row in more] for path, more in each.again.items()}
        sources += [each.table.path] * each.table.num_rows
        for column, more in zip(cells, each.table.cells, strict=True):
            column.extend(more)
    return Listing(
        paths=[each.table.path for each in matched],
        columns=first.table.columns,
        cells=cells,
        file_column=first.table.columns[first.column],
        rows=rows,
        again=again,
        sources=sources,
        missing=[value for each in matched for value in each.missing],
    )
