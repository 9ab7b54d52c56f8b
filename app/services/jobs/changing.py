"""What a person may do with a job that is there: cancel, stop and keep, pause, resume, try again.

What is asked of a running job is only a column; the worker reads it within a second and does the rest. A job that nobody
works on is moved at once, by the same rules of state (models.job.NEXT_STATES).
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import journal, states
from app.core import parts as job_parts
from app.core.errors import ConflictError
from app.core.submission import audit
from app.services import studies
from app.services.identity import Identity
from app.services.rows import owned
from models import Job, JobKind, JobState, db_now

CAN_STOP = frozenset(
    {JobKind.TRAIN_DIFFUSION, JobKind.TRAIN_CLASSIFIER, JobKind.SAMPLE, JobKind.SAMPLE_PART, JobKind.EXPLAIN}
)
CAN_PAUSE = CAN_STOP
AGAIN: dict[str, Any] = {"crashes": 0, "error": None, "stop_requested_at": None, "cancel_requested_at": None}


def actions(job: Job, parts: Sequence[Job] = ()) -> set[str]:
    """What a person may do with the job, which has these parts, now: cancel, stop, pause, resume, retry."""
    if job.cancel_requested_at is not None and not job.is_finished:
        return set()
    running, failed = job.state == JobState.RUNNING, job.state == JobState.FAILED
    pausable = job.state == JobState.QUEUED or (running and job.kind in CAN_PAUSE and job.pause_requested_at is None)
    stoppable = (running and job.kind in CAN_STOP) or (job.state == JobState.WAITING and _have_drawn(parts))
    possible = {
        "cancel": not job.is_finished or (failed and any(not part.is_finished for part in parts)),
        "stop": stoppable and job.stop_requested_at is None,
        "pause": pausable,
        "resume": job.state == JobState.PAUSED or (running and job.pause_requested_at is not None),
        "retry": failed and (not states.failed_by_input(job) or bool(_failed_themselves(parts))),
    }
    return {name for name, is_possible in possible.items() if is_possible}


def _have_drawn(parts: Sequence[Job]) -> bool:
    """Whether the parts have begun, so that there may be something to keep of them."""
    begun = any(part.attempt for part in parts)
    return begun and not any(part.state in (JobState.WAITING, JobState.FAILED) for part in parts)


def _failed_themselves(parts: Sequence[Job]) -> list[Job]:
    return [part for part in parts if part.state == JobState.FAILED and not states.failed_by_input(part)]


def cancel(session: Session, who: Identity, job: Job) -> Job:
    """End the job and keep nothing of it, nor of those that wait for its result, nor of its parts. Asking again changes nothing.

    A part is cancelled with all that it is a part of: without it, the others are drawn for nothing.
    """
    whole = job_parts.wholes_of(session, [job.id]).get(job.id, job)
    parts = job_parts.lock(session, whole)
    job = _lock(session, who, job)
    if job.cancel_requested_at is not None:
        return job
    going = {JobState.WAITING, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED}
    with_it = job_parts.to_cancel(session, whole, parts)
    allowed = going | ({JobState.FAILED} if with_it and job is whole else set())
    _require(job, allowed, "cancelled", "Only what has not ended can be cancelled.")
    for each in [_lock(session, who, whole), *with_it]:
        _cancel(session, who, each)
    return job


def _cancel(session: Session, who: Identity, job: Job) -> None:
    job.cancel_requested_at = _now(session)
    audit(session, job, "cancel", actor=who.name)
    if job.state == JobState.RUNNING:
        journal.write_state(session, job.id, job.state, "Cancelling.")
    else:
        states.move(session, job, JobState.CANCELLED, message="Cancelled.", error=None)


def stop_and_keep(session: Session, who: Identity, job: Job) -> Job:
    """Let a running job finish its step and end with what there is; or all parts of one that waits for them."""
    parts = job_parts.lock(session, job)
    job = _lock(session, who, job)
    _refuse_if_cancelled(job)
    if job.state == JobState.WAITING and parts:
        return _stop_parts(session, who, job, parts)
    _require(
        job, {JobState.RUNNING}, "stopped", "Only a running job has something to keep; cancel or resume it instead."
    )
    _require_kind(job, CAN_STOP, "stopped half-way: it makes all or nothing", "Cancel it, or let it end.")
    _stop(session, who, job)
    return job


def _stop_parts(session: Session, who: Identity, job: Job, parts: Sequence[Job]) -> Job:
    if not _have_drawn(parts):
        raise ConflictError(
            f"Job {job.id} cannot be stopped yet: none of its parts has begun, so there is nothing to keep.",
            hint="Cancel it, or wait until they have begun.",
        )
    for part in parts:
        if not part.is_finished:
            part.pause_requested_at = None
            _stop(session, who, part)
        if part.state == JobState.PAUSED:
            states.move(session, part, JobState.QUEUED, message="Waiting for a worker, to end with what there is.")
    _stop(session, who, job)
    return job


def _stop(session: Session, who: Identity, job: Job) -> None:
    if job.stop_requested_at is None:
        job.stop_requested_at = _now(session)
        audit(session, job, "stop", actor=who.name)
        journal.write_state(session, job.id, job.state, "Finishing early: what there is will be kept.")


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

    Of a job that failed because parts of it did, those parts alone are tried again.
    Raises ConflictError for one that failed because another did, and that one still has.
    """
    parts = job_parts.lock(session, job)
    job = _lock(session, who, job)
    _require(
        job, {JobState.FAILED}, "tried again", "Only a failed job can be tried again; copy any other into a new one."
    )
    if not states.failed_by_input(job):
        _try_again(session, who, job)
        return job
    failed = _failed_themselves(parts)
    if not failed:
        needed = next(needed for _, needed in states.needs(session, job) if needed.state == JobState.FAILED)
        raise ConflictError(
            f"Job {job.id} never began: job {needed.id}, whose result it needs, failed.",
            hint=f"Try job {needed.id} again; this one then waits for it again.",
        )
    for part in failed:
        _try_again(session, who, part)
    return job


def _try_again(session: Session, who: Identity, job: Job) -> None:
    states.move(session, job, JobState.QUEUED, message="Waiting for a worker.", **AGAIN)
    studies.summarise_again(session, who, job_parts.wholes_of(session, [job.id]).get(job.id, job))
    audit(session, job, "retry", actor=who.name)


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
