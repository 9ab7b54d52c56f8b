"""Jobs: ask for one, follow it, and change one's mind.

What a person asks of a running job is only a column; the worker reads it within a second and does the rest.
A job that nobody works on is moved at once, by the same rules of state (models.job.NEXT_STATES).
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core import journal, states
from app.core.errors import ConflictError
from app.core.submission import add_job, audit
from app.services import prepare, studies
from app.services.identity import Identity
from app.services.lineage import Linked
from app.services.lineage import lineage as lineage_of
from app.services.paging import Page, page
from app.services.rows import owned
from models import FINISHED, Artifact, Event, Job, JobKind, JobState, Metric, Worker, db_now
from models.job import LEASE_S
from models.specs import JobSpec

CAN_STOP = frozenset({JobKind.TRAIN_DIFFUSION, JobKind.TRAIN_CLASSIFIER, JobKind.SAMPLE, JobKind.EXPLAIN})
CAN_PAUSE = frozenset({JobKind.TRAIN_DIFFUSION, JobKind.TRAIN_CLASSIFIER, JobKind.SAMPLE, JobKind.EXPLAIN})
SLOWER, FASTER = 1.35, 0.85  # the range of a time left, about the rate last measured


def submit(
    session: Session,
    who: Identity,
    spec: JobSpec,
    *,
    title: str | None = None,
    idempotency_key: str | None = None,
    priority: int = 0,
) -> Job:
    """Ask for a job; a worker begins once the transaction is committed.

    The same idempotency_key with the same spec gives the job of the first time, with another spec a ConflictError.
    Raises what `prepare` raises where the spec names rows that are missing or do not fit.
    """
    if idempotency_key is not None and (known := _by_key(session, who, idempotency_key)):
        return _same_request(known, spec)
    complete, made_up_title = prepare.prepare(session, who, spec)
    try:
        return add_job(
            session, complete, project_id=who.project_id, created_by=who.name, title=title or made_up_title,
            priority=priority, idempotency_key=idempotency_key,
        )  # fmt: skip
    except IntegrityError:  # somebody sent the same key at the same moment
        known = _by_key(session, who, idempotency_key) if idempotency_key is not None else None
        if known is None:
            raise
        return _same_request(known, spec)


def _by_key(session: Session, who: Identity, key: str) -> Job | None:
    return session.scalar(select(Job).where(Job.project_id == who.project_id, Job.idempotency_key == key))


def _same_request(job: Job, spec: JobSpec) -> Job:
    """The job, if it was asked for with `spec`: what the spec left open may have been filled in since."""
    asked = {name: value for name, value in spec.model_dump(mode="json").items() if value not in (None, "")}
    differing = [name for name, value in asked.items() if job.spec.get(name) != value]
    if differing:
        raise ConflictError(
            f"This Idempotency-Key was used for job {job.id}, which was asked for with another {differing[0]}.",
            hint="Use a new key for a new job.",
        )
    return job


def get(session: Session, who: Identity, job_id: int) -> Job:
    return owned(session, who, Job, job_id, noun="job")


def listing(
    session: Session,
    who: Identity,
    *,
    kind: JobKind | None = None,
    state: JobState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Job]:
    """Newest first."""
    query = select(Job).where(Job.project_id == who.project_id)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if state is not None:
        query = query.where(Job.state == state)
    return page(session, query, key=Job.id, cursor=cursor, limit=limit)


def needs(session: Session, job: Job) -> list[Job]:
    """The jobs whose results this one needs, each once, by id."""
    return sorted(
        {needed.id: needed for _, needed in states.needs(session, job)}.values(), key=lambda needed: needed.id
    )


def active(session: Session, who: Identity) -> list[Job]:
    """Jobs that run, wait or are paused, in the order in which they are done."""
    query = select(Job).where(Job.project_id == who.project_id, Job.state.not_in(FINISHED))
    running_first = (Job.state != JobState.RUNNING, Job.state != JobState.QUEUED, Job.state == JobState.WAITING)
    return list(session.scalars(query.order_by(*running_first, Job.priority.desc(), Job.id)))


def counts_by_state(session: Session, who: Identity) -> dict[JobState, int]:
    query = select(Job.state, func.count()).where(Job.project_id == who.project_id).group_by(Job.state)
    found = {JobState(state): number for state, number in session.execute(query)}
    return {state: found.get(state, 0) for state in JobState}


def actions(job: Job) -> set[str]:
    """What a person may do with the job now: cancel, stop, pause, resume, retry."""
    if job.cancel_requested_at is not None and not job.is_finished:
        return set()
    running = job.state == JobState.RUNNING
    pausable = job.state == JobState.QUEUED or (running and job.kind in CAN_PAUSE and job.pause_requested_at is None)
    possible = {
        "cancel": not job.is_finished,
        "stop": running and job.kind in CAN_STOP and job.stop_requested_at is None,
        "pause": pausable,
        "resume": job.state == JobState.PAUSED or (running and job.pause_requested_at is not None),
        "retry": job.state == JobState.FAILED and not states.failed_by_input(job),
    }
    return {name for name, is_possible in possible.items() if is_possible}


def cancel(session: Session, who: Identity, job: Job) -> Job:
    """End the job and keep nothing of it, nor of those that wait for its result. Asking again changes nothing."""
    job = _lock(session, who, job)
    if job.cancel_requested_at is not None:
        return job
    _require(
        job,
        {JobState.WAITING, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED},
        "cancelled",
        "Only what has not ended can be cancelled.",
    )
    job.cancel_requested_at = _now(session)
    audit(session, job, "cancel", actor=who.name)
    if job.state == JobState.RUNNING:
        journal.write_state(session, job.id, job.state, "Cancelling.")
    else:
        states.move(session, job, JobState.CANCELLED, message="Cancelled.")
    return job


def stop_and_keep(session: Session, who: Identity, job: Job) -> Job:
    """Let a running job finish its step and end with what there is."""
    job = _lock(session, who, job)
    _refuse_if_cancelled(job)
    _require(
        job, {JobState.RUNNING}, "stopped", "Only a running job has something to keep; cancel or resume it instead."
    )
    _require_kind(job, CAN_STOP, "stopped half-way: it makes all or nothing", "Cancel it, or let it end.")
    if job.stop_requested_at is None:
        job.stop_requested_at = _now(session)
        audit(session, job, "stop", actor=who.name)
        journal.write_state(session, job.id, job.state, "Finishing early: what there is will be kept.")
    return job


def pause(session: Session, who: Identity, job: Job) -> Job:
    """Free the worker and keep a checkpoint; `resume` goes on from there."""
    job = _lock(session, who, job)
    _refuse_if_cancelled(job)
    _require(job, {JobState.QUEUED, JobState.RUNNING}, "paused", "Only what waits or runs can be paused.")
    if job.state == JobState.QUEUED:
        states.move(session, job, JobState.PAUSED, message="Paused.")
    else:
        _require_kind(job, CAN_PAUSE, "paused: it could not go on from where it was", "Cancel it, or let it end.")
        job.pause_requested_at = job.pause_requested_at or _now(session)
        journal.write_state(session, job.id, job.state, "Pausing: saving a checkpoint.")
    audit(session, job, "pause", actor=who.name)
    return job


def resume(session: Session, who: Identity, job: Job) -> Job:
    """Put a paused job back in the queue, or take back a pause that has not happened yet."""
    job = _lock(session, who, job)
    if job.state == JobState.RUNNING and job.pause_requested_at is not None:
        job.pause_requested_at = None
        journal.write_state(session, job.id, job.state, "Going on: not pausing after all.")
    else:
        _require(
            job, {JobState.PAUSED}, "resumed", "Only a paused job can be resumed; a failed one can be tried again."
        )
        states.move(session, job, JobState.QUEUED, message="Waiting for a worker.")
    audit(session, job, "resume", actor=who.name)
    return job


def retry(session: Session, who: Identity, job: Job) -> Job:
    """Try a failed job again, from its last checkpoint where it has one; what failed with it waits for it again.

    Raises ConflictError for one that failed because another did, and that one still has.
    """
    job = _lock(session, who, job)
    _require(
        job, {JobState.FAILED}, "tried again", "Only a failed job can be tried again; copy any other into a new one."
    )
    if states.failed_by_input(job):
        failed = [needed for _, needed in states.needs(session, job) if needed.state == JobState.FAILED]
        raise ConflictError(
            f"Job {job.id} never began: job {failed[0].id}, whose result it needs, failed.",
            hint=f"Try job {failed[0].id} again; this one then waits for it again.",
        )
    again: dict[str, Any] = {"crashes": 0, "error": None, "stop_requested_at": None, "cancel_requested_at": None}
    states.move(session, job, JobState.QUEUED, message="Waiting for a worker.", **again)
    studies.summarise_again(session, who, job)
    audit(session, job, "retry", actor=who.name)
    return job


def _lock(session: Session, who: Identity, job: Job) -> Job:
    """The job's row as it is now, and nobody else changes it until the transaction ends."""
    session.flush()
    session.refresh(job, with_for_update=True)
    return owned(session, who, Job, job.id, noun="job")


def _require(job: Job, states: Collection[JobState], done: str, hint: str) -> None:
    if job.state not in states:
        raise ConflictError(f"Job {job.id} is {job.state} and cannot be {done}.", hint=hint)


def _require_kind(job: Job, kinds: Collection[JobKind], done: str, hint: str) -> None:
    if job.kind not in kinds:
        raise ConflictError(f"A job of the kind {job.kind} cannot be {done}.", hint=hint)


def _refuse_if_cancelled(job: Job) -> None:
    if job.cancel_requested_at is not None and not job.is_finished:
        raise ConflictError(
            f"Job {job.id} is being cancelled.", hint="Copy it into a new job if you want it after all."
        )


def _now(session: Session) -> Any:
    return session.scalar(select(db_now()))


def duplicate(job: Job) -> dict[str, Any]:
    """The job's spec, to fill a form for another one like it."""
    return dict(job.spec)


def queue_position(session: Session, job: Job) -> int | None:
    """1 for the job that its queue does next; None unless it waits."""
    if job.state != JobState.QUEUED:
        return None
    before = or_(Job.priority > job.priority, (Job.priority == job.priority) & (Job.id < job.id))
    waiting = (Job.state == JobState.QUEUED) & (Job.queue == job.queue) & before
    return 1 + (session.scalar(select(func.count()).select_from(Job).where(waiting)) or 0)


def time_left(job: Job) -> tuple[float, float] | None:
    """(low, high) seconds until a running job ends, at the rate it last measured; None while that is unknown."""
    if job.state != JobState.RUNNING or not job.rate or job.total is None:
        return None
    seconds = max(job.total - job.done, 0) / job.rate
    return seconds * FASTER, seconds * SLOWER


def events_after(session: Session, job_id: int, after: int, limit: int = 500) -> list[Event]:
    """The job's events with a number greater than `after`, in order."""
    query = select(Event).where(Event.job_id == job_id, Event.number > after)
    return list(session.scalars(query.order_by(Event.number).limit(limit)))


def metrics(
    session: Session, job: Job, *, names: Collection[str] | None = None, max_points: int = 1000
) -> dict[str, list[tuple[int, float]]]:
    """Each curve as (step, value), evenly thinned in the database to about max_points; the last point always stays."""
    is_mine = [Metric.job_id == job.id] + ([Metric.name.in_(names)] if names is not None else [])
    sizes = select(Metric.name, func.count().label("size")).where(*is_mine).group_by(Metric.name)
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, size in session.execute(sizes.order_by(Metric.name)):
        rows = session.execute(_thinned(job, name, size, stride=max(1, -(-size // max_points))))
        curves[name] = [(step, value) for step, value in rows]
    return curves


def _thinned(job: Job, name: str, size: int, *, stride: int) -> Select[int, float]:
    number = func.row_number().over(order_by=Metric.step)
    all_rows = (
        select(Metric.step, Metric.value, number.label("number"))
        .where(Metric.job_id == job.id, Metric.name == name)
        .subquery()
    )
    kept = or_(all_rows.c.number % stride == 1 % stride, all_rows.c.number == size)
    return select(all_rows.c.step, all_rows.c.value).where(kept).order_by(all_rows.c.step)


def artifacts(session: Session, job: Job, role: str | None = None) -> list[Artifact]:
    query = select(Artifact).where(Artifact.job_id == job.id)
    if role is not None:
        query = query.where(Artifact.role == role)
    return list(session.scalars(query.order_by(Artifact.role, Artifact.index)))


def previews(session: Session, job: Job) -> list[Artifact]:
    """The pictures that a training drew on its way, by step."""
    return artifacts(session, job, "preview")


def workers(session: Session) -> list[Worker]:
    """Workers heard of lately."""
    return list(session.scalars(select(Worker).where(Worker.seen_at > db_now(-LEASE_S)).order_by(Worker.name)))


def lineage(session: Session, job: Job) -> list[Linked]:
    """What the job was made from, then what it made."""
    return lineage_of(session, job)
