"""Bring the database to the present tables, with Alembic's migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from app.core.config import Settings
from app.core.db import Database

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(settings: Settings) -> None:
    """Upgrade to the newest revision; a database that is there already changes nothing."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    config = alembic_config()
    database = Database(settings.effective_database_url)
    try:
        with database.engine.begin() as connection:
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
