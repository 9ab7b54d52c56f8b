"""Run one job from claim to end: keep its lease, obey what people ask, and write down how it ended.

Numerics run in the process's main thread; a thread beside it beats. Where a step takes longer than people
should wait for a cancel, that thread ends the job in the database, and the lease that is lost by it stops the rest.
"""

import importlib
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from app.core import leases, states
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import StudioError
from app.core.leases import Lease
from app.core.software import versions
from app.core.storage import Storage
from models import Job, JobKind, JobState, Queue
from models.job import BEAT_S
from models.specs import job_spec_adapter
from workers import failures
from workers.context import JobCancelled, JobContext, JobPaused, JobReleased, LeaseLost, Recorder
from workers.device import describe, threads

POLL_S = 0.5
CANCEL_GRACE_S = 5.0
KEPT_ATTEMPTS = 3
log = structlog.get_logger(__name__)


JobFunction = Callable[[JobContext, Any], Recorder]


def run_function(kind: JobKind) -> JobFunction:
    """The function that does jobs of this kind; its module, and the numerics it needs, are imported on first use."""
    run: JobFunction = importlib.import_module(f"workers.jobs.{kind}").run
    return run


class Runner:
    """One worker process's way to do jobs: where things are, and whether it is being stopped."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        storage: Storage,
        queues: Collection[Queue],
        owner: str,
        device: Callable[[], str],
        functions: Callable[[JobKind], JobFunction] = run_function,
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._queues = queues
        self._owner = owner
        self._device = device
        self._functions = functions
        self._current: JobContext | None = None
        self.stopping = False

    def stop(self) -> None:
        """Finish the step, save, give the job back and take no other. Safe in a signal handler."""
        self.stopping = True
        if self._current is not None:
            self._current.flags.release = True

    def run_waiting(self) -> int:
        """Do jobs of this worker's queues, best first, until none waits; returns how many."""
        num_done = 0
        while not self.stopping:
            with self._database.write() as session:
                job = leases.claim_next(session, queues=self._queues, owner=self._owner)
            if job is None:
                break
            self._run(job)
            num_done += 1
        return num_done

    def _run(self, job: Job) -> None:
        lease = Lease(job.id, job.attempt, self._owner)
        log.info("job_started", job_id=job.id, kind=str(job.kind), attempt=job.attempt)
        try:
            outcome = self._attempt(job, lease)
        except (OperationalError, InterfaceError) as error:
            if failures.describe(error)["code"] != "disk-full":
                log.error("database_lost", job_id=job.id, error=str(error))  # the sweep gives the job to somebody else
                return
            outcome = _Outcome(JobState.FAILED, "The disk is full.", failures.describe(error))
        if outcome is not None:
            self._end(lease, outcome)
        self._tidy(job.id)
        log.info("job_ended", job_id=job.id, attempt=job.attempt, outcome=outcome.message if outcome else "recorded")

    def _attempt(self, job: Job, lease: Lease) -> "_Outcome | None":
        """Run the job's code; returns how the job ends, None where it is somebody else's or has ended already."""
        try:
            context = self._make_context(job, lease)
        except Exception as error:
            return _failed(error)
        self._current = context
        context.flags.release = self.stopping
        heart = Heart(context, self._database, lease)
        heart.start()
        try:
            recorder = self._functions(job.kind)(context, context.spec)
            self._record(heart, context, lease, recorder)
            return None
        except LeaseLost:
            return None
        except JobCancelled:
            return _Outcome(JobState.CANCELLED, "Cancelled.")
        except JobPaused:
            return _Outcome(JobState.PAUSED, "Paused.")
        except JobReleased:
            return _Outcome(JobState.QUEUED, "Given back: the worker was stopped. It goes on when a worker is free.")
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            if not isinstance(error, StudioError):
                context.log("".join(traceback.format_exception(error))[-8000:], level="error")
            return _failed(error)
        finally:
            self._current = None
            heart.stop()

    def _make_context(self, job: Job, lease: Lease) -> JobContext:
        context = JobContext(
            lease=lease, project_id=job.project_id, spec=job_spec_adapter.validate_python(job.spec), database=self._database,
            storage=self._storage, settings=self._settings, device=self._device(),
        )  # fmt: skip
        context.flags.stop = job.stop_requested_at is not None
        _forget_old_attempts(context)
        return context

    def _record(self, heart: "Heart", context: JobContext, lease: Lease, recorder: Recorder) -> None:
        """Everything that a job made becomes visible here, in one transaction, or not at all."""
        ran_with = {"device": describe(context.device), **threads(), **versions()}
        heart.stop()
        with self._database.write() as session:
            job = leases.hold(session, lease)
            if job is None:
                raise LeaseLost
            if job.cancel_requested_at is not None:
                raise JobCancelled
            result = recorder(session, job)
            job.ran_with = ran_with
            kept = " Stopped early, as asked, and kept what there was." if job.stop_requested_at else ""
            states.move(session, job, JobState.SUCCEEDED, message=f"Done.{kept}", result=result, error=None)
        log.info("job_succeeded", job_id=lease.job_id, result=result)

    def _end(self, lease: Lease, outcome: "_Outcome") -> None:
        with self._database.write() as session:
            leases.end(session, lease, outcome.state, message=outcome.message, error=outcome.error)

    def _tidy(self, job_id: int) -> None:
        """Nobody goes on from the checkpoints of a job that succeeded or was cancelled."""
        with self._database.read() as session:
            job = session.get(Job, job_id)
        if job is None or job.state in (JobState.SUCCEEDED, JobState.CANCELLED):
            shutil.rmtree(self._settings.jobs_dir / str(job_id), ignore_errors=True)


class _Outcome(NamedTuple):
    state: JobState
    message: str
    error: dict[str, Any] | None = None


def _failed(error: Exception) -> _Outcome:
    described = failures.describe(error)
    return _Outcome(JobState.FAILED, f"Failed: {described['title']}.", described)


def _forget_old_attempts(context: JobContext) -> None:
    """Keep the folders of the newest attempts that have checkpoints; the others can be of no more use."""
    with_checkpoints = [folder.parent for folder in context.checkpoint_folders() if any(folder.iterdir())]
    kept = {context.folder, *with_checkpoints[:KEPT_ATTEMPTS]}
    for folder in context.folder.parent.iterdir():
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)


class Heart(threading.Thread):
    """Beats for a job: keeps its lease, writes its progress and hears what people ask, twice a second."""

    def __init__(self, context: JobContext, database: Database, lease: Lease) -> None:
        super().__init__(name=f"heart of job {lease.job_id}", daemon=True)
        self._context = context
        self._database = database
        self._lease = lease
        self._stopping = threading.Event()
        self._last_beat = time.monotonic()
        self._cancelled_at: float | None = None

    def run(self) -> None:
        while not self._stopping.wait(POLL_S) and not self._context.flags.lost:
            try:
                self._tick()
            except SQLAlchemyError as error:  # tried again at once; the lease has three beats of patience
                log.warning("beat_failed", job_id=self._lease.job_id, error=str(error))

    def stop(self) -> None:
        """Stop beating and write down what is still to be written; may be called again."""
        self._stopping.set()
        self.join()
        if self._context.has_news and not self._context.flags.lost:
            self._context.flush()

    def _tick(self) -> None:
        if self._context.has_news or time.monotonic() - self._last_beat > BEAT_S:
            if not self._context.flush():
                self._context.flags.lost = True
                return
            self._last_beat = time.monotonic()
        with self._database.read() as session:
            wishes = leases.wishes(session, self._lease)
        flags = self._context.flags
        if wishes is None:
            flags.lost = True
            return
        flags.cancel, flags.stop, flags.pause = wishes
        if wishes.cancel:
            self._end_if_the_step_is_long()

    def _end_if_the_step_is_long(self) -> None:
        """A cancel is done within seconds, whatever the step: end the job here and let the step's result be lost."""
        now = time.monotonic()
        self._cancelled_at = self._cancelled_at or now
        if now - self._cancelled_at < CANCEL_GRACE_S:
            return
        with self._database.write() as session:
            leases.end(session, self._lease, JobState.CANCELLED, message="Cancelled.")
        self._context.flags.lost = True
