"""Finds out and writes down what pictures look like, and which look the same."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.fingerprints import Fingerprint as Look
from app.core.fingerprints import fingerprint
from app.core.images import load_uint8
from app.core.images.facts import facts as figures_of
from app.core.storage import Storage
from app.core.versions import LookAlike
from models import DuplicatePair, Fingerprint

ROWS_AT_ONCE = 200  # rows of five values: below every database's limit of parameters
KEYS_AT_ONCE = 500
THREADS = 4  # Pillow lets go of the interpreter while it decodes
CHUNK = 64


class Seen(NamedTuple):
    """A stored picture, by its key: what it looks like, and figures of it."""

    key: str
    look: Look
    facts: dict[str, Any]


def look_at(storage: Storage, keys: Collection[str]) -> Iterator[list[Seen]]:
    """What the stored pictures look like, read from their files, some at a time."""
    ordered = sorted(keys)

    def look(key: str) -> Seen:
        image = load_uint8(storage.path(key))
        return Seen(key, fingerprint(image), figures_of(image))

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(ordered), CHUNK):
            yield list(pool.map(look, ordered[start : start + CHUNK]))


def known_looks(session: Session, keys: Collection[str]) -> dict[str, Look]:
    """What is written down of the stored pictures that were looked at."""
    ordered = sorted(keys)
    looks: dict[str, Look] = {}
    columns = (Fingerprint.stored_sha256, Fingerprint.perceptual_hash, Fingerprint.mirrored_hash, Fingerprint.tile)
    for start in range(0, len(ordered), KEYS_AT_ONCE):
        query = select(*columns).where(Fingerprint.stored_sha256.in_(ordered[start : start + KEYS_AT_ONCE]))
        looks |= {key: Look(plain, mirrored, tile) for key, plain, mirrored, tile in session.execute(query)}
    return looks


class PackedFacts(Mapping[str, dict[str, Any]]):
    """Facts of pictures by their keys, each as JSON until it is asked for: as objects they take four times the memory."""

    def __init__(self, packed: Mapping[str, str]) -> None:
        self._packed = packed

    def __getitem__(self, key: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self._packed[key])
        return facts

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


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
