"""An import whose worker is killed goes on where it was, and makes the very version of one that nobody disturbed."""

import signal
from pathlib import Path

import pytest

from app.core import leases
from app.core.config import Settings
from app.core.db import Database
from app.core.queue import Doorbell
from app.core.storage import Storage
from app.services import jobs
from app.services.identity import Identity
from models import DatasetVersion, JobState
from tests.faults.conftest import Workers
from tests.faults.test_lost_workers import Wait, is_finished, messages
from tests.imports import Importer, pictures
from workers.jobs.import_decoding import JOURNAL

PER_CLASS = 1000
pytestmark = [pytest.mark.usefixtures("broker"), pytest.mark.timeout(300)]


def manifest(database: Database, version_id: int) -> str:
    with database.read() as session:
        return session.get_one(DatasetVersion, version_id).manifest_sha256


def cut_its_last_line(settings: Settings, job_id: int) -> int:
    """As if the kill had come while it was written; returns how many lines are left whole."""
    journal: Path = settings.jobs_dir / str(job_id) / "1" / "checkpoints" / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:100])
    return len(lines) - 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_killed_in_the_middle_it_goes_on_and_the_manifest_is_the_same(
    database: Database, settings: Settings, storage: Storage, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
) -> None:  # fmt: skip
    files = pictures("a", PER_CLASS) | pictures("b", PER_CLASS)
    importer = Importer(database, settings, storage, who)
    worker = workers.start("workers")
    disturbed = importer.request(importer.send_folder(files), "disturbed").id
    job = wait_for(disturbed, lambda job: job.done >= 50 and job.state == JobState.RUNNING, within_s=100)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    num_whole = cut_its_last_line(settings, disturbed)
    with database.write() as session:
        assert leases.take_from_owner(session, str(job.owner), reason="its worker was killed", is_crash=True)
    workers.start("workers")
    job = wait_for(disturbed, is_finished, within_s=100)
    assert (job.state, job.attempt, job.crashes) == (JobState.SUCCEEDED, 2, 1), messages(database, disturbed)
    assert job.resumed_from == num_whole
    with database.read() as session:
        logged = [event.data["text"] for event in jobs.events_after(session, disturbed, 0) if event.kind == "log"]
    assert f"Going on after {num_whole:,} files of an earlier attempt." in logged
    undisturbed = importer.request(importer.send_folder(files), "undisturbed").id
    straight = wait_for(undisturbed, is_finished, within_s=100)
    assert manifest(database, job.result["version_id"]) == manifest(database, straight.result["version_id"])
