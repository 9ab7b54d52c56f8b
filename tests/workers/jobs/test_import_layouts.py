"""Imports whose classes come from a table, and imports of what lies on the server."""

import json

import pytest

from app.core.config import Settings
from app.services import datasets
from models import JobState, Upload
from tests.app.core.hostile import zipped
from tests.imports import Importer, pictures

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
IMAGES = pictures("scans", 8)
TABLE = b"file,grade,other,patient\n" + b"".join(
    b"%03d.png,%s,%s,Erika %d\n" % (i, [b"high", b"low"][i % 2], b"xyx"[i % 3 : i % 3 + 1], i // 2) for i in range(8)
)


@pytest.fixture
def importer(database, database_url, storage, who, tmp_path) -> Importer:
    (tmp_path / "server").mkdir()
    settings = Settings(
        _env_file=None, data_dir=tmp_path / "data", database_url=database_url, import_roots=str(tmp_path / "server")
    )
    return Importer(database, settings, storage, who)


def test_a_column_that_was_asked_for_gives_the_classes(importer: Importer):
    upload = importer.send_folder({**IMAGES, "labels.csv": TABLE})
    job = importer.run(upload, label_by="grade", group_by="patient")
    assert job.state == JobState.SUCCEEDED, job.error
    with importer.database.read() as session:
        version = datasets.version(session, job.result["version_id"])
        assert {name: sum(splits.values()) for name, splits in version.counts.items()} == {"high": 4, "low": 4}
        assert version.layout["table"]["label_column"] == "grade"
        assert version.layout["groups"]["num_groups"] == 4


def test_what_the_table_said_of_patients_is_forgotten_with_the_upload(importer: Importer):
    upload = importer.send_folder({**IMAGES, "labels.csv": TABLE})
    assert "Erika" in json.dumps(upload.plan)
    job = importer.run(upload, label_by="grade", group_by="patient")
    with importer.database.read() as session:
        assert "Erika" not in json.dumps(session.get_one(Upload, upload.id).plan)
        assert "Erika" not in json.dumps(datasets.version(session, job.result["version_id"]).layout)


@pytest.mark.parametrize("how", ["folder", "archive"])
def test_what_lies_on_the_server_is_imported_and_stays(importer: Importer, how: str):
    (root,) = importer.settings.import_folders
    files = pictures("a", 4) | pictures("b", 4)
    for path, data in files.items():
        (root / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "set" / path).write_bytes(data)
    (root / "set.zip").write_bytes(zipped(*files.items()))
    before = sorted(path for path in root.rglob("*"))
    job = importer.run(importer.name_on_server(root / ("set" if how == "folder" else "set.zip")))
    assert job.state == JobState.SUCCEEDED, job.error
    with importer.database.read() as session:
        assert datasets.version(session, job.result["version_id"]).num_images == 8
    assert sorted(path for path in root.rglob("*")) == before
    assert not list(importer.settings.uploads_dir.glob("*"))


def test_a_file_that_is_gone_since_the_plan_is_no_image(importer: Importer):
    (root,) = importer.settings.import_folders
    for path, data in (pictures("a", 4) | pictures("b", 4)).items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(data)
    upload = importer.name_on_server(root)
    (root / "a" / "000.png").unlink()
    job = importer.run(upload)
    with importer.database.read() as session:
        assert datasets.version(session, job.result["version_id"]).num_images == 7
