"""Which rows of a study's tables are leaking: of the tested images training had seen some, and somebody accepted that."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.services.datasets import leaks

DAGGER = "†"


def largest(counted: Sequence[Mapping[str, int] | None]) -> dict[str, int] | None:
    """The largest number of each kind over several tests; None where nobody has looked in any of them."""
    looked = [each for each in counted if each is not None]
    return {kind: max(each.get(kind, 0) for each in looked) for kind in looked[0]} if looked else None


def seen_by(row: Mapping[str, Any]) -> dict[str, int] | None:
    """Tested images that training of a row had seen, the largest over its seeds: {"patients", "identical", "near"}."""
    return largest([seed.get("leaks") for seed in row["seeds"]])


def seen_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The largest over rows, in words; empty where training had seen nothing."""
    return leaks.seen_in_words(largest([seen_by(row) for row in rows]))


def caveat_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """What figures of these rows must be read with; empty where training had seen nothing."""
    return leaks.memory_in_words(largest([seen_by(row) for row in rows]))


def daggered(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The name of rows where there is no room for more than a mark."""
    return f"{name} {DAGGER}" if seen_of(rows) else name
