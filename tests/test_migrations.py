"""Migrations build exactly the tables of models/, and can be taken back."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.db import Database
from app.core.migrate import changing_tables
from app.services import datasets, studies
from models import (
    Base,
    Classifier,
    DatasetVersion,
    Evaluation,
    Explanation,
    ExplanationItem,
    Image,
    Job,
    Prediction,
    Study,
    StudyStep,
    SyntheticImage,
    SyntheticSet,
)
from models.specs import StudySpec
from models.specs.changing import Exclude, Resplit
from tests import factories

CONFIG = Path(__file__).parents[1] / "alembic.ini"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that no other test gets: these change its tables."""
    if request.param == "postgresql":
        return request.getfixturevalue("new_postgresql")()
    path = shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "studio.sqlite3")
    return f"sqlite:///{path}"


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


def test_rows_from_before_a_revision_stay_and_say_that_nothing_was_measured(empty: Database):
    """A studio of the first version: what later revisions added is gone, and comes back empty."""
    with empty.engine.begin() as connection:
        migrate(connection, "upgrade", "head")
        _add_rows(connection)
        migrate(connection, "downgrade", "0001")
        migrate(connection, "upgrade", "head")
        session = Session(bind=connection)
        item = session.scalars(select(ExplanationItem)).one()
        assert (item.predicted, item.faithfulness, item.stability) == (1, None, None)
        version = session.scalars(select(DatasetVersion)).one()
        assert (version.leaks, version.health, version.change, version.dataset.current_number) == (None, None, "", 1)
        assert session.scalars(select(Image.cluster).distinct()).all() == [None]
        assert session.scalars(select(Evaluation.leaks)).all() == [None]
        if connection.dialect.name == "sqlite":
            created = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'explanation_items'"))
            assert "AUTOINCREMENT" in created.scalar_one()


@pytest.mark.parametrize(("revision", "kept"), [
    ("0010", {Prediction: 4, SyntheticImage: 8, StudyStep: 7}), ("0005", {Prediction: 4, SyntheticImage: 8}),
])  # fmt: skip
def test_rows_that_name_those_of_a_changed_table_stay(empty: Database, revision: str, kept: dict[Any, int]):
    """SQLite drops the table whose changed copy takes its place; what names its rows must not go with it."""
    with changing_tables(empty.engine) as connection:
        migrate(connection, "upgrade", "head")
    with empty.write() as session:
        who = factories.identity(session)
        version = factories.dataset_with_version(session, who)
        drawn = factories.synthetic_set(session, who, factories.checkpoint(session, who, version))
        drawn.spec = {"seed": 3}
        network = factories.classifier(session, who, version, synthetic_set_id=drawn.id)
        factories.evaluation(session, who, network, {})
        spec = StudySpec(
            dataset_id=version.dataset_id, architectures=["resnet10t"], seeds=[0], arms=["synthetic"], sizes=[1, 2]
        )
        study = studies.launch(session, who, spec)
        study.spec = {**study.spec, "sampling": {}}  # which held then what was asked for, and no more
    with changing_tables(empty.engine) as connection:
        migrate(connection, "downgrade", revision)
        migrate(connection, "upgrade", "head")
    with empty.read() as session:
        assert {table: session.scalar(select(func.count()).select_from(table)) for table in kept} == kept
        cells = select(StudyStep.cell).where(StudyStep.name.in_(["samples", "audit"]))
        assert session.scalars(cells).all() == [{"drawn": 2.0}] * 2 * (StudyStep in kept)
        guided = {"guidance": 1.5, "guidance_start": 0.0, "guidance_stop": 1.0}
        assert session.scalars(select(SyntheticSet.spec)).all() == [{**guided, "seed": 3}]
        assert [spec["sampling"] for spec in session.scalars(select(Study.spec))] == [guided] * (StudyStep in kept)
        assert [spec["augmentation"] for spec in session.scalars(select(Study.spec))] == ["strong"] * (
            StudyStep in kept
        )
        sampling = session.scalars(select(Job.spec).where(Job.kind == "sample"))
        assert {spec["guidance_stop"] for spec in sampling} == {1.0}


def test_studies_of_an_older_studio_explain_nothing_and_augment_strongly(empty: Database):
    with changing_tables(empty.engine) as connection:
        migrate(connection, "upgrade", "head")
    with empty.write() as session:
        who = factories.identity(session)
        version = factories.dataset_with_version(session, who)
        asked = StudySpec(dataset_id=version.dataset_id, architectures=["resnet10t"], seeds=[0], arms=["real_equal"])
        for names in ({"augmentation"}, {"augmentation", "explanations"}):
            study = studies.launch(session, who, asked)
            study.spec = {name: value for name, value in study.spec.items() if name not in names}
    with changing_tables(empty.engine) as connection:
        migrate(connection, "downgrade", "0019")
        migrate(connection, "upgrade", "head")
    with empty.read() as session:
        first, second = session.scalars(select(Study.spec).order_by(Study.id))
        assert (first["augmentation"], first["explanations"]["num_images"]) == ("strong", 16)
        assert (second["augmentation"], second["explanations"]) == ("strong", None)


def test_versions_that_an_older_studio_split_anew_say_how_and_so_do_those_made_from_them(empty: Database):
    with changing_tables(empty.engine) as connection:
        migrate(connection, "upgrade", "head")
    imported = {
        "kind": "class folders",
        "seed": 4,
        "percent": {"train": 70, "val": 10, "test": 20},
        "split_by": "units",
    }
    with empty.write() as session:
        who = factories.identity(session)
        first = factories.dataset_with_version(session, who)
        first.layout = imported
        split = Resplit(seed=3, train_percent=20, val_percent=10, by="blocks")
        second = datasets.change(session, who, first.dataset, split)
        third = datasets.change(
            session, who, first.dataset, Exclude(image_ids=[datasets.images(session, second).items[0].id])
        )
        said = [dict(each.layout) for each in (first, second, third)]
        second.layout = third.layout = imported  # as a studio of before left them
    with changing_tables(empty.engine) as connection:
        migrate(connection, "downgrade", "0018")
        migrate(connection, "upgrade", "head")
    with empty.read() as session:
        assert list(session.scalars(select(DatasetVersion.layout).order_by(DatasetVersion.number))) == said
        assert said[2]["percent"] == {"train": 20, "val": 10, "test": 70}


def test_nothing_is_changed_where_a_row_would_name_one_that_is_not_there(database: Database):
    """SQLite, whose foreign keys are off meanwhile, is asked at the end; PostgreSQL refuses it at once."""
    is_sqlite = database.engine.dialect.name == "sqlite"
    said = "of classifiers names a row of synthetic_sets that is not there" if is_sqlite else "violates foreign key"
    with database.write() as session:
        who = factories.identity(session)
        network = factories.classifier(session, who, factories.dataset_with_version(session, who))
    with (
        pytest.raises(RuntimeError if is_sqlite else IntegrityError, match=said),
        changing_tables(database.engine) as connection,
    ):
        connection.execute(text("UPDATE classifiers SET synthetic_set_id = 999"))
    with database.read() as session:
        assert session.get_one(Classifier, network.id).synthetic_set_id is None
    if is_sqlite:
        with database.engine.connect() as connection:
            assert connection.scalar(text("PRAGMA foreign_keys")) == 1


def _add_rows(connection: Connection) -> None:
    session = Session(bind=connection)
    who = factories.identity(session)
    version = factories.dataset_with_version(session, who)
    classifier = factories.classifier(session, who, version)
    factories.evaluation(session, who, classifier, {})
    explanation = Explanation(
        project_id=who.project_id, job_id=classifier.job_id, classifier_id=classifier.id, classes=classifier.classes,
        num_images=1, spec={},
    )  # fmt: skip
    session.add(explanation)
    session.flush()
    session.add(
        ExplanationItem(
            explanation_id=explanation.id, index=0, predicted=1, probabilities=[0.5, 0.5], width=8, height=8,
            picture_sha256="a" * 64, segments_sha256="b" * 64, overlay_sha256="c" * 64, weights={}, faithfulness={"label": 1},
        )
    )  # fmt: skip
    session.flush()
