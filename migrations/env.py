"""Alembic's environment: the studio's own settings say which database is migrated.

A caller that has a connection already (the studio at start, the tests) passes it as config.attributes["connection"].
"""

from alembic import context
from sqlalchemy import Connection

from app.core.config import Settings
from app.core.db import make_engine
from app.core.migrate import changing_tables
from models import Base


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        user_module_prefix="models.base.",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    engine = make_engine(Settings().effective_database_url)
    with changing_tables(engine) as connection:
        _run(connection)
    engine.dispose()
