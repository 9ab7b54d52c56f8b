"""Migrations build exactly the tables of models/, and can be taken back."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, func, inspect, select, text
from sqlalchemy.orm import Session

from app.core.db import Database
from models import Base, Explanation, ExplanationItem
from tests import factories

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


def test_explanations_from_before_0002_stay_and_say_that_nothing_was_measured(empty: Database):
    with empty.engine.begin() as connection:
        migrate(connection, "upgrade", "0001")
        old = Table("explanation_items", MetaData(), autoload_with=connection)
        connection.execute(old.insert().values(**_old_item(connection)))
        migrate(connection, "upgrade", "0002")
        item = Session(bind=connection).scalars(select(ExplanationItem)).one()
        assert (item.predicted, item.faithfulness, item.stability) == (1, None, None)
        migrate(connection, "downgrade", "0001")
        assert connection.execute(select(func.count()).select_from(old)).scalar_one() == 1
        if connection.dialect.name == "sqlite":
            created = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'explanation_items'"))
            assert "AUTOINCREMENT" in created.scalar_one()


def _old_item(connection: Connection) -> dict[str, Any]:
    """The values of an explained image, with all rows that it belongs to."""
    session = Session(bind=connection)
    who = factories.identity(session)
    classifier = factories.classifier(session, who, factories.dataset_with_version(session, who))
    explanation = Explanation(
        project_id=who.project_id, job_id=classifier.job_id, classifier_id=classifier.id, classes=classifier.classes,
        num_images=1, spec={},
    )  # fmt: skip
    session.add(explanation)
    session.flush()
    return {
        "explanation_id": explanation.id, "index": 0, "predicted": 1, "probabilities": [0.5, 0.5], "width": 8, "height": 8,
        "picture_sha256": "a" * 64, "segments_sha256": "b" * 64, "overlay_sha256": "c" * 64, "weights": {}, "created_at": 0,
    }  # fmt: skip
