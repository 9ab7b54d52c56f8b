"""Datasets, their versions, images and refused files, as rows and pages of rows."""

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.errors import NotFoundError
from app.services.identity import Identity
from app.services.paging import Page, page
from app.services.rows import LARGEST_ID, owned
from models import Dataset, DatasetState, DatasetVersion, Image, RefusedFile, Split


def get(session: Session, who: Identity, dataset_id: int) -> Dataset:
    return owned(session, who, Dataset, dataset_id, noun="dataset")


def by_name(session: Session, who: Identity, name: str) -> Dataset | None:
    return session.scalar(select(Dataset).where(Dataset.project_id == who.project_id, Dataset.name == name))


def listing(
    session: Session,
    who: Identity,
    *,
    name: str | None = None,
    state: DatasetState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Dataset]:
    """Newest first; of one name or state only if given."""
    query = select(Dataset).where(Dataset.project_id == who.project_id)
    if name is not None:
        query = query.where(Dataset.name == name)
    if state is not None:
        query = query.where(Dataset.state == state)
    return page(session, query, key=Dataset.id, cursor=cursor, limit=limit)


def current_version(session: Session, dataset: Dataset) -> DatasetVersion | None:
    """The newest version; None while there is none."""
    return current_versions(session, [dataset]).get(dataset.id)


def current_versions(session: Session, datasets: Collection[Dataset]) -> dict[int, DatasetVersion]:
    """The newest version of each dataset that has one, by the dataset's id."""
    ids = [dataset.id for dataset in datasets]
    newest = (
        select(func.max(DatasetVersion.id))
        .where(DatasetVersion.dataset_id.in_(ids))
        .group_by(DatasetVersion.dataset_id)
    )
    versions = session.scalars(select(DatasetVersion).where(DatasetVersion.id.in_(newest)))
    return {version.dataset_id: version for version in versions}


def versions(session: Session, dataset: Dataset) -> list[DatasetVersion]:
    """Newest first."""
    query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    return list(session.scalars(query.order_by(DatasetVersion.number.desc())))


def version(session: Session, version_id: int) -> DatasetVersion:
    found = session.get(DatasetVersion, version_id) if 0 < version_id <= LARGEST_ID else None
    if found is None:
        raise NotFoundError(f"There is no dataset version {version_id}.", hint="It may have been deleted.")
    return found


def images(
    session: Session,
    version: DatasetVersion,
    *,
    split: Split | str | None = None,
    label: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Image]:
    """In the order of their paths; of one split or class (its index) only if given."""
    query = select(Image).where(Image.version_id == version.id)
    if split is not None:
        query = query.where(Image.split == split)
    if label is not None:
        query = query.where(Image.label == label)
    return page(session, query, key=Image.id, cursor=cursor, limit=limit, descending=False)


def image(session: Session, who: Identity, image_id: int) -> Image:
    """An image of any dataset of who's project."""
    mine = select(Image).join(DatasetVersion).join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    found = None
    if 0 < image_id <= LARGEST_ID:
        found = session.scalar(mine.where(Image.id == image_id, Dataset.project_id == who.project_id))
    if found is None:
        raise NotFoundError(f"There is no image {image_id}.", hint="Its dataset may have been deleted.")
    return found


def refused(
    session: Session, version: DatasetVersion, *, kind: str | None = None, cursor: str | None = None, limit: int = 50
) -> Page[RefusedFile]:
    """Files that were uploaded and are not in the version, by path; kind: ignored, broken or duplicate."""
    query = select(RefusedFile).where(RefusedFile.version_id == version.id)
    if kind is not None:
        query = query.where(RefusedFile.kind == kind)
    return page(session, query, key=RefusedFile.id, cursor=cursor, limit=limit, descending=False)
