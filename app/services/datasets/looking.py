"""Datasets, their versions, images and refused files, as rows and pages of rows."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError, NotFoundError
from app.services.datasets import openings
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
    """The version that new jobs use; None while there is none."""
    return current_versions(session, [dataset]).get(dataset.id)


def current_versions(session: Session, datasets: Collection[Dataset]) -> dict[int, DatasetVersion]:
    """The current version of each dataset that has one, by the dataset's id."""
    ids = [dataset.id for dataset in datasets]
    query = select(DatasetVersion).join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    versions = session.scalars(query.where(Dataset.id.in_(ids), DatasetVersion.number == Dataset.current_number))
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


def version_of(session: Session, dataset: Dataset, number: int | None) -> DatasetVersion:
    """The dataset's version of this number, the current one for None; an error that says why there is none."""
    found = versions(session, dataset)
    if not found:
        raise ConflictError(
            f"Dataset {dataset.name!r} is {dataset.state}: it has no images yet.", hint="Wait for its import."
        )
    wanted = dataset.current_number if number is None else number
    version = next((each for each in found if each.number == wanted), None)
    if version is None:
        raise NotFoundError(f"Dataset {dataset.name!r} has no version {wanted}; the newest is {found[0].number}.")
    return version


def images(
    session: Session,
    version: DatasetVersion,
    *,
    split: Split | str | None = None,
    label: int | None = None,
    opening_id: int | None = None,
    to_explain: bool = False,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Image]:
    """In the order of their paths; of one split or class (its index) only if given.

    Locked test images are left out, and asked for alone they are refused (LockedError), unless `opening_id` counts the look;
    or `to_explain`: they are offered for an explanation, which counts itself.
    """
    query = select(Image).where(Image.version_id == version.id)
    if to_explain:
        pass
    elif split == Split.TEST:
        openings.need_open(session, version, opening_id)
    elif split is None and openings.lock(session, version).is_locked:
        query = query.where(Image.split != Split.TEST)
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
