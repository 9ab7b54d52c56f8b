"""Bring the database to the present tables, with Alembic's migrations.

SQLite changes most tables by a copy that takes the old one's place. Dropping a table there deletes its rows first, and with
them, or with an error, what names them: so foreign keys are not followed meanwhile, and are all checked at the end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from app.core.config import Settings
from app.core.db import Database

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


@contextmanager
def changing_tables(engine: Engine) -> Iterator[Connection]:
    """A transaction in which tables are changed. RuntimeError, and nothing is changed, if a row then names one that is not there."""
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if is_sqlite:
            _follow_foreign_keys(connection, "OFF")
        try:
            with connection.begin():
                yield connection
                if is_sqlite:
                    _check_foreign_keys(connection)
        finally:
            if is_sqlite:
                _follow_foreign_keys(connection, "ON")


def _follow_foreign_keys(connection: Connection, state: str) -> None:
    """Past SQLAlchemy, which would begin a transaction, in which this does nothing."""
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute(f"PRAGMA foreign_keys = {state}")


def _check_foreign_keys(connection: Connection) -> None:
    found = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if found is not None:
        raise RuntimeError(
            f"The tables were not changed: row {found[1]} of {found[0]} names a row of {found[2]} that is not there."
        )


def migrate(settings: Settings) -> None:
    """Upgrade to the newest revision; a database that is there already changes nothing."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    config = alembic_config()
    database = Database(settings.effective_database_url)
    try:
        with changing_tables(database.engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.dispose()


def is_current(settings: Settings) -> bool:
    """Whether the database has been brought to the newest revision."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    newest = set(ScriptDirectory.from_config(alembic_config()).get_heads())
    database = Database(settings.effective_database_url)
    try:
        with database.engine.connect() as connection:
            return set(MigrationContext.configure(connection).get_current_heads()) == newest
    finally:
        database.dispose()
