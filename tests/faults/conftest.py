"""A real Valkey and real worker processes, all on one temporary data folder."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from app.core.broker import EmbeddedBroker
from app.core.config import Settings
from app.core.db import Database
from app.core.queue import Doorbell, attach
from models import Job
from tests.faults.counting import ROOT


class Workers:
    """Starts worker processes and stops those that are left at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, module: str = "tests.faults.counting", queues: str = "io", parent_fd: int | None = None
    ) -> subprocess.Popen[bytes]:
        settings = self.settings
        environment = os.environ | {
            "PHANTOM_DATA_DIR": str(settings.folder),
            "PHANTOM_DATABASE_URL": settings.effective_database_url,
            "PHANTOM_BROKER_URL": settings.broker_url,
        }
        command = [sys.executable, "-m", module, "--queues", queues]
        inherited = [] if parent_fd is None else [parent_fd]
        command += [part for fd in inherited for part in ("--parent-fd", str(fd))]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=inherited)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def broker(settings: Settings) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(settings)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def workers(settings: Settings) -> Iterator[Workers]:
    workers = Workers(settings)
    yield workers
    workers.stop()


@pytest.fixture
def doorbell(settings: Settings, database: Database) -> Iterator[Doorbell]:
    """Rings for the commits of `database`."""
    doorbell = Doorbell(settings)
    attach(database, doorbell)
    yield doorbell
    doorbell.close()


@pytest.fixture
def wait_for(database: Database) -> Callable[..., Job]:
    """A function that waits until a job's row fulfils a condition, and returns the row."""

    def wait(job_id: int, condition: Callable[[Job], bool], *, within_s: float) -> Job:
        end = time.monotonic() + within_s
        while True:
            with database.read() as session:
                job = session.get_one(Job, job_id)
            if condition(job):
                return job
            if time.monotonic() > end:
                raise AssertionError(
                    f"After {within_s} s the job is {job.state}, attempt {job.attempt}, {job.done} done: {job.message}"
                )
            time.sleep(0.05)

    return wait
