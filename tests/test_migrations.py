"""Migrations build exactly the tables of models/, and can be taken back."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from app.core.db import Database
from models import Base

CONFIG = Path(__file__).parents[1] / "alembic.ini"


@pytest.fixture
def empty(database: Database) -> Database:
    Base.metadata.drop_all(database.engine)
    return database


def migrate(connection: Connection, action: str, revision: str) -> None:
    config = Config(str(CONFIG))
    config.attributes["connection"] = connection
    getattr(command, action)(config, revision)


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_up_down_up_ends_with_the_tables_of_the_models(empty: Database):
    with empty.engine.begin() as connection:
        migrate(connection, "upgrade", "head")
        assert tables(connection) == set(Base.metadata.tables)
        migrate(connection, "downgrade", "base")
        assert tables(connection) == set()
        migrate(connection, "upgrade", "head")
        assert tables(connection) == set(Base.metadata.tables)


def test_the_newest_revision_equals_the_models(empty: Database):
    with empty.engine.begin() as connection:
        migrate(connection, "upgrade", "head")
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata
        )
        assert differences == []


def test_ids_are_never_used_again_on_sqlite(empty: Database):
    with empty.engine.begin() as connection:
        migrate(connection, "upgrade", "head")
        if connection.dialect.name == "sqlite":
            created = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'jobs'")).scalar_one()
            assert "AUTOINCREMENT" in created
