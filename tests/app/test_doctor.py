import os
import shutil
import sys

import pytest

from app import doctor
from app.core.broker import EmbeddedBroker
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.migrate import migrate
from app.core.storage import make_storage
from app.doctor import Level
from app.services import uploads
from tests import factories


@pytest.fixture
def settings(tmp_path):
    return Settings(_env_file=None, data_dir=tmp_path)


def test_all_is_well_here_and_the_exit_code_says_so(settings, capsys):
    findings = doctor.examine(settings)
    assert doctor.print_findings(findings) == 0
    shown = capsys.readouterr().out
    for part in ("python", "packages", "torch", "disk", "database", "broker", "weights"):
        assert part in shown


def test_torch_is_looked_at_without_being_loaded_here(settings):
    loaded_before = "torch" in sys.modules
    found = doctor.torch(settings)
    assert found.level == Level.OK
    assert "2.13.0" in found.detail
    assert ("torch" in sys.modules) == loaded_before


@pytest.mark.parametrize(
    ("check", "options", "words"),
    [
        (doctor.database, {"database_url": "postgresql://studio:secret@127.0.0.1:1/x"}, "does not answer"),
        (doctor.broker, {"broker_url": "redis://127.0.0.1:1/0"}, "does not answer"),
        (doctor.weights, {"weights_dir": "/nowhere"}, "is no folder"),
    ],
)
def test_what_is_broken_is_named_with_its_mend_and_the_exit_code_is_one(check, options, words, tmp_path, capsys):
    found = check(Settings(_env_file=None, data_dir=tmp_path, **options))
    assert found.level == Level.BROKEN
    assert words in found.detail
    assert found.mend
    assert doctor.print_findings([found]) == 1
    shown = capsys.readouterr().out
    assert "->" in shown
    assert "secret" not in shown


def test_a_nearly_full_disk_is_a_warning(settings, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**12, 10**12 - 10**9, 10**9))
    found = doctor.disk(settings)
    assert (found.level, "1.0 GB free" in found.detail) == (Level.WARNING, True)


def test_a_folder_that_cannot_be_written_is_broken(settings, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert doctor.disk(settings).level == Level.BROKEN


def test_old_tables_are_a_warning_until_they_are_migrated(settings):
    settings.folder.joinpath("studio.sqlite3").touch()
    assert doctor.database(settings).level == Level.WARNING
    migrate(settings)
    found = doctor.database(settings)
    assert (found.level, "present tables" in found.detail) == (Level.OK, True)


def test_a_broker_that_answers_is_fine(settings):
    valkey = EmbeddedBroker(settings)
    valkey.start()
    given = settings.model_copy(update={"broker_url": f"redis+socket://{valkey.socket}"})
    assert doctor.broker(given).level == Level.OK
    valkey.stop()


def test_weights_in_the_folder_are_listed(settings, tmp_path):
    (tmp_path / "resnet18.safetensors").touch()
    found = doctor.weights(settings.model_copy(update={"weights_dir": tmp_path}))
    assert (found.level, "resnet18" in found.detail) == (Level.OK, True)


class TestFiles:
    @pytest.fixture
    def database(self, settings):
        """With a checkpoint whose file was put long ago, as was one that nothing names."""
        migrate(settings)
        database = Database(settings.effective_database_url)
        storage = make_storage(settings)
        with database.write() as session:
            who = factories.identity(session)
            version = factories.dataset_with_version(session, who)
            factories.checkpoint(session, who, version, sha256=storage.put(b"weights").sha256)
            uploads.start(session, who, kind="archive", name="scans.zip")
        for key in (storage.put(b"weights").sha256, storage.put(b"x" * 1_200_000).sha256):
            os.utime(storage.path(key), (0, 0))
        yield database
        database.dispose()

    def test_are_looked_at_once_there_are_tables(self, settings):
        assert {"files", "uploads"}.isdisjoint(found.part for found in doctor.examine(settings))
        migrate(settings)
        assert [found.detail for found in (doctor.files(settings), doctor.uploads(settings))] == [
            f"{settings.files_dir}: nothing is left over.",
            "None waits to be imported.",
        ]

    def test_that_nothing_names_are_counted_and_swept(self, settings, database):
        found = doctor.files(settings)
        assert (found.level, "1 file (1.2 MB) of cancelled or killed jobs" in found.detail) == (Level.OK, True)
        assert found.mend == "python -m app doctor --sweep deletes them."
        assert doctor.sweep(settings) == "Deleted 1 file (1.2 MB) that nothing named."
        assert doctor.files(settings).detail.endswith("nothing is left over.")
        assert doctor.sweep(settings) == "Nothing was left over to delete."

    def test_of_another_studios_database_are_a_warning(self, settings, database, tmp_path):
        other = Settings(_env_file=None, data_dir=tmp_path / "other", storage_url=f"file://{settings.files_dir}")
        migrate(other)
        found = doctor.files(other)
        assert (found.level, "may be that of another studio" in found.detail) == (Level.WARNING, True)

    def test_uploads_that_wait_are_counted(self, settings, database):
        found = doctor.uploads(settings)
        assert found.detail == "1 not imported yet (0.0 MB); discarded when nobody goes on with them for 7 days."

    def test_are_not_swept_without_a_database(self, settings):
        with pytest.raises(ConflictError, match="Nothing was deleted, since the database cannot be asked"):
            doctor.sweep(settings)


@pytest.mark.parametrize(("roots", "level", "words"), [
    ("", "ok", "No folder of the server"), ("{tmp}", "ok", "May be imported from"), ("{tmp}:/nowhere", "warning", "/nowhere is no folder"),
])  # fmt: skip
def test_folders_to_import_from_are_looked_at(tmp_path, roots, level, words):
    finding = doctor.imports(Settings(_env_file=None, data_dir=tmp_path, import_roots=roots.format(tmp=tmp_path)))
    assert (finding.part, finding.level) == ("imports", level)
    assert words in finding.detail
