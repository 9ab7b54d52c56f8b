"""Sessions on SQLite (WAL) or PostgreSQL.

On SQLite every transaction that may write begins with BEGIN IMMEDIATE: a read that turns into a write
later would fail or, worse, overwrite what another process wrote in between. Sessions for reading begin
deferred, and refuse to flush.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session, sessionmaker

from app.core.errors import BadInputError

BUSY_TIMEOUT_S = 30


def make_engine(url: str) -> Engine:
    """An engine for `url`: sqlite:///path or postgresql+psycopg://..."""
    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        engine = create_engine(url, pool_pre_ping=True)
    event.listen(engine, "before_cursor_execute", _refuse_what_one_cannot_hold)
    return engine


def _refuse_what_one_cannot_hold(*execution: Any) -> None:
    """NUL in a text breaks PostgreSQL, an integer beyond 64 bits both: the person who sent it is told so, by either."""
    _, _, _, parameters, _, is_many = execution
    has_rows = is_many and isinstance(
        next(iter(parameters), None), (dict, tuple, list)
    )  # not one long row of an insertmanyvalues
    for row in parameters if has_rows else [parameters]:
        for value in row.values() if isinstance(row, dict) else row:
            if isinstance(value, str) and "\0" in value:
                raise BadInputError(
                    "A text holds the character NUL, which cannot be stored.", hint="Remove it, then try again."
                )
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise BadInputError(f"{value} is too large a number; use one below 2^63.")


def _prepare_sqlite(connection: DBAPIConnection, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


class Database:
    """One engine and its two kinds of sessions."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        reading = self.engine.execution_options(read_only=True)
        self._reading = sessionmaker(reading, expire_on_commit=False, autoflush=False)

    @property
    def sessions(self) -> sessionmaker[Session]:
        """The maker of sessions that write: what listens to it hears their commits."""
        return self._writing

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write: committed at the end, rolled back if the block raises."""
        with self._writing() as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads; a flush raises."""
        with self._reading() as session:
            event.listen(session, "before_flush", _refuse_to_flush)
            yield session

    def dispose(self) -> None:
        self.engine.dispose()


def _refuse_to_flush(session: Session, *_: Any) -> None:
    if session.new or session.dirty or session.deleted:
        raise AssertionError(
            f"A session for reading was asked to write: {[*session.new, *session.dirty, *session.deleted]}"
        )
