"""Jobs that are done in parts: which parts a job has, what it is a part of, and which of its parts end with it.

Parts are made before the job that joins them and are locked before it, by id: the order of app.core.states.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from models import FINISHED, PARTS, Job, JobNeed


def of(session: Session, job_ids: Collection[int]) -> dict[int, list[Job]]:
    """The parts, in their order, of those of these jobs that have any."""
    query = select(JobNeed.job_id, Job).join(Job, Job.id == JobNeed.needs_id)
    query = query.where(JobNeed.option == PARTS, JobNeed.job_id.in_(job_ids)).order_by(JobNeed.position)
    found: dict[int, list[Job]] = defaultdict(list)
    for job_id, part in session.execute(query.execution_options(populate_existing=True)):
        found[job_id].append(part)
    return dict(found)


def wholes_of(session: Session, part_ids: Collection[int]) -> dict[int, Job]:
    """What each of these jobs is a part of, for those that are one."""
    query = select(JobNeed.needs_id, Job).join(Job, Job.id == JobNeed.job_id)
    query = query.where(JobNeed.option == PARTS, JobNeed.needs_id.in_(part_ids))
    return dict(session.execute(query).all())


def lock(session: Session, job: Job) -> list[Job]:
    """The job's parts, locked; to be called before the job itself is."""
    mine = select(JobNeed.needs_id).where(JobNeed.job_id == job.id, JobNeed.option == PARTS)
    query = select(Job).where(Job.id.in_(mine)).order_by(Job.id).with_for_update()
    session.flush()
    return list(session.scalars(query.execution_options(populate_existing=True)))


def to_cancel(session: Session, job: Job, parts: Sequence[Job]) -> list[Job]:
    """Those of its parts that have not ended and that no other job still needs."""
    other = aliased(Job)
    needed = exists().where(
        JobNeed.needs_id == Job.id, JobNeed.job_id != job.id, other.id == JobNeed.job_id, other.state.not_in(FINISHED)
    )
    open_ids = [part.id for part in parts if not part.is_finished]
    shared = set(session.scalars(select(Job.id).where(Job.id.in_(open_ids), needed)))
    return [part for part in parts if part.id in open_ids and part.id not in shared]
