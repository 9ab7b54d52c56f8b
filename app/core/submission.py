"""Add a job: its row, its first event, its line in the audit trail, and the ring that follows the commit.

The spec is complete here: app/services/prepare.py has filled it in, or a job that is followed by another has.
"""

from sqlalchemy.orm import Session

from app.core import journal
from app.core.queue import ring_after_commit
from models import QUEUE_OF, AuditEvent, DatasetVersion, Job, JobState
from models.specs import CheckDatasetSpec, JobSpec

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
) -> Job:
    """A job that waits; a worker begins once the transaction is committed.

    Raises IntegrityError if the project has a job with this idempotency_key; the transaction can go on.
    """
    job = Job(
        project_id=project_id, kind=spec.kind, title=title[:MAX_TITLE], spec=spec.model_dump(mode="json"),
        state=JobState.QUEUED, queue=QUEUE_OF[spec.kind], priority=priority, created_by=created_by,
        idempotency_key=idempotency_key,
    )  # fmt: skip
    with session.begin_nested():
        session.add(job)
    journal.write_state(session, job.id, JobState.QUEUED, "Waiting for a worker.")
    audit(session, job, "submit", actor=created_by, kind=str(job.kind))
    ring_after_commit(session, job)
    return job


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
