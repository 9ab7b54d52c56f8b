"""What exists in a project, in a handful of counts, and how full the machine is."""

import shutil
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.config import Settings
from app.services.identity import Identity
from models import (
    FINISHED,
    Checkpoint,
    Classifier,
    Dataset,
    DatasetState,
    Evaluation,
    Explanation,
    Job,
    JobState,
    SyntheticSet,
)

LATEST = 3
ACTIVE_SHOWN = 8


@dataclass(frozen=True)
class Shelf:
    """The rows of one kind: how many there are, and the newest few."""

    total: int
    newest: list[Any]


@dataclass(frozen=True)
class Overview:
    datasets: Shelf
    checkpoints: Shelf
    synthetic_sets: Shelf
    classifiers: Shelf
    evaluations: Shelf
    explanations: Shelf
    active: list[Job]  # the first few
    num_active: int
    failed: Job | None  # the newest job, if it failed

    @property
    def is_empty(self) -> bool:
        return not (self.datasets.total or self.active or self.checkpoints.total)


@dataclass(frozen=True)
class Disk:
    total: int
    free: int

    @property
    def used_fraction(self) -> float:
        return 1 - self.free / self.total


def overview(session: Session, who: Identity) -> Overview:
    active, num_active = _active(session, who)
    return Overview(
        datasets=_shelf(session, who, Dataset, Dataset.state == DatasetState.READY),
        checkpoints=_shelf(session, who, Checkpoint),
        synthetic_sets=_shelf(session, who, SyntheticSet),
        classifiers=_shelf(session, who, Classifier),
        evaluations=_shelf(session, who, Evaluation),
        explanations=_shelf(session, who, Explanation),
        active=active,
        num_active=num_active,
        failed=_newest_if_failed(session, who),
    )


def _shelf(session: Session, who: Identity, table: Any, *conditions: Any) -> Shelf:
    mine = (table.project_id == who.project_id, *conditions)
    total = session.scalar(select(func.count()).select_from(table).where(*mine)) or 0
    newest = session.scalars(select(table).where(*mine).order_by(table.id.desc()).limit(LATEST))
    return Shelf(total, list(newest))


def _active(session: Session, who: Identity) -> tuple[list[Job], int]:
    """What runs, waits or is paused, in this order: the first few, and how many there are."""
    unfinished = (Job.project_id == who.project_id, Job.state.not_in(FINISHED))
    order = (
        Job.state != JobState.RUNNING,
        Job.state != JobState.QUEUED,
        Job.state == JobState.WAITING,
        Job.priority.desc(),
        Job.id,
    )
    total = session.scalar(select(func.count()).select_from(Job).where(*unfinished)) or 0
    return list(session.scalars(select(Job).where(*unfinished).order_by(*order).limit(ACTIVE_SHOWN))), total


def _newest_if_failed(session: Session, who: Identity) -> Job | None:
    newest = session.scalar(select(Job).where(Job.project_id == who.project_id).order_by(Job.id.desc()).limit(1))
    return newest if newest is not None and newest.state == JobState.FAILED else None


def disk(settings: Settings) -> Disk:
    """Room on the disk that holds the data folder."""
    folder = next(path for path in (settings.folder, *settings.folder.parents) if path.exists())
    usage = shutil.disk_usage(folder)
    return Disk(total=usage.total, free=usage.free)
