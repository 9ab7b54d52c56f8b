"""Jobs, their events, curves and files, and the workers that do them."""

import datetime as dt
import math
from typing import Any

from pydantic import ConfigDict, Field

from app.api.schemas.base import API, Out, file_url
from app.services.jobs import Family
from models import Artifact, Event, Job, JobKind, JobState, Queue, Worker


class JobError(Out):
    """Why a job failed."""

    code: str
    title: str
    detail: str
    hint: str


class TimeLeft(Out):
    """A range, in seconds: an estimate is never one number."""

    low_s: float
    high_s: float


class JobOut(Out):
    """One job: what was asked for, how far it is, how it ended."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "id": 12, "kind": "train_diffusion", "title": "Diffusion on brain-mri", "state": "running", "queue": "gpu",
                "priority": 0, "queue_position": None, "needs": [11], "parts": [], "part_of": None, "attempt": 1, "resumed_from": None, "done": 120, "total": 300,
                "unit": "steps", "rate": 3.1, "fraction": 0.4, "message": "Training", "time_left": {"low_s": 50, "high_s": 70},
                "actions": ["cancel", "pause", "stop"], "cancel_requested": False, "stop_requested": False, "pause_requested": False, "created_by": "ada",
                "created_at": "2026-01-02T03:04:05Z", "started_at": "2026-01-02T03:04:06Z", "finished_at": None,
                "error": None, "result": None, "spec": {"kind": "train_diffusion", "dataset_id": 1, "preset": "small"},
                "ran_with": None, "url": "/jobs/12",
            }
        },
    )  # fmt: skip

    id: int
    kind: JobKind
    title: str
    state: JobState
    queue: Queue
    priority: int
    queue_position: int | None = Field(description="1: the next of its queue. Null unless it waits, and in lists.")
    needs: list[int] | None = Field(description="Ids of the jobs whose results it needs. Null in lists.")
    parts: list[int] = Field(description="Ids of the jobs that do it in parts, of which it joins what they made.")
    part_of: int | None = Field(description="Id of the job that it is a part of.")
    attempt: int = Field(description="How many times a worker has taken it.")
    resumed_from: int | None = Field(description="Where the last attempt went on: what was done before it, in `unit`.")
    done: int = Field(description="In `unit`; by all of its parts until they are joined.")
    total: int | None
    unit: str = Field(description="What done and total count.")
    rate: float | None = Field(description="Units a second, as last measured.")
    fraction: float | None = Field(description="Share done, 0 to 1; null while the total is unknown.")
    message: str
    time_left: TimeLeft | None
    actions: list[str] = Field(description="What may be done with it now: cancel, stop, pause, resume, retry.")
    cancel_requested: bool
    stop_requested: bool
    pause_requested: bool
    created_by: str
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    error: JobError | None
    result: dict[str, Any] | None = Field(description="Ids of what it made, as {checkpoint_id: 3}.")
    spec: dict[str, Any] = Field(description="The complete spec, with every default written out.")
    ran_with: dict[str, str] | None = Field(
        description="Device and versions of packages of the attempt that succeeded; null until then, and for jobs of an older studio."
    )
    url: str = Field(description="Its page in the browser.")

    @classmethod
    def of(
        cls,
        job: Job,
        family: Family,
        *,
        time_left: tuple[float, float] | None,
        actions: set[str],
        queue_position: int | None = None,
        needs: list[int] | None = None,
    ) -> "JobOut":
        return cls(
            id=job.id, kind=JobKind(job.kind), title=job.title, state=JobState(job.state), queue=Queue(job.queue),
            priority=job.priority, queue_position=queue_position, needs=needs, parts=[part.id for part in family.parts],
            part_of=family.part_of.id if family.part_of is not None else None, attempt=job.attempt, resumed_from=job.resumed_from,
            done=family.done(job), total=job.total, unit=job.unit, rate=job.rate, fraction=family.fraction(job), message=job.message,
            time_left=TimeLeft(low_s=time_left[0], high_s=time_left[1]) if time_left else None,
            actions=sorted(actions), cancel_requested=job.cancel_requested_at is not None, stop_requested=job.stop_requested_at is not None,
            pause_requested=job.pause_requested_at is not None, created_by=job.created_by, created_at=job.created_at,
            started_at=job.started_at, finished_at=job.finished_at, error=_error(job), result=job.result,
            spec=job.spec, ran_with=job.ran_with, url=f"/jobs/{job.id}",
        )  # fmt: skip


def _error(job: Job) -> JobError | None:
    given = job.error
    if given is None:
        return None
    return JobError(**{part: str(given.get(part, "")) for part in ("code", "title", "detail", "hint")})


class EventOut(Out):
    """A numbered thing that happened: a change of state, progress, a line of the log, a preview, a file."""

    number: int
    kind: str = Field(description="state, progress, log, preview or artifact")
    data: dict[str, Any]
    created_at: dt.datetime

    @classmethod
    def of(cls, event: Event) -> "EventOut":
        return cls(number=event.number, kind=event.kind, data=event.data, created_at=event.created_at)


class EventsOut(Out):
    """Events in the order in which they happened."""

    items: list[EventOut]
    last: int = Field(description="Number of the last one given: ask for those after it next time.")
    finished: bool = Field(description="The job has ended: no further events will come after these.")


class Point(Out):
    """One point of a curve."""

    step: int
    value: float | None = Field(description="null: not a finite number")

    @classmethod
    def of(cls, step: int, value: float) -> "Point":
        return cls(step=step, value=value if math.isfinite(value) else None)


class MetricsOut(Out):
    """Curves by name, thinned by the studio to at most max_points each."""

    curves: dict[str, list[Point]]


class ArtifactOut(Out):
    """A file that the job made."""

    id: int
    role: str
    index: int = Field(description="Which of its role: the step, for previews.")
    name: str
    media_type: str
    size: int = Field(description="Bytes.")
    sha256: str
    data: dict[str, Any]
    url: str = Field(description="Where its bytes are.")
    created_at: dt.datetime

    @classmethod
    def of(cls, artifact: Artifact) -> "ArtifactOut":
        picture = artifact.media_type == "image/png"
        url = file_url(artifact.sha256) if picture else f"{API}/jobs/{artifact.job_id}/artifacts/{artifact.id}/content"
        return cls(
            id=artifact.id, role=artifact.role, index=artifact.index, name=artifact.name, media_type=artifact.media_type,
            size=artifact.size, sha256=artifact.sha256, data=artifact.data, url=url, created_at=artifact.created_at,
        )  # fmt: skip


class ArtifactsOut(Out):
    items: list[ArtifactOut]


class Relative(Out):
    """Something that a job was made from, or made."""

    kind: str
    id: int
    name: str
    url: str
    made: bool = Field(description="The job made it; else the job was made from it.")


class LineageOut(Out):
    items: list[Relative]


class EstimateOut(Out):
    """What a job would take on this studio's workers."""

    seconds_low: float
    seconds_high: float
    memory_bytes: int
    disk_bytes: int
    basis: str = Field(description="What the figures rest on.")


class WorkerOut(Out):
    """A worker process that is alive."""

    id: int
    name: str
    queues: list[str]
    device: str
    memory_bytes: int
    gflops: float = Field(
        description="Measured when it started: 10^9 multiply-adds of a convolution a second, times two."
    )
    seen_at: dt.datetime

    @classmethod
    def of(cls, worker: Worker) -> "WorkerOut":
        return cls(
            id=worker.id, name=worker.name, queues=worker.queues, device=worker.device,
            memory_bytes=worker.memory_bytes, gflops=worker.gflops, seen_at=worker.seen_at,
        )  # fmt: skip


class WorkersOut(Out):
    items: list[WorkerOut]
