"""Reads tables that strangers made: CSV with commas, semicolons or tabs, and JSON lines.

Everything is text here; a value that JSON gives as a number or a truth is written as Python writes it. What a table
says is never stored as it stands: `tidy` takes out what no database takes.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from app.core.errors import BadInputError

MAX_COLUMNS = 500
MAX_LINE = 1 << 20  # characters
SAMPLE_ROWS = 50
DELIMITERS = (",", ";", "\t")
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Table:
    """columns: their names, all different; cells[column][row]: the text, untidied."""

    path: str
    columns: list[str]
    cells: list[list[str]]

    @property
    def num_rows(self) -> int:
        return len(self.cells[0])

    @property
    def folder(self) -> str:
        """The folder of the table with a slash at its end, or empty."""
        return self.path[: self.path.rfind("/") + 1]

    def without_header(self) -> "Table":
        """The same table if its first line was no header but a row like the others."""
        names = [f"column {number}" for number in range(1, len(self.columns) + 1)]
        return Table(self.path, names, [[name, *cells] for name, cells in zip(self.columns, self.cells, strict=True)])


def tidy(value: str) -> str:
    """`value` in NFC on one line, trimmed, without control characters and broken halves of characters."""
    if value.isascii() and value.isprintable():
        return value.strip()
    value = value.encode("utf-8", "replace").decode("utf-8")
    return _UNPRINTABLE.sub("", " ".join(unicodedata.normalize("NFC", value).split()))


def read_table(path: str, content: bytes) -> Table:
    """The table in `content`; raises BadInputError, with the reason, if there is none."""
    text = _decoded(content)
    if max((len(line) for line in text.splitlines()), default=0) > MAX_LINE:
        raise BadInputError("It has lines of more than a million characters, as no table has.")
    columns, rows = _json_rows(text) if path.lower().endswith(".jsonl") else _csv_rows(text)
    if not rows:
        raise BadInputError("It is a table without rows.")
    if len(columns) > MAX_COLUMNS:
        raise BadInputError(f"It has {len(columns):,} columns; a table may have {MAX_COLUMNS}.")
    return Table(path, columns, [[row[column] for row in rows] for column in range(len(columns))])


def _decoded(content: bytes) -> str:
    if content.startswith(UTF_16_MARKS):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _csv_rows(text: str) -> tuple[list[str], list[list[str]]]:
    delimiter = _delimiter(text)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(line)]
    except csv.Error as error:
        raise BadInputError(f"It cannot be read as a table ({error}).") from error
    if not lines or len(lines[0]) < 2:
        raise BadInputError("It has only one column; a table names files in one and says something of them in another.")
    header, *rows = lines
    width = len(header)
    return _names(header), [(row + [""] * (width - len(row)))[:width] for row in rows]


def _delimiter(text: str) -> str:
    """The one that cuts the first lines into the most columns, the same number in each line if there is such a one."""

    def score(delimiter: str) -> tuple[bool, int]:
        try:
            sample = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            widths = [len(row) for row in islice((row for row in sample if any(row)), SAMPLE_ROWS)]
        except csv.Error:
            return False, 0
        return len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 0

    return max(DELIMITERS, key=score)


def _names(header: Sequence[str]) -> list[str]:
    """Names for the columns, all different and none empty."""
    names: list[str] = []
    for number, given in enumerate(header, 1):
        name = tidy(given)[:100] or f"column {number}"
        names.append(name if name not in names else f"{name} ({number})")
    return names


def _json_rows(text: str) -> tuple[list[str], list[list[str]]]:
    records = [_record(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    keys = _keys(records)
    return _names(keys), [[record.get(key, "") for key in keys] for record in records]


def _keys(records: Iterable[dict[str, str]]) -> list[str]:
    keys: dict[str, None] = {}
    for record in records:
        keys |= dict.fromkeys(record)
        if len(keys) > MAX_COLUMNS:
            raise BadInputError(f"It has more than {MAX_COLUMNS} different keys.")
    return list(keys)


def _record(line: str, number: int) -> dict[str, str]:
    """One line's single values; lists and objects in it are left out."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"Its line {number:,} is no JSON ({str(error)[:80]}).") from error
    if not isinstance(found, dict):
        raise BadInputError(f"Its line {number:,} is no JSON object.")
    return {
        key: "" if value is None else str(value) for key, value in found.items() if not isinstance(value, dict | list)
    }
