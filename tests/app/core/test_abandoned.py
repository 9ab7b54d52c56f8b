"""Uploads that nobody goes on with lose their bytes after some days, and no other upload does."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from app.core.abandoned import DAY_S, discard_abandoned
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.queue import Doorbell
from app.core.storage import Storage
from app.core.sweeper import Sweeper
from app.services import uploads
from app.services.identity import Identity
from models import Job, JobState, Upload, UploadState, db_now
from tests.app.core.hostile import zipped
from tests.imports import Importer, pictures

DAYS = 7.0


@pytest.fixture
def importer(database: Database, settings: Settings, storage: Storage, who: Identity) -> Importer:
    return Importer(database, settings, storage, who)


def folder_of(importer: Importer, upload: Upload) -> Path:
    return importer.settings.uploads_dir / str(upload.id)


def grow_old(importer: Importer, upload: Upload, *, days: float, row_days: float | None = None) -> None:
    """As if the last byte had come so many days ago, and the upload had been begun then or `row_days` ago."""
    with importer.database.write() as session:
        begun = db_now(-(days if row_days is None else row_days) * DAY_S)
        session.execute(update(Upload).where(Upload.id == upload.id).values(created_at=begun))
    folder = folder_of(importer, upload)
    for place in (folder, *folder.rglob("*")) if folder.exists() else ():
        os.utime(place, (time.time() - days * DAY_S,) * 2)


def state(importer: Importer, upload: Upload) -> UploadState:
    with importer.database.read() as session:
        return UploadState(session.get_one(Upload, upload.id).state)


def test_one_that_nobody_goes_on_with_is_discarded_with_its_bytes(importer: Importer) -> None:
    planned = importer.send_folder(pictures("a", 3))
    with importer.database.write() as session:
        empty = uploads.start(session, importer.who, kind="archive", name="never sent")
    for upload in (planned, empty):
        grow_old(importer, upload, days=DAYS + 0.1)
    assert discard_abandoned(importer.database, importer.settings) == [planned.id, empty.id]
    assert (state(importer, planned), state(importer, empty)) == (UploadState.DISCARDED, UploadState.DISCARDED)
    assert not folder_of(importer, planned).exists()
    with importer.database.read() as session, pytest.raises(ConflictError, match="takes no files"):
        uploads.folder(importer.settings, uploads.get(session, importer.who, planned.id))
    assert discard_abandoned(importer.database, importer.settings) == []


def test_a_younger_one_and_one_that_still_grows_are_left_alone(importer: Importer) -> None:
    younger = importer.send_folder(pictures("a", 2))
    grow_old(importer, younger, days=DAYS - 0.1)
    growing = importer.send_archive(zipped(*pictures("b", 2).items()))
    grow_old(importer, growing, days=0.5, row_days=30)
    assert discard_abandoned(importer.database, importer.settings) == []
    assert folder_of(importer, younger).exists()
    assert folder_of(importer, growing).exists()


def test_the_number_of_days_is_a_setting(importer: Importer) -> None:
    upload = importer.send_folder(pictures("a", 2))
    grow_old(importer, upload, days=1)
    shorter = importer.settings.model_copy(update={"upload_days": 0.5})
    assert discard_abandoned(importer.database, shorter) == [upload.id]


@pytest.mark.parametrize("job_state", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
def test_one_that_waits_for_its_import_is_left_alone(importer: Importer, job_state: JobState) -> None:
    upload = importer.send_folder(pictures("a", 2))
    job = importer.request(upload)
    grow_old(importer, upload, days=30)
    with importer.database.write() as session:
        session.get_one(Job, job.id).state = job_state
    assert discard_abandoned(importer.database, importer.settings) == []


@pytest.mark.parametrize(("ended_days_ago", "is_discarded"), [(1, False), (DAYS + 1, True)])
def test_a_failed_import_may_be_tried_again_for_some_days(
    importer: Importer, ended_days_ago: float, is_discarded: bool
) -> None:
    upload = importer.send_folder(pictures("a", 2))
    job = importer.request(upload)
    grow_old(importer, upload, days=30)
    with importer.database.write() as session:
        ended = {"state": JobState.FAILED, "finished_at": db_now(-ended_days_ago * DAY_S)}
        session.execute(update(Job).where(Job.id == job.id).values(ended))
    assert discard_abandoned(importer.database, importer.settings) == ([upload.id] if is_discarded else [])
    assert folder_of(importer, upload).exists() is not is_discarded


def test_one_that_was_imported_stays_imported(importer: Importer) -> None:
    upload = importer.send_folder(pictures("a", 4) | pictures("b", 4))
    importer.request(upload)
    assert importer.work() == 2  # the import, and the check that follows it
    grow_old(importer, upload, days=30)
    assert discard_abandoned(importer.database, importer.settings) == []
    assert state(importer, upload) == UploadState.IMPORTED


def test_several_at_once_discard_each_upload_once(importer: Importer) -> None:
    old = [importer.send_folder(pictures("a", 1, start=k)) for k in range(6)]
    for upload in old:
        grow_old(importer, upload, days=30)
    with ThreadPoolExecutor(4) as executor:
        rounds = list(executor.map(lambda _: discard_abandoned(importer.database, importer.settings), range(4)))
    assert sorted(upload_id for found in rounds for upload_id in found) == [upload.id for upload in old]


def test_the_sweeper_looks_when_its_process_starts(importer: Importer) -> None:
    upload = importer.send_folder(pictures("a", 1))
    grow_old(importer, upload, days=30)
    doorbell = Doorbell(importer.settings)
    sweeper = Sweeper(importer.database, doorbell, importer.settings)
    sweeper.start()
    end = time.monotonic() + 30
    while state(importer, upload) != UploadState.DISCARDED and time.monotonic() < end:
        time.sleep(0.05)
    sweeper.stop()
    doorbell.close()
    assert state(importer, upload) == UploadState.DISCARDED
