"""Follow a job while it runs: its numbered events, and the points of its curves as they come.

Rows are polled, each time in a session of its own: no session is held while a browser listens, and any web
process can serve any job. Whoever reconnects names the last number seen, and nothing is lost.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from app.core.db import Database
from app.services import job_feed, jobs
from models import Event, Job

POLL_S = 0.5
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class News:
    """What happened since the last look. job: the row as it is now, None if it was deleted."""

    job: Job | None
    events: list[Event] = field(default_factory=list)
    points: dict[str, Points] = field(default_factory=dict)
    parts: tuple[tuple[int, str, int], ...] = ()  # of a job that is done in parts: id, state and how much each has done


async def news_of(database: Database, job_id: int, *, after: int, with_points: bool = False) -> AsyncIterator[News]:
    """A News for each look that found something, until the job has finished and all of it is told."""
    steps = await run_in_threadpool(_last_steps, database, job_id) if with_points else {}
    is_first = True
    parts: tuple[tuple[int, str, int], ...] = ()
    while True:
        news = await run_in_threadpool(_look, database, job_id, after, steps if with_points else None)
        if is_first or news.events or news.points or news.parts != parts:
            yield news
        is_first, parts = False, news.parts
        after = news.events[-1].number if news.events else after
        steps |= {name: points[-1][0] for name, points in news.points.items()}
        if news.job is None or (news.job.is_finished and not news.events):
            return
        await asyncio.sleep(POLL_S)


async def follow(database: Database, job_id: int, *, after: int) -> AsyncIterator[Event]:
    """The job's events after number `after`, as they come; ends when the job has finished and all are told."""
    async for news in news_of(database, job_id, after=after):
        for event in news.events:
            yield event


def _look(database: Database, job_id: int, after: int, steps: dict[str, int] | None) -> News:
    with database.read() as session:
        job = session.get(Job, job_id)  # before the events: a finished job writes none after its last
        if job is None:
            return News(None)
        events = jobs.events_after(session, job_id, after)
        points = {} if steps is None else job_feed.points_after(session, job_id, steps)
        parts = () if steps is None else jobs.family(session, job).parts
        return News(job, events, points, tuple((part.id, part.state, part.done) for part in parts))


def _last_steps(database: Database, job_id: int) -> dict[str, int]:
    with database.read() as session:
        return job_feed.last_steps(session, job_id)
