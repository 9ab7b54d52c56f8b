"""Names of datasets: unique in a project; one whose import failed gives its name up."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from models import Dataset, DatasetState


def refuse_taken(session: Session, project_id: int, name: str) -> None:
    found = session.scalar(select(Dataset).where(Dataset.project_id == project_id, Dataset.name == name))
    if found is not None and found.state != DatasetState.FAILED:
        raise taken(name, f" (dataset {found.id})")


def make_room(session: Session, project_id: int, name: str) -> None:
    """A dataset whose import failed has nothing to lose but its name."""
    failed = session.scalar(
        select(Dataset).where(
            Dataset.project_id == project_id,
            Dataset.name == name,
            Dataset.state == DatasetState.FAILED,
            ~Dataset.versions.any(),
        )
    )
    if failed is not None:
        session.delete(failed)
        session.flush()


def taken(name: str, which: str = "") -> ConflictError:
    return ConflictError(
        f"There is a dataset named {name!r} already{which}.",
        hint="Choose another name, or delete that dataset.",
        errors=[{"pointer": "/name", "detail": "This name is taken."}],
    )
