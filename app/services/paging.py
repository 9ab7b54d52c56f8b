"""Keyset pages: newest first by id, so a page costs the same at the end of a long table as at its start."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import BadInputError

T = TypeVar("T")
MAX_LIMIT = 500


@dataclass(frozen=True)
class Page(Generic[T]):
    """items, and the cursor that gets the next ones; None at the end."""

    items: list[T]
    next_cursor: str | None


def page(
    session: Session,
    query: Select[T],
    *,
    key: InstrumentedAttribute[int],
    cursor: str | None,
    limit: int,
    descending: bool = True,
) -> Page[T]:
    """One page of `query`, ordered by the integer column `key` that comes after `cursor`."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInputError(f"limit is {limit}; use 1 to {MAX_LIMIT}.")
    if cursor is not None:
        after = _parse(cursor)
        query = query.where(key < after if descending else key > after)
    query = query.order_by(key.desc() if descending else key.asc()).limit(limit + 1)
    rows: list[Any] = list(session.scalars(query))
    more = len(rows) > limit
    return Page(rows[:limit], str(getattr(rows[limit - 1], key.key)) if more else None)


def _parse(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadInputError(
            f"cursor {cursor[:40]!r} is not one that this list gave.", hint="Leave it out to start again."
        )
    return int(cursor)
