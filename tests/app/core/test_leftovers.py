"""A sweep deletes what nothing names, and never what a job that may go on has put."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from app.core import leftovers
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.leftovers import Leftovers
from app.core.storage import Storage
from app.services.identity import Identity
from models import Dataset, DatasetVersion, Image, Job, JobKind, JobState, RefusedFile, db_now
from tests import factories
from tests.imports import Importer, pictures
from tests.lab import make_lab

DAY = 86_400.0


class Place:
    """A studio's database and folders, and how old its files are."""

    def __init__(self, database: Database, storage: Storage, settings: Settings, who: Identity) -> None:
        self.database, self.storage, self.settings, self.who = database, storage, settings, who

    def put(self, content: bytes, *, days_ago: float) -> str:
        key = self.storage.put(content).sha256
        self.make_old(self.storage.path(key), days_ago=days_ago)
        return key

    def make_old(self, *files: Path, days_ago: float) -> None:
        for file in files:
            os.utime(file, (time.time() - days_ago * DAY,) * 2)

    def stored(self) -> set[Path]:
        return {path for path in self.settings.files_dir.rglob("*") if path.is_file()}

    def job(self, **values: Any) -> Job:
        with self.database.write() as session:
            return factories.job(session, self.who, JobKind.SAMPLE, **values)

    def note(self, job: Job, name: str, content: str) -> Path:
        folder = self.settings.jobs_dir / str(job.id) / "1" / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        return self.settings.jobs_dir / str(job.id)

    def survey(self) -> Leftovers:
        return leftovers.survey(self.database, self.storage, self.settings)

    def sweep(self) -> Leftovers:
        return leftovers.sweep(self.database, self.storage, self.settings)


@pytest.fixture
def empty(database: Database, storage: Storage, settings: Settings, who: Identity) -> Place:
    return Place(database, storage, settings, who)


@pytest.fixture
def place(empty: Place) -> Place:
    """With rows of every kind, all of whose files were put ten days ago."""
    with empty.database.write() as session:
        make_lab(session, empty.who, empty.storage)
    empty.make_old(*empty.stored(), days_ago=10)
    return empty


def test_what_no_row_names_is_counted_and_deleted_and_nothing_else(place: Place) -> None:
    named = place.stored()
    for content in (b"one", b"three", b"five5"):
        place.put(content, days_ago=3)
    assert place.survey() == Leftovers(3, 13)
    assert len(place.stored()) == len(named) + 3
    assert place.sweep() == Leftovers(3, 13)
    assert place.stored() == named
    assert place.sweep() == Leftovers(0, 0)


def test_what_was_put_in_the_last_two_days_is_left_alone(place: Place) -> None:
    key = place.put(b"new", days_ago=1.9)
    assert place.sweep() == Leftovers(0, 0)
    assert place.storage.exists(key)


def test_what_a_running_job_has_put_is_left_alone_however_long_it_runs(place: Place) -> None:
    place.job(state=JobState.RUNNING, started_at=db_now(-5 * DAY))
    before, since = place.put(b"before it began", days_ago=8), place.put(b"of its first hour", days_ago=4.9)
    assert place.sweep().num_files == 1
    assert (place.storage.exists(before), place.storage.exists(since)) == (False, True)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PAUSED, JobState.FAILED])
@pytest.mark.parametrize("name", ["drawn-000000004.json", "decoded.jsonl"])
def test_what_a_job_has_noted_is_left_alone_while_it_may_go_on(place: Place, state: JobState, name: str) -> None:
    key = place.put(b"drawn", days_ago=100)
    ended = db_now(-100 * DAY) if state == JobState.FAILED else None
    folder = place.note(place.job(state=state, finished_at=ended), name, json.dumps([[0, 0, key]]))
    assert place.sweep() == Leftovers(0, 0)
    assert folder.exists()
    assert place.storage.exists(key)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.SUCCEEDED])
@pytest.mark.parametrize(("days", "num_files"), [(1, 0), (3, 2)])
def test_the_folder_of_a_job_that_is_over_goes_with_what_it_noted(
    place: Place, state: JobState, days: float, num_files: int
) -> None:
    key = place.put(b"drawn", days_ago=10)
    job = place.job(state=state, started_at=db_now(-9 * DAY), finished_at=db_now(-days * DAY))
    folder = place.note(job, "drawn.json", f'["{key}"]')
    assert place.survey().num_files == num_files
    assert place.sweep() == (Leftovers(num_files, 5 + 68) if num_files else Leftovers(0, 0))
    assert folder.exists() is place.storage.exists(key) is (num_files == 0)


def test_a_job_folder_that_the_database_does_not_know_is_left_alone(place: Place) -> None:
    folder = place.settings.jobs_dir / "4711" / "1"
    folder.mkdir(parents=True)
    key = place.put(b"of another studio", days_ago=30)
    (folder / "note.json").write_text(f'"{key}"')
    assert place.sweep() == Leftovers(0, 0)
    assert folder.exists()


class TestRefuses:
    def test_a_database_that_names_no_file(self, empty: Place) -> None:
        key = empty.put(b"somebody's image", days_ago=30)
        for act in (empty.survey, empty.sweep):
            with pytest.raises(ConflictError, match="names no file at all"):
                act()
        assert empty.storage.exists(key)

    def test_a_database_beside_which_another_lies(self, place: Place) -> None:
        key = place.put(b"somebody's image", days_ago=30)
        url = place.settings.effective_database_url
        elsewhere = Settings(_env_file=None, data_dir=place.settings.folder / "data", database_url=url)
        elsewhere.folder.mkdir()
        (elsewhere.folder / "studio.sqlite3").touch()
        with pytest.raises(ConflictError, match=r"holds studio\.sqlite3"):
            leftovers.sweep(place.database, place.storage, elsewhere)
        assert place.storage.exists(key)

    def test_not_an_empty_studio(self, empty: Place) -> None:
        assert empty.sweep() == Leftovers(0, 0)


def test_an_import_of_what_a_sweep_is_deleting_loses_nothing(place: Place) -> None:
    """Files lie unnamed since long; they are imported again while two sweeps go over them and over them."""
    files = pictures("a", 30) | pictures("b", 30)
    importer = Importer(place.database, place.settings, place.storage, place.who)
    forget_dataset(place, importer.run(importer.send_folder(files), "first"))
    place.make_old(*place.stored(), days_ago=10)
    job = importer.request(importer.send_folder(files), "again")
    done = threading.Event()
    swept: list[int] = []

    def sweep_on() -> None:
        while not done.is_set():
            swept.append(place.sweep().num_files)

    threads = [threading.Thread(target=sweep_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    importer.work()
    done.set()
    for thread in threads:
        thread.join()
    version_id = importer.job(job).result["version_id"]
    with place.database.read() as session:
        images = list(session.scalars(select(Image).where(Image.version_id == version_id)))
    assert len(images) == 60
    assert sum(swept) > 0
    assert all(place.storage.exists(key) for image in images for key in (image.stored_sha256, image.thumbnail_sha256))


def forget_dataset(place: Place, job: Job) -> None:
    """Delete the rows of an import and leave its files, as where a process is killed before it deletes them."""
    assert job.result is not None
    with place.database.write() as session:
        version_id, dataset_id = job.result["version_id"], job.result["dataset_id"]
        for table in (Image, RefusedFile):
            session.execute(delete(table).where(table.version_id == version_id))
        session.execute(delete(DatasetVersion).where(DatasetVersion.id == version_id))
        session.execute(delete(Dataset).where(Dataset.id == dataset_id))
