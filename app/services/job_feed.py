"""What a page or stream needs to show a job from now on: the end of its log, and what is new on its curves."""

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from models import Event, Job, JobState, Metric

MAX_NEW_POINTS = 2000


def last_event_number(session: Session, job_id: int) -> int:
    """0 if nothing has happened yet."""
    return session.scalar(select(func.max(Event.number)).where(Event.job_id == job_id)) or 0


def log_tail(session: Session, job_id: int, *, limit: int) -> list[Event]:
    """The last `limit` log lines and changes of state, oldest first."""
    query = select(Event).where(Event.job_id == job_id, Event.kind.in_(["log", "state"]))
    return list(session.scalars(query.order_by(Event.number.desc()).limit(limit)))[::-1]


def last_steps(session: Session, job_id: int) -> dict[str, int]:
    """The last step of each curve."""
    query = select(Metric.name, func.max(Metric.step)).where(Metric.job_id == job_id).group_by(Metric.name)
    return dict(session.execute(query).all())


def points_after(session: Session, job_id: int, steps: dict[str, int]) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve after its step in `steps`; all points of curves that `steps` does not name."""
    newer = [and_(Metric.name == name, Metric.step > step) for name, step in steps.items()]
    query = select(Metric.name, Metric.step, Metric.value).where(
        Metric.job_id == job_id, or_(*newer, Metric.name.not_in(list(steps)))
    )
    found: dict[str, list[tuple[int, float]]] = {}
    for name, step, value in session.execute(query.order_by(Metric.step).limit(MAX_NEW_POINTS)):
        found.setdefault(name, []).append((step, value))
    return found


def queue_positions(session: Session, jobs: Sequence[Job]) -> dict[int, int]:
    """The place of each waiting job in its queue, by id: 1 is done next. One query, however many jobs."""
    waiting = [job.id for job in jobs if job.state == JobState.QUEUED]
    if not waiting:
        return {}
    place = func.row_number().over(partition_by=Job.queue, order_by=(Job.priority.desc(), Job.id))
    places = select(Job.id, place.label("place")).where(Job.state == JobState.QUEUED).subquery()
    return dict(session.execute(select(places).where(places.c.id.in_(waiting))).all())
