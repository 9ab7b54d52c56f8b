"""Stored files are readable by those whose project names them, and by nobody else."""

from typing import Any

import pytest

from app.core.db import Database
from app.core.errors import NotFoundError
from app.services import files
from app.services.identity import Identity
from models import Artifact, Explanation, ExplanationItem, SyntheticImage, UploadedImage
from tests import factories


def keys_of_every_kind(session: Any, who: Identity, name: str) -> dict[str, str]:
    """{what: key} of one file of each kind of row that names files."""
    sha = factories._sha
    version = factories.dataset_with_version(session, who, name=name, num_images=2)
    checkpoint = factories.checkpoint(session, who, version)
    synthetic = factories.synthetic_set(session, who, checkpoint, per_class=1)
    classifier = factories.classifier(session, who, version)
    explanation = Explanation(
        project_id=who.project_id,
        job_id=classifier.job_id,
        classifier_id=classifier.id,
        classes=version.classes,
        num_images=1,
        spec={},
    )
    session.add(explanation)
    session.flush()
    files = {f"{kind}_sha256": sha(f"{name} {kind}") for kind in ("picture", "segments", "overlay")}
    session.add(
        ExplanationItem(
            explanation_id=explanation.id,
            index=0,
            predicted=0,
            probabilities=[1.0],
            width=8,
            height=8,
            weights={},
            **files,
        )
    )
    upload = UploadedImage(
        project_id=who.project_id, name="u", width=8, height=8,
        stored_sha256=sha(f"{name} upload"), thumbnail_sha256=sha(f"{name} small upload"),
    )  # fmt: skip
    artifact = Artifact(
        job_id=classifier.job_id,
        role="report",
        name="r.json",
        media_type="application/json",
        size=1,
        sha256=sha(f"{name} report"),
    )
    session.add_all([upload, artifact])
    session.flush()
    image = session.query(SyntheticImage).filter_by(set_id=synthetic.id).first()
    return {
        "image": sha(f"{version.id} 0"), "synthetic": image.stored_sha256, "report": artifact.sha256,
        "upload": upload.stored_sha256, "small upload": upload.thumbnail_sha256, "checkpoint": checkpoint.sha256,
        "classifier": classifier.sha256, **files,
    }  # fmt: skip


@pytest.fixture
def mine(database: Database, who: Identity) -> dict[str, str]:
    with database.write() as session:
        return keys_of_every_kind(session, who, "mine")


@pytest.fixture
def theirs(database: Database, who: Identity) -> dict[str, str]:
    with database.write() as session:
        return keys_of_every_kind(session, factories.identity(session, "other"), "theirs")


def test_every_file_of_the_project_is_readable(database: Database, who: Identity, mine: dict[str, str]) -> None:
    with database.read() as session:
        found = {what: files.readable(session, who, key) for what, key in mine.items()}
    assert found.pop("report") == "application/json"
    assert {found.pop("checkpoint"), found.pop("classifier")} == {"application/octet-stream"}
    assert set(found.values()) == {"image/png"}
    assert len(found) == 7


def test_no_file_of_another_project_is(
    database: Database, who: Identity, mine: dict[str, str], theirs: dict[str, str]
) -> None:
    with database.read() as session:
        for key in theirs.values():
            with pytest.raises(NotFoundError):
                files.readable(session, who, key)


def test_a_key_that_nothing_names_is_not_readable(database: Database, who: Identity) -> None:
    with database.read() as session, pytest.raises(NotFoundError):
        files.readable(session, who, "0" * 64)


@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # PostgreSQL scans small tables whatever the indices
@pytest.mark.parametrize("place", range(7))
def test_every_question_to_the_database_uses_an_index(database: Database, who: Identity, place: int) -> None:
    """No scan of a table that grows with the images: SQLite's plan names an index for each big table."""
    _, query = files._owners(who.project_id, "0" * 64)[place]
    with database.engine.connect() as connection:
        sql = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
    big = ("images", "synthetic_images", "artifacts", "explanation_items")
    assert not [step for step in plan if step.startswith("SCAN") and step.split()[1] in big]
