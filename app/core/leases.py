"""Who works on which job: claim, beat, give back, end and sweep, as SQL on the job's row.

`attempt` is the fencing token and only ever grows; every statement of a worker names its attempt and its
owner, so what a worker does after its lease was taken away changes no row. Only the database's clock counts.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from app.core import journal
from app.core.states import move
from models import Job, JobState, Queue, Worker, db_now
from models.job import LEASE_S, MAX_ATTEMPTS

RING_AGAIN_S = 30.0
RINGS_AT_ONCE = 10
FORGET_WORKER_S = 24 * 3600.0
SILENCE = f"its worker has not been heard of for {LEASE_S:.0f} s"


class Lease(NamedTuple):
    job_id: int
    attempt: int
    owner: str


class Wishes(NamedTuple):
    """What people have asked of a running job."""

    cancel: bool
    stop: bool
    pause: bool


def claim_next(session: Session, *, queues: Collection[Queue], owner: str) -> Job | None:
    """Take the first waiting job of `queues` (priority, then age) for `owner`; None if nothing waits."""
    best = (
        select(Job.id)
        .where(Job.queue.in_(queues), _claimable())
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    claimed = session.execute(
        update(Job)
        .where(Job.id == best.scalar_subquery(), _claimable())
        .values(
            state=JobState.RUNNING, attempt=Job.attempt + 1, owner=owner, lease_until=db_now(LEASE_S), message="",
            started_at=func.coalesce(Job.started_at, db_now()), rate=None, error=None,
        )
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()  # fmt: skip
    if claimed is None:
        return None
    job = session.get_one(Job, claimed, populate_existing=True)
    journal.write_state(session, job.id, job.state, f"Started (attempt {job.attempt}) on {owner}.")
    return job


def _claimable() -> ColumnElement[bool]:
    return and_(Job.state == JobState.QUEUED, Job.cancel_requested_at.is_(None))


def _held(lease: Lease) -> ColumnElement[bool]:
    return and_(
        Job.id == lease.job_id,
        Job.attempt == lease.attempt,
        Job.owner == lease.owner,
        Job.state == JobState.RUNNING,
    )


def beat(session: Session, lease: Lease, **progress: Any) -> bool:
    """Keep the lease for another while and write columns of progress; False if the lease is lost."""
    statement = update(Job).where(_held(lease)).values(lease_until=db_now(LEASE_S), **progress)
    kept = session.execute(statement.returning(Job.id).execution_options(synchronize_session=False))
    return kept.scalar_one_or_none() is not None


def wishes(session: Session, lease: Lease) -> Wishes | None:
    """What people have asked of the job meanwhile; None if the lease is lost."""
    row = session.execute(
        select(Job.cancel_requested_at, Job.stop_requested_at, Job.pause_requested_at).where(_held(lease))
    ).one_or_none()
    return None if row is None else Wishes(*(time is not None for time in row))


def hold(session: Session, lease: Lease) -> Job | None:
    """The job's row, locked until the transaction ends, with a fresh lease; None if the lease is lost."""
    if not beat(session, lease):
        return None
    return session.get_one(Job, lease.job_id, populate_existing=True)


def end(session: Session, lease: Lease, state: JobState, *, message: str, **values: Any) -> bool:
    """End the attempt: the job is now in `state`. False, with nothing changed, if the lease is lost."""
    job = hold(session, lease)
    if job is None:
        return False
    move(session, job, state, message=message, **values)
    return True


def sweep(session: Session) -> list[Job]:
    """Take jobs away from workers that have gone silent, and forget workers long gone; returns those jobs."""
    session.execute(delete(Worker).where(Worker.seen_at < db_now(-FORGET_WORKER_S)))
    expired = and_(Job.state == JobState.RUNNING, Job.lease_until < db_now())
    return _take_away(session, expired, SILENCE, is_crash=True)


def take_from_owner(session: Session, owner: str, *, reason: str, is_crash: bool) -> list[Job]:
    """Take jobs away from an owner that is known to be dead, without waiting for the lease to run out."""
    mine = and_(Job.state == JobState.RUNNING, Job.owner == owner)
    return _take_away(session, mine, reason, is_crash=is_crash)


def _take_away(session: Session, condition: ColumnElement[bool], reason: str, *, is_crash: bool) -> list[Job]:
    query = select(Job).where(condition).with_for_update(skip_locked=True)
    jobs = list(session.scalars(query.execution_options(populate_existing=True)))
    for job in jobs:
        job.crashes += int(is_crash)
        _settle(session, job, reason)
    return jobs


def _settle(session: Session, job: Job, reason: str) -> None:
    """Decide where a job goes whose worker is gone."""
    if job.cancel_requested_at is not None:
        move(session, job, JobState.CANCELLED, message="Cancelled.")
    elif job.crashes >= MAX_ATTEMPTS:
        error = {
            "code": "crashed", "title": "Crashed repeatedly",
            "detail": f"The job was started {job.crashes} times and each time its worker died; the last time, {reason}.",
            "hint": "Most often memory ran out: ask for smaller images or batches. Then try again.",
        }  # fmt: skip
        move(session, job, JobState.FAILED, message="Crashed repeatedly.", error=error)
    elif job.pause_requested_at is not None:
        move(session, job, JobState.PAUSED, message="Paused.")
    else:
        move(session, job, JobState.QUEUED, message=f"Waiting to go on: {reason}.")


def needs_sweep(session: Session) -> bool:
    """Whether `sweep` would find a job: a cheap question that takes no lock."""
    expired = select(Job.id).where(Job.state == JobState.RUNNING, Job.lease_until < db_now()).limit(1)
    return session.scalar(expired) is not None


def unrung(session: Session, queue: Queue) -> list[int]:
    """The first waiting jobs of a queue for which nobody has rung lately."""
    lately = or_(Job.rung_at.is_(None), Job.rung_at < db_now(-RING_AGAIN_S))
    query = select(Job.id).where(Job.queue == queue, _claimable(), lately)
    return list(session.scalars(query.order_by(Job.priority.desc(), Job.id).limit(RINGS_AT_ONCE)))


def note_rung(session: Session, job_ids: Collection[int]) -> None:
    statement = update(Job).where(Job.id.in_(job_ids)).values(rung_at=db_now())
    session.execute(statement.execution_options(synchronize_session=False))
