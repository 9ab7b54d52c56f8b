"""Uploads and imports for tests: files given as {path: bytes} go the whole way, through a real runner."""

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.core.config import Settings
from app.core.db import Database
from app.core.storage import Storage
from app.services import datasets, jobs, uploads
from app.services.identity import Identity
from models import Job, JobKind, JobState, Queue, Upload, UploadKind
from models.specs import ImportSpec
from workers.runner import JobFunction, Runner, run_function


def picture(seed: int, *, mode: str = "L", form: str = "PNG", size: tuple[int, int] = (12, 9), **options: Any) -> bytes:
    """An image file of noise: other seeds have other pixels."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(target, form, **options)
    return target.getvalue()


def pictures(folder: str, number: int, *, start: int = 0, **options: Any) -> dict[str, bytes]:
    """`number` files of distinct pixels in `folder`."""
    first = sum(folder.encode()) * 1000 + start
    return {f"{folder}/{i:03d}.png": picture(first + i, **options) for i in range(start, start + number)}


class Importer:
    def __init__(self, database: Database, settings: Settings, storage: Storage, who: Identity) -> None:
        self.database, self.settings, self.storage, self.who = database, settings, storage, who

    def send_folder(self, files: dict[str, bytes]) -> Upload:
        with self.database.write() as session:
            upload = uploads.start(session, self.who, kind=UploadKind.FOLDER, name="folder")
        place = uploads.folder(self.settings, upload)
        received = [place.receive_file(path, io.BytesIO(data), bytes_so_far=0) for path, data in files.items()]
        with self.database.write() as session:
            upload = uploads.get(session, self.who, upload.id)
            uploads.add_files(session, self.settings, upload, received)
            uploads.plan(session, self.settings, upload)
        return upload

    def name_on_server(self, path: Path) -> Upload:
        with self.database.write() as session:
            upload = uploads.start_on_server(session, self.settings, self.who, path=str(path))
            uploads.plan(session, self.settings, upload)
        return upload

    def send_archive(self, archive: bytes | Path, name: str = "archive.zip") -> Upload:
        with self.database.write() as session:
            upload = uploads.start(session, self.who, kind=UploadKind.ARCHIVE, name=name)
        data = archive.read_bytes() if isinstance(archive, Path) else archive
        uploads.folder(self.settings, upload).receive_archive(io.BytesIO(data))
        with self.database.write() as session:
            upload = uploads.get(session, self.who, upload.id)
            uploads.note_size(session, self.settings, upload)
            uploads.plan(session, self.settings, upload)
        return upload

    def request(self, upload: Upload, name: str = "images", **options: Any) -> Job:
        with self.database.write() as session:
            upload = uploads.get(session, self.who, upload.id)
            return datasets.request_import(
                session, self.who, upload, ImportSpec(upload_id=upload.id, name=name, **options)
            )

    def request_addition(self, upload: Upload, dataset_id: int, **options: Any) -> Job:
        with self.database.write() as session:
            spec = ImportSpec(upload_id=upload.id, dataset_id=dataset_id, **options)
            return datasets.request_import(session, self.who, uploads.get(session, self.who, upload.id), spec)

    def add(self, files: dict[str, bytes], dataset_id: int, **options: Any) -> Job:
        """Add the files to a dataset, and return the job as it ended."""
        job = self.request_addition(self.send_folder(files), dataset_id, **options)
        self.work()
        return self.job(job)

    def work(self, functions: Callable[[JobKind], JobFunction] = run_function) -> int:
        """Do the waiting imports in this process; returns how many."""
        return self.runner(functions).run_waiting()

    def runner(self, functions: Callable[[JobKind], JobFunction] = run_function) -> Runner:
        return Runner(
            functions=functions,
            settings=self.settings,
            database=self.database,
            storage=self.storage,
            queues=[Queue.IO],
            owner="tester",
            device=lambda: "cpu",
        )

    def work_until_cancelled(self, job: Job) -> Job:
        """Do the job, which somebody cancels as soon as it runs; return it as it ended."""

        def cancel_once_it_runs() -> None:
            while self.job(job).state != JobState.RUNNING:
                time.sleep(0.02)
            with self.database.write() as session:
                jobs.cancel(session, self.who, session.get_one(Job, job.id))

        somebody = threading.Thread(target=cancel_once_it_runs, daemon=True)
        somebody.start()
        self.work()
        somebody.join(timeout=60)
        return self.job(job)

    def job(self, job: Job) -> Job:
        with self.database.read() as session:
            return session.get_one(Job, job.id)

    def run(self, upload: Upload, name: str = "images", **options: Any) -> Job:
        """Import the upload, and return its job as it ended."""
        job = self.request(upload, name, **options)
        self.work()
        return self.job(job)
