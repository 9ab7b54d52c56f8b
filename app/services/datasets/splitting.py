"""A version's images in other splits, as a study asks for them: a version that has them so already, else a further one.

Whichever version was the current one stays so.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from app.core import versions as core
from app.core.version_rows import locked
from app.services.datasets.revising import Outcome, clustered_anew, dealt_anew, entries_of, request_check, write
from app.services.identity import Identity
from app.services.rows import note
from models import DatasetVersion
from models.specs.changing import Resplit


def resplit(session: Session, who: Identity, version: DatasetVersion, asked: Resplit) -> DatasetVersion:
    """The version that has the images of `version` split as asked: itself, or the oldest of the dataset, or a new one."""
    locked(session, version.dataset_id)
    outcome = dealt_anew(entries_of(session, version), asked)
    found = _found(session, version, outcome)
    if found is not None:
        return found
    dataset, current = version.dataset, version.dataset.current_number
    made = write(session, dataset, version, outcome)
    dataset.current_number = current
    note(session, who, f"{asked.action} (version {made.number})", dataset)
    request_check(session, who, made)
    return made


def foresee(session: Session, version: DatasetVersion, asked: Resplit) -> tuple[DatasetVersion, bool]:
    """The version that `resplit` would give, and whether it is there; one that is not bears the id of `version`, and is no row."""
    outcome = dealt_anew(entries_of(session, version), asked)
    found = _found(session, version, outcome)
    return (found, True) if found is not None else (_foreseen(session, version, outcome), False)


def _found(session: Session, version: DatasetVersion, outcome: Outcome) -> DatasetVersion | None:
    """The same paths, classes, patients, splits and pixels (the manifest) from the same stored pictures."""
    wanted = core.manifest_sha256(outcome.entries, version.classes)
    stored = {(entry.path, entry.stored_sha256) for entry in outcome.entries}
    query = select(DatasetVersion).where(
        DatasetVersion.dataset_id == version.dataset_id, DatasetVersion.manifest_sha256 == wanted
    )
    there = [
        each
        for each in session.scalars(query.order_by(DatasetVersion.number))
        if (each.classes, each.channels) == (version.classes, version.channels)
        and {(entry.path, entry.stored_sha256) for entry in entries_of(session, each)} == stored
    ]
    return version if version in there else next(iter(there), None)


def _foreseen(session: Session, version: DatasetVersion, outcome: Outcome) -> DatasetVersion:
    entries = clustered_anew(session, version.dataset, outcome.entries)
    made = DatasetVersion(
        id=version.id, dataset_id=version.dataset_id, number=version.number, classes=version.classes,
        channels=version.channels, num_images=len(entries), counts=core.counts(entries, version.classes),
        layout=version.layout | outcome.split, leaks=core.leaks(entries),
    )  # fmt: skip
    set_committed_value(made, "dataset", version.dataset)  # without a place among the dataset's versions
    return made
