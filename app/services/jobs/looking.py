"""Jobs as they stand: what there is, how far it is, and what it has drawn, said and made."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from app.core import parts as job_parts
from app.core import states
from app.services.identity import Identity
from app.services.lineage import Linked
from app.services.lineage import lineage as lineage_of
from app.services.paging import Page, page
from app.services.rows import owned
from models import FINISHED, Artifact, Event, Job, JobKind, JobState, Metric, Worker, db_now
from models.job import LEASE_S

PART_KINDS = frozenset({JobKind.SAMPLE_PART})
SLOWER, FASTER = 1.35, 0.85  # the range of a time left, about the rate last measured


@dataclass(frozen=True)
class Family:
    """parts: of a job that is done in parts, in their order. part_of: what a job is a part of."""

    parts: Sequence[Job] = ()
    part_of: Job | None = None

    def done(self, job: Job) -> int:
        """How much of the job is done: what its parts have done until it joins that itself."""
        return sum(part.done for part in self.parts) if self.parts and not job.attempt else job.done

    def fraction(self, job: Job) -> float | None:
        """As Job.fraction, by `done`."""
        done = self.done(job)
        return job.fraction if done == job.done or not job.total else min(done / job.total, 1.0)


ALONE = Family()


def get(session: Session, who: Identity, job_id: int) -> Job:
    return owned(session, who, Job, job_id, noun="job")


def listing(
    session: Session,
    who: Identity,
    *,
    kind: JobKind | None = None,
    state: JobState | None = None,
    with_parts: bool = True,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Job]:
    """Newest first. with_parts: whether jobs are listed that are a part of another."""
    query = select(Job).where(Job.project_id == who.project_id)
    if not with_parts:
        query = query.where(Job.kind.not_in(PART_KINDS))
    if kind is not None:
        query = query.where(Job.kind == kind)
    if state is not None:
        query = query.where(Job.state == state)
    return page(session, query, key=Job.id, cursor=cursor, limit=limit)


def families(session: Session, found: Sequence[Job]) -> dict[int, Family]:
    """Of each of these jobs by id: its parts, and what it is a part of. Two queries, however many jobs."""
    ids = [job.id for job in found]
    parts, wholes = job_parts.of(session, ids), job_parts.wholes_of(session, ids)
    return {job_id: Family(parts.get(job_id, ()), wholes.get(job_id)) for job_id in ids}


def family(session: Session, job: Job) -> Family:
    return families(session, [job])[job.id]


def needs(session: Session, job: Job) -> list[Job]:
    """The jobs whose results this one needs, each once, by id."""
    return sorted(
        {needed.id: needed for _, needed in states.needs(session, job)}.values(), key=lambda needed: needed.id
    )


def active(session: Session, who: Identity) -> list[Job]:
    """Jobs that run, wait or are paused, parts as well, in the order in which they are done."""
    query = select(Job).where(Job.project_id == who.project_id, Job.state.not_in(FINISHED))
    running_first = (Job.state != JobState.RUNNING, Job.state != JobState.QUEUED, Job.state == JobState.WAITING)
    return list(session.scalars(query.order_by(*running_first, Job.priority.desc(), Job.id)))


def counts_by_state(session: Session, who: Identity) -> dict[JobState, int]:
    query = select(Job.state, func.count()).where(Job.project_id == who.project_id).group_by(Job.state)
    found = {JobState(state): number for state, number in session.execute(query)}
    return {state: found.get(state, 0) for state in JobState}


def count_without_parts(session: Session, who: Identity) -> int:
    mine = (Job.project_id == who.project_id, Job.kind.not_in(PART_KINDS))
    return session.scalar(select(func.count()).select_from(Job).where(*mine)) or 0


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
