"""Writes a version down: its row, its images, and the files that are not in it.

The import in the worker and the changes that a person makes in the browser both end here. Whoever makes a version of a dataset
locks the dataset first, so that each version is made from the one that is current when it is written.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from app.core import versions
from app.core.versions import Entry
from models import Dataset, DatasetVersion, Image, RefusedFile, RefusedKind

ROWS_AT_ONCE = 2000


class Left(NamedTuple):
    """A file that is not in the version."""

    path: str
    kind: RefusedKind
    reason: str


def locked(session: Session, dataset_id: int) -> Dataset | None:
    """The dataset's row as it is now; nobody else makes a version of it until the transaction ends. None: it is gone."""
    session.flush()
    return session.get(Dataset, dataset_id, with_for_update=True, populate_existing=True)


def write_version(
    session: Session,
    dataset: Dataset,
    *,
    parent: DatasetVersion | None,
    entries: Sequence[Entry],
    left: Iterable[Left],
    classes: list[str],
    channels: int,
    layout: dict[str, Any],
    change: str,
    job_id: int | None = None,
) -> DatasetVersion:
    """A new version of a locked dataset, which becomes the current one. left: besides those that the parent has."""
    newest = session.scalar(
        select(func.max(DatasetVersion.number)).where(DatasetVersion.dataset_id == dataset.id)
    )  # fmt: skip
    version = DatasetVersion(
        dataset_id=dataset.id, number=(newest or 0) + 1, job_id=job_id, change=change, classes=classes, channels=channels,
        parent_number=parent.number if parent else None, card=parent.card if parent else None, layout=layout,
        num_images=len(entries), counts=versions.counts(entries, classes), leaks=versions.leaks(entries),
        manifest_sha256=versions.manifest_sha256(entries, classes),
    )  # fmt: skip
    session.add(version)
    session.flush()
    _insert(session, Image, version, sorted(entries, key=attrgetter("path")))
    carried = _carried(session, parent, {entry.path for entry in entries}) if parent else []
    refused = {(file.path, file.kind): file for file in (*carried, *left)}
    _insert(session, RefusedFile, version, list(refused.values()))
    dataset.current_number = version.number
    session.flush()
    session.expire(dataset, ["versions"])
    return version


def _carried(session: Session, parent: DatasetVersion, paths: set[str]) -> list[Left]:
    """What the parent has not, and the new version neither."""
    query = select(RefusedFile.path, RefusedFile.kind, RefusedFile.reason).where(RefusedFile.version_id == parent.id)
    rows = [Left(*row) for row in session.execute(query.order_by(RefusedFile.id))]
    return [file for file in rows if file.path not in paths]


def _insert(
    session: Session, table: type[Image | RefusedFile], version: DatasetVersion, rows: Sequence[Entry | Left]
) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        session.execute(insert(table), [{"version_id": version.id, **row._asdict()} for row in part])
