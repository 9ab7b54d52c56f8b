"""Writes down what pictures look like, and which look the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.fingerprints import Fingerprint as Look
from app.core.versions import LookAlike
from models import DuplicatePair, Fingerprint

ROWS_AT_ONCE = 200  # rows of five values: below every database's limit of parameters


def record_looks(
    session: Session,
    dataset_id: int,
    looks: Mapping[str, Look],
    facts: Mapping[str, dict[str, Any]],
    look_alikes: Sequence[LookAlike],
) -> None:
    """Add fingerprints and pairs that are not there yet; what a person said of a pair stays."""
    keys = sorted(looks)
    for start in range(0, len(keys), ROWS_AT_ONCE):
        part = keys[start : start + ROWS_AT_ONCE]
        rows = [{"stored_sha256": key, **looks[key]._asdict(), "facts": facts[key]} for key in part]
        session.execute(_insert_if_new(session).values(rows))
    _record_pairs(session, dataset_id, look_alikes)


def _insert_if_new(session: Session) -> Any:
    """An INSERT that leaves known rows as they are: another import may be writing the same pictures."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(Fingerprint).on_conflict_do_nothing()
    return postgresql.insert(Fingerprint).on_conflict_do_nothing()


def _record_pairs(session: Session, dataset_id: int, look_alikes: Sequence[LookAlike]) -> None:
    query = select(DuplicatePair.first_sha256, DuplicatePair.second_sha256).where(
        DuplicatePair.dataset_id == dataset_id
    )
    known_pairs = {(first, second) for first, second in session.execute(query)}
    pairs = [
        {"dataset_id": dataset_id, "first_sha256": pair.first, "second_sha256": pair.second, "mirrored": pair.mirrored,
         "distance": pair.distance, "agreement": pair.agreement, "is_distinct": False}
        for pair in look_alikes
        if (pair.first, pair.second) not in known_pairs
    ]  # fmt: skip
    for start in range(0, len(pairs), ROWS_AT_ONCE):
        session.execute(insert(DuplicatePair), pairs[start : start + ROWS_AT_ONCE])
