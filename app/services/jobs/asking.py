"""Ask for a job."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core import drawing
from app.core.errors import ConflictError
from app.core.submission import add_divided_sampling, add_job
from app.services import prepare
from app.services.identity import Identity
from models import Checkpoint, Job
from models.specs import AskedSpec, SampleSpec


def submit(
    session: Session,
    who: Identity,
    spec: AskedSpec,
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
        return _add(
            session, complete, title=title or made_up_title, idempotency_key=idempotency_key, project_id=who.project_id,
            created_by=who.name, priority=priority,
        )  # fmt: skip
    except IntegrityError:  # somebody sent the same key at the same moment
        known = _by_key(session, who, idempotency_key) if idempotency_key is not None else None
        if known is None:
            raise
        return _same_request(known, spec)


def _add(session: Session, spec: AskedSpec, **about: Any) -> Job:
    if not isinstance(spec, SampleSpec) or spec.num_parts == 1:
        return add_job(session, spec, **about)
    classes = session.get_one(Checkpoint, spec.checkpoint_id).classes
    counts = drawing.counts_of(spec, classes)
    return add_divided_sampling(session, spec.model_dump(mode="json", exclude={"kind"}), {}, counts=counts, **about)


def _by_key(session: Session, who: Identity, key: str) -> Job | None:
    return session.scalar(select(Job).where(Job.project_id == who.project_id, Job.idempotency_key == key))


def _same_request(job: Job, spec: AskedSpec) -> Job:
    """The job, if it was asked for with `spec`: what the spec left open may have been filled in since."""
    asked = {name: value for name, value in spec.model_dump(mode="json").items() if value not in (None, "")}
    differing = [name for name, value in asked.items() if job.spec.get(name) != value]
    if differing:
        raise ConflictError(
            f"This Idempotency-Key was used for job {job.id}, which was asked for with another {differing[0]}.",
            hint="Use a new key for a new job.",
        )
    return job


def duplicate(job: Job) -> dict[str, Any]:
    """The job's spec, to fill a form for another one like it."""
    return dict(job.spec)
