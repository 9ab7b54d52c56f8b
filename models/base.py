"""The declarative base, times and JSON columns that all tables share.

Times are stored as integer milliseconds since 1970 (UTC) in both databases, so that
the lease arithmetic of jobs is plain integer arithmetic on the database's own clock.
"""

import datetime as dt
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Dialect, Integer, MetaData, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
BigId = BigInteger().with_variant(Integer, "sqlite")


class Timestamp(TypeDecorator[dt.datetime]):
    """An aware UTC datetime, stored as integer milliseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, _: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; times are stored as aware UTC datetimes.")
        return (value - EPOCH) // dt.timedelta(milliseconds=1)

    def process_result_value(self, value: Any | None, _: Dialect) -> dt.datetime | None:
        return None if value is None else EPOCH + dt.timedelta(milliseconds=int(value))


class db_now(FunctionElement[dt.datetime]):  # noqa: N801 - reads as an SQL function
    """The database's clock, `offset_s` seconds from now. The only clock that leases are measured by."""

    type = Timestamp()
    inherit_cache = True

    def __init__(self, offset_s: float = 0) -> None:
        super().__init__(literal(int(offset_s * 1000), BigInteger))


@compiles(db_now, "sqlite")
def _now_sqlite(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    offset = compiler.process(element.clauses, **kw)
    return f"(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) + {offset})"


@compiles(db_now, "postgresql")
def _now_postgresql(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    offset = compiler.process(element.clauses, **kw)
    return f"(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + {offset})"


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dt.datetime: Timestamp(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
    }


class WithId:
    """An integer key that is never used again after a row is deleted, and the time of creation."""

    __table_args__: Any = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy's own type is no ClassVar

    id: Mapped[int] = mapped_column(BigId, primary_key=True, sort_order=-10)
    created_at: Mapped[dt.datetime] = mapped_column(default=db_now(), sort_order=90)
