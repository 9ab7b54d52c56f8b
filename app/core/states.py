"""Move a job from one state to another, and with it the jobs that need its result.

A job that needs others waits. In the transaction in which the last of them succeeds, its spec is completed with their
results and it is queued. One that fails fails those that wait for it, with the reason; trying it again lets them wait
again. One that is cancelled cancels them.

Locks are taken on a job, then on those that need it, by id: they were all made after it, so two transactions that end
two inputs of one job at the same moment take turns at that job's row, and the second sees both inputs.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session, aliased

from app.core import journal
from app.core.errors import ConflictError
from app.core.queue import ring_after_commit
from models import FINISHED, NEXT_STATES, Dataset, DatasetState, Job, JobKind, JobNeed, JobState, db_now
from models.specs import job_spec_adapter

INPUT_FAILED = "input-failed"


def move(session: Session, job: Job, state: JobState, *, message: str, **values: Any) -> None:
    """Put a job, whose row this transaction has locked, into `state`; nobody owns it afterwards.

    Raises ConflictError if a job in its present state cannot come into that one.
    """
    if state not in NEXT_STATES[job.state]:
        raise ConflictError(
            f"Job {job.id} is {job.state} and cannot become {state}.",
            hint=f"From {job.state} it can become {', '.join(sorted(NEXT_STATES[job.state])) or 'nothing else'}.",
        )
    was, job.state = job.state, state
    job.owner = job.lease_until = job.rung_at = None
    job.message = message
    job.pause_requested_at = None
    for name, value in values.items():
        setattr(job, name, value)
    job.finished_at = session.scalar(select(db_now())) if job.is_finished else None
    session.flush()
    _keep_dataset_in_step(session, job)
    journal.write_state(session, job.id, state, message)
    if state == JobState.QUEUED:
        ring_after_commit(session, job)
    _tell_dependents(session, job, was)


def _keep_dataset_in_step(session: Session, job: Job) -> None:
    """A dataset is importing exactly as long as its import may still succeed."""
    if job.kind != JobKind.IMPORT_DATASET or job.state == JobState.SUCCEEDED:
        return
    was, now = DatasetState.IMPORTING, DatasetState.FAILED
    if not job.is_finished:
        was, now = now, was
    session.execute(update(Dataset).where(Dataset.job_id == job.id, Dataset.state == was).values(state=now))


def needs(session: Session, job: Job) -> list[tuple[JobNeed, Job]]:
    """What the job needs, with the jobs that make it, in the order of its options."""
    query = select(JobNeed, Job).join(Job, Job.id == JobNeed.needs_id).where(JobNeed.job_id == job.id)
    found = session.execute(query.order_by(JobNeed.option, JobNeed.position).execution_options(populate_existing=True))
    return [(need, needed) for need, needed in found]


def begin_waiting(session: Session, job: Job) -> None:
    """Settle a job that has just come to wait: what it needs may have ended already."""
    _settle(session, job)


def release_ready(session: Session) -> list[Job]:
    """Settle the jobs that wait although nothing they need is still to come; returns them. For the sweeper."""
    waiting = session.scalars(select(Job).where(_forgotten()).order_by(Job.id).with_for_update(skip_locked=True))
    jobs = list(waiting.all())
    for job in jobs:
        _settle(session, job)
    return jobs


def has_ready(session: Session) -> bool:
    """Whether `release_ready` would find a job: a cheap question that takes no lock."""
    return session.scalar(select(Job.id).where(_forgotten()).limit(1)) is not None


def _forgotten() -> Any:
    needed = aliased(Job)
    is_open = (needed.state != JobState.SUCCEEDED) & ~(JobNeed.is_soft & needed.state.in_(FINISHED))
    still_to_come = exists().where(JobNeed.job_id == Job.id, needed.id == JobNeed.needs_id, is_open)
    return (Job.state == JobState.WAITING) & ~still_to_come


def _tell_dependents(session: Session, job: Job, was: JobState) -> None:
    if job.state not in FINISHED and was != JobState.FAILED:
        return
    for dependent in _dependents(session, job):
        if job.state in FINISHED:
            _settle(session, dependent)
        else:
            _revive(session, dependent)


def _dependents(session: Session, job: Job) -> Sequence[Job]:
    """The jobs that need this one and have not run, locked, by id."""
    mine = select(JobNeed.job_id).where(JobNeed.needs_id == job.id)
    query = select(Job).where(Job.id.in_(mine), Job.state.in_([JobState.WAITING, JobState.FAILED])).order_by(Job.id)
    found = session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()
    return [each for each in found if each.state == JobState.WAITING or failed_by_input(each)]


def failed_by_input(job: Job) -> bool:
    return job.state == JobState.FAILED and (job.error or {}).get("code") == INPUT_FAILED


def _settle(session: Session, job: Job) -> None:
    """Decide where a job goes that waits, or whose input failed, now that one of its inputs has ended."""
    if job.state != JobState.WAITING and not failed_by_input(job):
        return  # it has gone there with another of its inputs
    found = needs(session, job)
    ended = {needed.state: (need, needed) for need, needed in reversed(found) if not need.is_soft}
    waits_on = any(not needed.is_finished for _, needed in found)
    if JobState.CANCELLED in ended:
        reason = f"Cancelled: job {ended[JobState.CANCELLED][1].id}, whose result it needs, was cancelled."
        move(session, job, JobState.CANCELLED, message=reason, error=None)
    elif job.state != JobState.WAITING:
        return  # its input failed; it waits again once that is tried again
    elif JobState.FAILED in ended:
        error = _input_failed(job, *ended[JobState.FAILED])
        message = f"Job {ended[JobState.FAILED][1].id}, whose result it needs, failed."
        move(session, job, JobState.FAILED, message=message, error=error)
    elif not waits_on:
        _queue(session, job, found)


def _input_failed(job: Job, need: JobNeed, needed: Job) -> dict[str, str]:
    """The error of a job whose input has failed."""
    because = (needed.error or {}).get("detail") or needed.message
    if need.is_part:
        part = f"part {need.position + 1} of {job.spec['num_parts']} (job {needed.id})"
        return {
            "code": INPUT_FAILED, "title": "A part failed",
            "detail": f"It waits for {part}, which failed: {because}",
            "hint": "Try again: only what failed is done anew, the other parts are kept.",
        }  # fmt: skip
    return {
        "code": INPUT_FAILED, "title": "What it needs failed",
        "detail": f"Job {needed.id} ({needed.title}), whose result it needs, failed: {because}",
        "hint": f"Try job {needed.id} again; this one then waits for it again.",
    }  # fmt: skip


def _queue(session: Session, job: Job, found: Sequence[tuple[JobNeed, Job]]) -> None:
    """Complete the spec with the results of what the job needed, and queue it."""
    spec = {**job.spec}
    for need, needed in found:
        if needed.state != JobState.SUCCEEDED or need.is_part:
            continue  # a soft need that came to nothing, or a part, which the job itself looks for
        result = (needed.result or {}).get(need.option.removesuffix("s"))
        spec[need.option] = [*(spec.get(need.option) or []), result] if need.option.endswith("_ids") else result
    try:
        complete = job_spec_adapter.validate_python(spec)
    except ValidationError as error:
        first = error.errors()[0]
        described = {
            "code": "bad-input", "title": "The input cannot be used",
            "detail": f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}",
            "hint": "The jobs it needs gave no fitting result; look at them.",
        }  # fmt: skip
        move(session, job, JobState.FAILED, message="Failed: what it needed does not fit.", error=described)
        return
    values = {"spec": complete.model_dump(mode="json")}
    move(session, job, JobState.QUEUED, message="All that it needs is there; waiting for a worker.", **values)


def _revive(session: Session, job: Job) -> None:
    """What the job needs is tried again: so it waits again, and with it those that need it."""
    if not failed_by_input(job):
        return
    found = needs(session, job)
    still = [(need, needed) for need, needed in found if needed.state == JobState.FAILED and not need.is_soft]
    if still:  # another of its inputs, which is the reason from now on
        job.error = _input_failed(job, *still[0])
        return
    what = "its parts" if any(need.is_part for need, _ in found) else "what it needs"
    move(session, job, JobState.WAITING, message=f"Waiting for {what}.", error=None)
