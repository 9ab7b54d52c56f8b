"""Where a result comes from: what a job was made from, and what it made."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Audit, Base, Checkpoint, Classifier, Dataset, Evaluation, Explanation, Job, SyntheticSet


@dataclass(frozen=True)
class Linked:
    """A row at one end of an arrow to or from a job. made: the job made it; else the job was made from it."""

    kind: str
    id: int
    name: str
    url: str
    made: bool


INPUTS: dict[str, type[Any]] = {
    "dataset_id": Dataset,
    "checkpoint_id": Checkpoint,
    "init_checkpoint_id": Checkpoint,
    "synthetic_set_id": SyntheticSet,
    "classifier_id": Classifier,
}
OUTPUTS: tuple[type[Any], ...] = (Dataset, Checkpoint, SyntheticSet, Classifier, Evaluation, Audit, Explanation)


def lineage(session: Session, job: Job) -> list[Linked]:
    """What the job was made from, then what it made; rows deleted since are left out."""
    inputs = [(table, job.spec[option]) for option, table in INPUTS.items() if job.spec.get(option) is not None]
    sources = [session.get(table, row_id) for table, row_id in inputs]
    links = [_link(row, made=False) for row in sources if row is not None and row.project_id == job.project_id]
    for table in OUTPUTS:
        links += [
            _link(row, made=True)
            for row in session.scalars(select(table).where(table.job_id == job.id).order_by(table.id))
        ]
    return links


def _link(row: Base, *, made: bool) -> Linked:
    kind = str(row.__tablename__).removesuffix("s").replace("_", " ")
    row_id: int = getattr(row, "id")  # noqa: B009 - every table here has one, which Base does not say
    name = getattr(row, "name", None) or f"{kind} {row_id}"
    return Linked(kind, row_id, name, f"/{row.__tablename__.replace('_', '-')}/{row_id}", made)
