"""What a check looks at: a version's rows, its pictures' fingerprints and figures, made where they are missing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core import clusters, versions
from app.core.fingerprints import Fingerprint as Look
from app.core.storage import Storage
from app.core.versions import Entry, LookAlike
from models import DatasetVersion, Fingerprint, Image, RefusedFile, Split
from workers.jobs.health.steps import Steps
from workers.jobs.looks import look_at


@dataclass(frozen=True)
class Subject:
    """A version as it is in the database. looks, facts: by storage key, of the pictures that were looked at before."""

    dataset_id: int
    version_id: int
    classes: list[str]
    channels: int
    ids: list[int]
    entries: list[Entry]
    looks: dict[str, Look]
    facts: dict[str, dict[str, Any]]
    told_apart: set[tuple[str, str]]  # pairs of pictures that a person has told apart
    was_looked_through: bool  # for copies and leaks
    refused: dict[str, int]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,)."""
        return np.array([entry.label for entry in self.entries], dtype=np.int64)

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """(N,) whether an image may be learnt from: the test images are locked away from every model."""
        return np.array([entry.split != Split.TEST for entry in self.entries])

    @property
    def units(self) -> NDArray[np.int64]:
        """(N,) numbers of what belongs together: patients, copies, look-alikes."""
        return np.unique(versions.units(self.entries), return_inverse=True)[1].astype(np.int64)

    def ids_of(self, places: Sequence[int] | NDArray[np.int64]) -> list[int]:
        return [self.ids[place] for place in places]


def read(session: Session, version_id: int) -> Subject:
    version = session.get_one(DatasetVersion, version_id)
    found = clusters.entries_by_id(session, version_id)
    looks, known = {}, {}
    for key, plain, mirrored, tile, figures in session.execute(_fingerprints(version_id)):
        looks[key], known[key] = Look(plain, mirrored, tile), figures
    refused = session.execute(
        select(RefusedFile.kind, func.count()).where(RefusedFile.version_id == version_id).group_by(RefusedFile.kind)
    )
    return Subject(
        dataset_id=version.dataset_id, version_id=version_id, classes=version.classes, channels=version.channels,
        ids=list(found), entries=list(found.values()), looks=looks, facts=known,
        told_apart=clusters.told_apart(session, version.dataset_id), was_looked_through=version.leaks is not None,
        refused={row[0]: row[1] for row in refused},
    )  # fmt: skip


def _fingerprints(version_id: int) -> Any:
    keys = select(Image.stored_sha256).where(Image.version_id == version_id)
    columns = (Fingerprint.stored_sha256, Fingerprint.perceptual_hash, Fingerprint.mirrored_hash, Fingerprint.tile)
    return select(*columns, Fingerprint.facts).where(Fingerprint.stored_sha256.in_(keys))


class LookedThrough(NamedTuple):
    """subject: with all figures and clusters. The rest is what was not known before; look_alikes: None if they were known."""

    subject: Subject
    looks: dict[str, Look]
    facts: dict[str, dict[str, Any]]
    look_alikes: list[LookAlike] | None


def look_through(storage: Storage, steps: Steps, subject: Subject) -> LookedThrough:
    """Make what is missing: figures of pictures, and, where nobody has looked for them, copies and look-alikes."""
    looks: dict[str, Look] = {}
    figures: dict[str, dict[str, Any]] = {}
    steps.begin("Looking at pictures for the first time")
    missing = {entry.stored_sha256 for entry in subject.entries} - subject.looks.keys()
    for seen in look_at(storage, missing):
        looks |= {each.key: each.look for each in seen}
        figures |= {each.key: each.facts for each in seen}
        steps.say(f"{len(looks):,} of {len(missing):,}")
    subject = replace(subject, looks=subject.looks | looks, facts=subject.facts | figures)
    if subject.was_looked_through and not looks:
        return LookedThrough(subject, looks, figures, None)
    steps.begin("Looking for copies and look-alikes")
    look_alikes = versions.look_alikes(subject.looks)
    pairs = {(pair.first, pair.second) for pair in look_alikes} - subject.told_apart
    entries = versions.with_clusters(subject.entries, pairs)
    return LookedThrough(replace(subject, entries=entries), looks, figures, look_alikes)
