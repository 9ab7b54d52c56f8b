"""Jobs: the record of work asked for, and of everything that happened while it was done.

The row is the job; a broker message is only a doorbell. `attempt` is the fencing token:
only the worker whose attempt is still the row's may write the result.
"""

import datetime as dt
import enum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, WithId, db_now

LEASE_S = 30.0
BEAT_S = 10.0
SWEEP_S = 10.0
MAX_ATTEMPTS = 3
PARTS = "parts"  # the option of a need that is a part: see JobNeed


class JobKind(enum.StrEnum):
    IMPORT_DATASET = "import_dataset"
    CHECK_DATASET = "check_dataset"
    TRAIN_DIFFUSION = "train_diffusion"
    SAMPLE = "sample"
    SAMPLE_PART = "sample_part"
    TRAIN_CLASSIFIER = "train_classifier"
    EVALUATE = "evaluate"
    EXPLAIN = "explain"
    SUMMARISE_STUDY = "summarise_study"
    AUDIT_SET = "audit_set"


class Queue(enum.StrEnum):
    GPU = "gpu"
    INTERACTIVE = "interactive"
    IO = "io"


QUEUE_OF = {
    JobKind.IMPORT_DATASET: Queue.IO,
    JobKind.CHECK_DATASET: Queue.IO,
    JobKind.TRAIN_DIFFUSION: Queue.GPU,
    JobKind.SAMPLE: Queue.GPU,
    JobKind.SAMPLE_PART: Queue.GPU,
    JobKind.TRAIN_CLASSIFIER: Queue.GPU,
    JobKind.EVALUATE: Queue.GPU,
    JobKind.EXPLAIN: Queue.INTERACTIVE,
    JobKind.SUMMARISE_STUDY: Queue.IO,
    JobKind.AUDIT_SET: Queue.GPU,
}


class JobState(enum.StrEnum):
    WAITING = "waiting"  # for jobs whose results it needs
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


NEXT_STATES: dict[JobState, set[JobState]] = {
    JobState.WAITING: {JobState.QUEUED, JobState.FAILED, JobState.CANCELLED},
    JobState.QUEUED: {JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED},
    JobState.RUNNING: {
        JobState.QUEUED,  # the lease was given back or ran out
        JobState.PAUSED,
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
    },
    JobState.PAUSED: {JobState.QUEUED, JobState.CANCELLED},
    JobState.SUCCEEDED: set(),
    # a person asked to try again: this one, or one whose result it needs; or to cancel what it needs
    JobState.FAILED: {JobState.QUEUED, JobState.WAITING, JobState.CANCELLED},
    JobState.CANCELLED: set(),
}
FINISHED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Job(WithId, Base):
    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        Index("ix_jobs_queue_order", "state", "queue", "priority", "id"),
        Index("ix_jobs_project_id_id", "project_id", "id"),
        {"sqlite_autoincrement": True},
    )

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    kind: Mapped[JobKind] = mapped_column(String(40))
    title: Mapped[str] = mapped_column(String(300))
    spec: Mapped[dict[str, Any]]  # the spec of its kind (models/specs/), complete
    state: Mapped[JobState] = mapped_column(String(20), default=JobState.QUEUED)
    queue: Mapped[Queue] = mapped_column(String(20))
    priority: Mapped[int] = mapped_column(default=0)  # greater goes first
    created_by: Mapped[str] = mapped_column(String(200))
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    step_key: Mapped[str | None] = mapped_column(String(64), index=True)  # equal for jobs that give the same result

    attempt: Mapped[int] = mapped_column(default=0)  # fencing token: grows with every claim
    crashes: Mapped[int] = mapped_column(default=0)  # claims that ended without a word
    owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[dt.datetime | None]
    rung_at: Mapped[dt.datetime | None]
    cancel_requested_at: Mapped[dt.datetime | None]
    stop_requested_at: Mapped[dt.datetime | None]  # stop and keep
    pause_requested_at: Mapped[dt.datetime | None]

    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int | None]
    rate: Mapped[float | None]  # units per second, as the job last measured
    unit: Mapped[str] = mapped_column(String(20), default="steps")  # what done and total count
    message: Mapped[str] = mapped_column(default="")  # one line on what it is doing now
    resumed_from: Mapped[int | None]  # where the last attempt went on, in `unit`
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    error: Mapped[dict[str, Any] | None]  # {code, title, detail, hint}
    result: Mapped[dict[str, Any] | None]  # {checkpoint_id: 3} and the like: the rows it made
    # {"device": "cpu (2 cores)", package: version} of the attempt that succeeded; None: it has not, or an older studio did it
    ran_with: Mapped[dict[str, Any] | None]

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    @property
    def fraction(self) -> float | None:
        """Share done in [0, 1]; None while the total is unknown."""
        if self.state == JobState.SUCCEEDED:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else None


class JobNeed(Base):
    """A job needs the result of another: it waits until that one succeeds, and its spec's `option` is then filled in.

    An option whose name ends in _ids takes several, in the order of `position`. A soft need is fulfilled when that job has ended,
    however it did: what it made is taken if there is anything.

    A need of the option `parts` names a part: a job that exists only for this one, which joins what its parts made. It fills in
    nothing, may be tried again by itself, and is cancelled with the job that it is a part of.
    """

    __tablename__ = "job_needs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    option: Mapped[str] = mapped_column(String(60), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, default=0)
    needs_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    is_soft: Mapped[bool] = mapped_column(default=False)

    @property
    def is_part(self) -> bool:
        return self.option == PARTS


class Metric(Base):
    """One point of a curve that a job drew."""

    __tablename__ = "metrics"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]


class Event(Base):
    """A numbered thing that happened in a job: what a page replays after a reload.

    kinds: state, progress, log, preview, artifact.
    """

    __tablename__ = "events"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[dt.datetime] = mapped_column(default=db_now())


class Artifact(WithId, Base):
    """A file that a job made. The bytes lie in storage under their sha256.

    roles: preview (index = step), checkpoint, classifier, image, report ...; `data` describes it.
    """

    __tablename__ = "artifacts"
    __table_args__ = (
        UniqueConstraint("job_id", "role", "index"),
        {"sqlite_autoincrement": True},
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(40))
    index: Mapped[int] = mapped_column(default=0)
    name: Mapped[str] = mapped_column(String(300))  # file name for a download
    media_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(BigId)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Worker(WithId, Base):
    """A worker process, as it described itself when it started."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), unique=True)
    queues: Mapped[list[str]]
    device: Mapped[str] = mapped_column(String(200))  # "cpu (2 cores)", "cuda: NVIDIA H100"
    memory_bytes: Mapped[int] = mapped_column(BigId)
    gflops: Mapped[float]  # measured at start on a convolution, float32 (bf16 on a GPU)
    seen_at: Mapped[dt.datetime]
