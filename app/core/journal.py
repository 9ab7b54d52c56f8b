"""Write down what happens in a job: numbered events, the record that a page replays.

The next number is read under the lock of the job's row, so two processes that write about one job at
the same time take turns instead of taking the same number.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Event, Job, JobState


class Entry(NamedTuple):
    """kind: state, progress, log, preview or artifact."""

    kind: str
    data: dict[str, Any]


def write(session: Session, job_id: int, entries: Iterable[Entry]) -> None:
    """Add the entries to the job's events, in their order."""
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    last = session.scalar(select(func.max(Event.number)).where(Event.job_id == job_id)) or 0
    session.add_all(
        Event(job_id=job_id, number=number, kind=entry.kind, data=entry.data)
        for number, entry in enumerate(entries, start=last + 1)
    )
    session.flush()


def write_state(session: Session, job_id: int, state: JobState, message: str) -> None:
    """Note that the job is now in `state`, and why in one sentence for people."""
    write(session, job_id, [Entry("state", {"state": str(state), "message": message})])
