"""Which jobs that are there already a study may take for its steps, and which of its own are lost."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session, aliased

from app.services import prepare
from app.services.identity import Identity
from app.services.studies import planning
from app.services.studies.planning import Planned
from models import PARTS, Job, JobKind, JobNeed, JobState, Mark, SyntheticImage, SyntheticSet

RESULTS = {
    JobKind.TRAIN_DIFFUSION: "checkpoint_id", JobKind.SAMPLE: "synthetic_set_id", JobKind.AUDIT_SET: "audit_id",
    JobKind.TRAIN_CLASSIFIER: "classifier_id", JobKind.EVALUATE: "evaluation_id",
    JobKind.EXPLAIN: "explanation_id",
}  # fmt: skip
NOTHING = (JobState.FAILED, JobState.CANCELLED)


def found(
    session: Session,
    who: Identity,
    planned: Sequence[Planned],
    *,
    mine: Mapping[str, Job] | None = None,
    apart: Collection[int] = (),
) -> dict[str, Job]:
    """The job of each planned step that need not be done: one of `mine`, or one of the project, none of `apart`, that has
    given, or is about to give, its result.

    A job is taken only if it was made of the very jobs that are taken for the steps it needs: what rests on a training that was
    stopped early, or on a set of which a person has rejected images, is another result for all that its options are equal.
    """
    keys = planning.step_keys(planned)
    jobs = dict(mine or {})
    for step in planned:
        needs = {option: name for option, name in step.needs.items() if (step.kind, option) != planning.CONTINUED}
        if step.name not in jobs and set(needs.values()) <= jobs.keys():
            made_of = {option: jobs[name].id for option, name in needs.items()}
            job = _reusable(session, who, keys[step.name], made_of, apart)
            if job is not None:
                jobs[step.name] = job
    return jobs


def _reusable(
    session: Session, who: Identity, key: str, made_of: Mapping[str, int], apart: Collection[int]
) -> Job | None:
    """Of several, the one on which most others rest that have not come to nothing."""
    need, other = aliased(JobNeed), aliased(Job)
    resting = (
        select(func.count())
        .select_from(need)
        .join(other, other.id == need.job_id)
        .where(need.needs_id == Job.id, other.state.not_in(NOTHING))
        .scalar_subquery()
    )
    query = select(Job).where(Job.project_id == who.project_id, Job.step_key == key, ~_was_stopped())
    for option, needed in made_of.items():
        query = query.where(
            exists().where(JobNeed.job_id == Job.id, JobNeed.option == option, JobNeed.needs_id == needed)
        )
    for job in session.scalars(query.order_by(resting.desc(), Job.id.desc())):
        may_be = job.state not in NOTHING and job.cancel_requested_at is None
        if job.id not in apart and may_be and (not job.is_finished or is_there(session, job)):
            return job
    return None


def _was_stopped() -> ColumnElement[bool]:
    """Whether the job, or a part of it, was asked to end early."""
    part = aliased(Job)
    one_was = exists().where(
        JobNeed.job_id == Job.id, JobNeed.option == PARTS, part.id == JobNeed.needs_id, part.stop_requested_at.is_not(None)
    )  # fmt: skip
    return Job.stop_requested_at.is_not(None) | one_was


def is_there(session: Session, job: Job) -> bool:
    """Whether the result of a job that has succeeded is as it was made: nothing deleted, and of a set no image rejected since,
    nor of one that an audit looked at or made."""
    result: Mapping[str, Any] = job.result or {}
    made = result.get(RESULTS[job.kind])
    if made is None or session.get(prepare.MADE[RESULTS[job.kind]], made) is None:
        return False
    if job.kind not in (JobKind.SAMPLE, JobKind.AUDIT_SET):
        return True
    sets = {result["synthetic_set_id"]}
    if job.kind == JobKind.AUDIT_SET and "synthetic_set_id" in job.spec:
        sets.add(job.spec["synthetic_set_id"])
    if any(session.get(SyntheticSet, set_id) is None for set_id in sets):
        return False
    rejected = select(SyntheticImage.id).where(SyntheticImage.set_id.in_(sets), SyntheticImage.mark == Mark.REJECTED)
    return session.scalar(rejected.limit(1)) is None


def is_lost(session: Session, job: Job) -> bool:
    """Whether nothing will come of the job any more, and nothing is left: cancelled, or its result deleted or changed."""
    if job.state == JobState.CANCELLED or job.cancel_requested_at is not None:
        return True
    return job.state == JobState.SUCCEEDED and not is_there(session, job)
