"""The health of a version: what the database counts now, what its check measured, and the check itself."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.datasets import openings
from app.services.datasets.revising import request_check
from app.services.datasets.summaries import Summary, summary
from app.services.identity import Identity
from models import Dataset, DatasetVersion, Image, Job, JobKind, Split

QUALITY = frozenset({"blank", "dark", "bright", "low_information", "blurred", "odd_aspect"})  # images that look wrong


@dataclass(frozen=True)
class Health:
    """check: the newest, None if there was none. version.health is None until a check has ended."""

    version: DatasetVersion
    summary: Summary
    check: Job | None

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The worst first, each link an address of this studio."""
        found = self.version.health["findings"] if self.version.health is not None else []
        place = f"/datasets/{self.version.dataset_id}"
        return [{**each, "link": _address(place, each["link"], self.version.number)} for each in found]


def _address(place: str, link: str | None, number: int) -> str | None:
    if link is None:
        return None
    path, _, query = link.partition("?")
    return f"{place}/{path}?" + "&".join([part for part in (query, f"version={number}") if part])


def of(session: Session, version: DatasetVersion) -> Health:
    return Health(version, summary(session, version), latest_check(session, version))


def latest_check(session: Session, version: DatasetVersion) -> Job | None:
    project = select(Dataset.project_id).where(Dataset.id == version.dataset_id).scalar_subquery()
    query = select(Job).where(
        Job.project_id == project,
        Job.kind == JobKind.CHECK_DATASET,
        Job.spec["version_id"].as_integer() == version.id,
    )
    return session.scalar(query.order_by(Job.id.desc()).limit(1))


def check(session: Session, who: Identity, version: DatasetVersion) -> Job:
    """Check a version again; a check of it that has not ended is the one."""
    under_way = latest_check(session, version)
    if under_way is not None and not under_way.is_finished:
        return under_way
    return request_check(session, who, version)


class Shown(NamedTuple):
    """images: in the order of the ids; num_locked: those that are test images, which are locked."""

    images: list[Image]
    num_locked: int


def images(session: Session, version: DatasetVersion, image_ids: Collection[int]) -> Shown:
    """Images of a finding, as far as they may be looked at."""
    ids = list(image_ids)
    rows = session.scalars(select(Image).where(Image.version_id == version.id, Image.id.in_(ids)))
    found = sorted(rows, key=lambda image: ids.index(image.id))
    if not openings.lock(session, version).is_locked:
        return Shown(found, 0)
    visible = [image for image in found if image.split != Split.TEST]
    return Shown(visible, len(found) - len(visible))
