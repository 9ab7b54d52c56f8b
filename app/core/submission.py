"""Add a job: its row, its first event, its line in the audit trail, and the ring that follows the commit.

The spec is complete here: app/services/prepare.py has filled it in, or a job that is followed by another has.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.core import drawing, journal, states
from app.core.queue import ring_after_commit
from models import PARTS, QUEUE_OF, AuditEvent, DatasetVersion, Job, JobKind, JobNeed, JobState, Queue
from models.specs import SPEC_OF, CheckDatasetSpec, JobSpec

MAX_TITLE = 300


def add_job(
    session: Session,
    spec: JobSpec,
    *,
    project_id: int,
    created_by: str,
    title: str,
    priority: int = 0,
    idempotency_key: str | None = None,
    step_key: str | None = None,
) -> Job:
    """A job that can begin; a worker does so once the transaction is committed.

    step_key: equal for jobs that give the same result, if anybody will look for one to use again.
    Raises IntegrityError if the project has a job with this idempotency_key; the transaction can go on.
    """
    job = Job(
        project_id=project_id, kind=spec.kind, title=title[:MAX_TITLE], spec=spec.model_dump(mode="json"),
        state=JobState.QUEUED, queue=QUEUE_OF[spec.kind], priority=priority, created_by=created_by,
        idempotency_key=idempotency_key, step_key=step_key,
    )  # fmt: skip
    _write_down(session, job, "Waiting for a worker.")
    ring_after_commit(session, job)
    return job


def add_waiting_job(
    session: Session,
    kind: JobKind,
    draft: dict[str, Any],
    needs: Mapping[str, Job | Sequence[Job]],
    *,
    soft: Collection[str] = (),
    project_id: int,
    created_by: str,
    title: str,
    priority: int = 0,
    idempotency_key: str | None = None,
    step_key: str | None = None,
    queue: Queue | None = None,
    num_images: int | None = None,
) -> Job:
    """A job that can begin once the jobs in `needs` have succeeded; it may be that they have.

    draft: its spec without the options that `needs` names, which are filled in from those jobs' results: checkpoint_id
    from the result's checkpoint_id, evaluation_ids from the evaluation_id of each. soft: options of `needs` for which it is
    enough that the jobs have ended. queue: that of its kind, if not given. num_images: how many it will draw.
    """
    job = Job(
        project_id=project_id, kind=kind, title=title[:MAX_TITLE], spec={"kind": str(kind), **draft}, state=JobState.WAITING,
        queue=queue or QUEUE_OF[kind], priority=priority, created_by=created_by, idempotency_key=idempotency_key,
        step_key=step_key,
    )  # fmt: skip
    if num_images is not None:
        job.total, job.unit = num_images, "images"
    if PARTS in needs:
        job.message = "Its parts are drawn first, then joined."
    _write_down(session, job, job.message or "Waiting for what it needs.")
    for option, needed in needs.items():
        jobs = [needed] if isinstance(needed, Job) else needed
        session.add_all(
            JobNeed(job_id=job.id, option=option, position=position, needs_id=each.id, is_soft=option in soft)
            for position, each in enumerate(jobs)
        )
    session.flush()
    states.begin_waiting(session, job)
    return job


def add_divided_sampling(
    session: Session,
    draft: dict[str, Any],
    needs: Mapping[str, Job],
    *,
    counts: Sequence[int],
    title: str,
    idempotency_key: str | None = None,
    step_key: str | None = None,
    **about: Any,
) -> Job:
    """A sampling whose draft asks for several parts: a job for each, and one that needs them and joins what they drew.

    counts: images of each class. about: project_id, created_by and priority of all of them. Returns the job that joins, which
    a worker of the queue io does, since it runs no network. Raises IntegrityError as add_job does, and adds nothing then.
    """
    num_parts, of_part = draft["num_parts"], SPEC_OF[JobKind.SAMPLE_PART].model_fields
    options = {name: value for name, value in draft.items() if name in of_part}
    with session.begin_nested():
        parts = [
            add_waiting_job(
                session, JobKind.SAMPLE_PART, {**options, "part": part}, needs, title=f"Part {part} of {num_parts} of {title}",
                num_images=num_images, **about,
            )
            for part, num_images in enumerate(drawing.num_of_parts(counts, num_parts), 1)
        ]  # fmt: skip
        return add_waiting_job(
            session, JobKind.SAMPLE, draft, {**needs, PARTS: parts}, title=title, num_images=sum(counts), queue=Queue.IO,
            idempotency_key=idempotency_key, step_key=step_key, **about,
        )  # fmt: skip


def _write_down(session: Session, job: Job, message: str) -> None:
    with session.begin_nested():
        session.add(job)
    journal.write_state(session, job.id, job.state, message)
    audit(session, job, "submit", actor=job.created_by, kind=str(job.kind))


def add_check(session: Session, version: DatasetVersion, *, project_id: int, created_by: str) -> Job:
    """The check that follows every new version."""
    spec = CheckDatasetSpec(dataset_id=version.dataset_id, version_id=version.id)
    return add_job(session, spec, project_id=project_id, created_by=created_by, title=check_title(version))


def check_title(version: DatasetVersion) -> str:
    return f"Check of {version.dataset.name}, version {version.number}"


def audit(session: Session, job: Job, action: str, *, actor: str, **data: object) -> None:
    """Write into the audit trail what `actor` did to a job."""
    session.add(
        AuditEvent(project_id=job.project_id, actor=actor, action=f"jobs.{action}", subject=f"job {job.id}", data=data)
    )
    session.flush()
