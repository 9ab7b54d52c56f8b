"""Find a row of who's project by its id, or say that there is none.

Another project's row is answered exactly like one that does not exist, so that ids tell nothing.
"""

from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.services.identity import Identity
from models import FINISHED, AuditEvent, Job

Row = TypeVar("Row")
LARGEST_ID = 2**63 - 1


def owned(session: Session, who: Identity, table: type[Row], row_id: int, *, noun: str) -> Row:
    """The row of `table` (which has a project_id) with this id; NotFoundError names it by `noun`."""
    row = session.get(table, row_id) if 0 < row_id <= LARGEST_ID else None
    if row is None or getattr(row, "project_id", None) != who.project_id:
        raise NotFoundError(
            f"There is no {noun} {row_id}.", hint="It may have been deleted. Open the list to see what there is."
        )
    return row


def clean_name(name: str) -> str:
    """A name with its blanks trimmed; BadInputError if nothing or too much is left."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 200:
        raise BadInputError(f"The name has {len(name)} characters; use 1 to 200.")
    return name


def note(session: Session, who: Identity, action: str, row: Any, **more: Any) -> None:
    """Write into the audit trail that who did `action` ("delete", "rename") to a row that has an id; more: JSON-able, what to keep of it."""
    subject = f"{row.__tablename__}/{row.id}"
    data = ({"name": row.name} if hasattr(row, "name") else {}) | more
    session.add(AuditEvent(project_id=who.project_id, actor=who.name, action=action, subject=subject, data=data))


def count(session: Session, *conditions: Any) -> int:
    """How many rows meet all conditions."""
    return session.scalar(select(func.count()).where(*conditions)) or 0


def refuse_if_a_job_needs(session: Session, who: Identity, *, option: str, row_id: int, noun: str) -> None:
    """ConflictError while an unfinished job of the project names `row_id` in its spec's `option`."""
    waiting = session.scalar(
        select(Job.id)
        .where(Job.project_id == who.project_id, Job.state.not_in(FINISHED), Job.spec[option].as_integer() == row_id)
        .limit(1)
    )
    if waiting is not None:
        raise ConflictError(f"Job {waiting} is using this {noun}.", hint="Cancel that job, or wait until it has ended.")
