"""A studio in one process: jobs are submitted by the real service and done by the real runner, on SQLite and the CPU."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.core import leases, states
from app.core.config import Settings
from app.core.db import Database
from app.core.leases import Lease
from app.core.storage import Storage
from app.services import jobs
from app.services.identity import Identity
from models import Artifact, DatasetVersion, Event, Job, JobState, Metric, Queue
from models.specs import JobSpec, job_spec_adapter
from tests import factories
from workers.context import JobContext, JobInterrupted
from workers.runner import Runner, run_function

OWNER = "test-worker"
TINY_NETWORK: dict[str, Any] = {
    "preset": "tiny", "image_size": 16, "patch_size": 2, "stem_channels": 8, "block_channels": [8, 16],
    "attention_levels": [1], "layers_per_block": 1, "batch_size": 4,
}  # fmt: skip


class Killed(BaseException):
    """Stands for kill -9: nothing in the job may handle it."""


class ScriptedContext(JobContext):
    """A real context that calls `at_report(context, done)` whenever the job reports. news: what it says then."""

    at_report: Callable[[JobContext, int], None]
    news: dict[str, Any]

    def report(self, done: int, total: int | None = None, **news: Any) -> None:
        self.news = news
        self.at_report(self, done)
        super().report(done, total, **news)


class Studio:
    def __init__(self, settings: Settings, database: Database, storage: Storage, who: Identity) -> None:
        self.settings, self.database, self.storage, self.who = settings, database, storage, who

    def submit(self, spec: JobSpec) -> int:
        with self.database.write() as session:
            return jobs.submit(session, self.who, spec).id

    def run(self, spec: JobSpec) -> Job:
        """Submit and do a job; fails with the job's own words if it does not succeed."""
        job_id = self.submit(spec)
        job = self.work(job_id)
        assert job.state == JobState.SUCCEEDED, job.error
        return job

    def work(self, job_id: int) -> Job:
        """Let a real runner do whatever waits."""
        runner = Runner(
            settings=self.settings, database=self.database, storage=self.storage, queues=list(Queue), owner=OWNER,
            device=lambda: "cpu",
        )  # fmt: skip
        runner.run_waiting()
        return self.job(job_id)

    def attempt_until(self, job_id: int, at_report: Callable[[JobContext, int], None]) -> JobContext:
        """One attempt that ends by Killed or an interruption; the job waits again afterwards."""
        context, lease = self._claim(job_id, at_report)
        with pytest.raises((Killed, JobInterrupted)):
            run_function(context.spec.kind)(context, context.spec)
        context.flush()
        with self.database.write() as session:
            leases.end(session, lease, JobState.QUEUED, message="back")
        return context

    def attempt(self, job_id: int, at_report: Callable[[JobContext, int], None]) -> Job:
        """One attempt that goes through and is recorded."""
        context, lease = self._claim(job_id, at_report)
        recorder = run_function(context.spec.kind)(context, context.spec)
        context.flush()
        with self.database.write() as session:
            job = leases.hold(session, lease)
            assert job is not None
            states.move(session, job, JobState.SUCCEEDED, message="Done.", result=recorder(session, job))
        return self.job(job_id)

    def _claim(self, job_id: int, at_report: Callable[[JobContext, int], None]) -> tuple[ScriptedContext, Lease]:
        with self.database.write() as session:
            job = leases.claim_next(session, queues=list(Queue), owner=OWNER)
            assert job is not None
            assert job.id == job_id
        lease = Lease(job.id, job.attempt, OWNER)
        context = ScriptedContext(
            lease=lease, project_id=job.project_id, spec=job_spec_adapter.validate_python(job.spec),
            database=self.database, storage=self.storage, settings=self.settings, device="cpu",
        )  # fmt: skip
        context.at_report = at_report
        return context, lease

    def kill_at(self, job_id: int, step: int) -> JobContext:
        def at_report(context: JobContext, done: int) -> None:
            if done >= step:
                raise Killed

        return self.attempt_until(job_id, at_report)

    def job(self, job_id: int) -> Job:
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def set(self, job_id: int, **values: Any) -> None:
        """Write into the job's row, as if it had happened."""
        with self.database.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(values))

    def made(self, table: type[Any], job: Job, option: str) -> Any:
        assert job.result is not None
        with self.database.read() as session:
            return session.get_one(table, job.result[option])

    def rows(self, query: Any) -> list[Any]:
        with self.database.read() as session:
            return list(session.scalars(query))

    def artifacts(self, job: Job, role: str) -> list[Artifact]:
        return self.rows(
            select(Artifact).where(Artifact.job_id == job.id, Artifact.role == role).order_by(Artifact.index)
        )

    def metric(self, job: Job, name: str) -> list[tuple[int, float]]:
        rows = self.rows(select(Metric).where(Metric.job_id == job.id, Metric.name == name).order_by(Metric.step))
        return [(row.step, row.value) for row in rows]

    def log(self, job: Job) -> str:
        rows = self.rows(select(Event).where(Event.job_id == job.id, Event.kind == "log").order_by(Event.number))
        return "\n".join(row.data["text"] for row in rows)


@pytest.fixture
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    """SQLite only: jobs reach the database through the context, which has tests of its own on both."""
    return f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path / 'studio.sqlite3')}"


@pytest.fixture
def studio(settings: Settings, database: Database, storage: Storage, who: Identity) -> Studio:
    return Studio(settings, database, storage, who)


@pytest.fixture
def version_id(studio: Studio) -> int:
    """Twenty drawn shapes of two classes: 14 to learn from, 2 to validate, 4 to test."""
    with studio.database.write() as session:
        return factories.dataset_with_version(session, studio.who, num_images=20, storage=studio.storage).id


@pytest.fixture
def dataset_id(studio: Studio, version_id: int) -> int:
    with studio.database.read() as session:
        return session.get_one(DatasetVersion, version_id).dataset_id
