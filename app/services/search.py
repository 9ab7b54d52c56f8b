"""Find things by their name or number, over all that a project holds."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.identity import Identity
from app.services.rows import LARGEST_ID
from models import Checkpoint, Classifier, Dataset, Evaluation, Explanation, Job, SyntheticSet

PER_KIND = 10
NAMED: dict[str, tuple[type[Any], Any]] = {
    "datasets": (Dataset, Dataset.name),
    "jobs": (Job, Job.title),
    "checkpoints": (Checkpoint, Checkpoint.name),
    "synthetic-sets": (SyntheticSet, SyntheticSet.name),
    "classifiers": (Classifier, Classifier.name),
}
NUMBERED: dict[str, type[Any]] = {
    **{path: table for path, (table, _) in NAMED.items()},
    "evaluations": Evaluation,
    "explanations": Explanation,
}


@dataclass(frozen=True)
class Hit:
    kind: str
    name: str
    url: str


def find(session: Session, who: Identity, text: str) -> list[Hit]:
    """What is called like `text`, newest first, and what has it as its number."""
    hits = _by_number(session, who, int(text)) if text.isdecimal() and int(text) <= LARGEST_ID else []
    for path, (table, name) in NAMED.items():
        query = select(table.id, name).where(table.project_id == who.project_id, name.icontains(text, autoescape=True))
        rows = session.execute(query.order_by(table.id.desc()).limit(PER_KIND))
        hits += [_hit(path, row_id, found) for row_id, found in rows]
    return list(dict.fromkeys(hits))


def _by_number(session: Session, who: Identity, number: int) -> list[Hit]:
    rows = [(path, session.get(table, number)) for path, table in NUMBERED.items()]
    return [
        _hit(path, number, str(getattr(row, "name", None) or getattr(row, "title", "")))
        for path, row in rows
        if row is not None and row.project_id == who.project_id
    ]


def _hit(path: str, row_id: int, name: str) -> Hit:
    kind = path.removesuffix("s").replace("-", " ")
    return Hit(kind, name or f"{kind} {row_id}", f"/{path}/{row_id}")
