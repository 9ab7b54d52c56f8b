"""/api/v1/datasets: labelled images, and the files that were left out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.lists import OpeningId, class_index, page_out
from app.api.schemas.base import Cursor, Limit, PageOut
from app.api.schemas.datasets import DatasetChange, DatasetOut, ImageOut, RefusedOut
from app.deps import DatasetDep, IdentityDep, SessionDep, StorageDep
from app.services import datasets
from models import DatasetState, RefusedKind, Split

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])
VersionNumber = Annotated[
    int | None,
    Query(ge=1, le=10**9, alias="version", description="Number of the version; the current one if not given."),
]


@router.get("")
def list_datasets(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    name: Annotated[str | None, Query(max_length=200, description="Only the one of this name.")] = None,
    state: Annotated[DatasetState | None, Query(description="Only those in this state.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[DatasetOut]:  # fmt: skip
    """List datasets."""
    found = datasets.listing(session, who, name=name, state=state, cursor=cursor, limit=limit)
    newest = datasets.current_versions(session, found.items)
    return page_out(request, response, found, lambda row: DatasetOut.of(row, newest.get(row.id)))


@router.get("/{dataset_id}")
def get_dataset(dataset: DatasetDep, session: SessionDep) -> DatasetOut:
    """Get a dataset with its current version."""
    return DatasetOut.of(dataset, datasets.current_version(session, dataset))


@router.patch("/{dataset_id}")
def change_dataset(dataset: DatasetDep, change: DatasetChange, who: IdentityDep, session: SessionDep) -> DatasetOut:
    """Rename or describe a dataset."""
    if change.name is not None:
        datasets.rename(session, who, dataset, change.name)
    if change.description is not None:
        datasets.describe(session, dataset, change.description)
    return DatasetOut.of(dataset, datasets.current_version(session, dataset))


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(dataset: DatasetDep, who: IdentityDep, session: SessionDep, storage: StorageDep) -> None:
    """Delete a dataset that nothing rests on, with its images."""
    datasets.delete(session, who, dataset, storage=storage)


@router.get("/{dataset_id}/images")
def list_dataset_images(
    request: Request, response: Response, dataset: DatasetDep, session: SessionDep,
    split: Annotated[Split | None, Query(description="Only this split.")] = None,
    label: Annotated[str | None, Query(description="Only this class.")] = None,
    opening: OpeningId = None,
    version: VersionNumber = None, cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[ImageOut]:  # fmt: skip
    """List a version's images in the order of their paths. Locked test images are left out, or refused if asked for alone."""
    row = datasets.version_of(session, dataset, version)
    found = datasets.images(
        session, row, split=split, label=class_index(row.classes, label, "label"), opening_id=opening,
        cursor=cursor, limit=limit,
    )  # fmt: skip
    return page_out(request, response, found, lambda image: ImageOut.of(image, row.classes))


@router.get("/{dataset_id}/refused")
def list_refused_files(
    request: Request, response: Response, dataset: DatasetDep, session: SessionDep,
    kind: Annotated[RefusedKind | None, Query(description="Only these.")] = None,
    version: VersionNumber = None, cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[RefusedOut]:  # fmt: skip
    """List the files that were uploaded and are not in the version, with the reasons."""
    found = datasets.refused(
        session, datasets.version_of(session, dataset, version), kind=kind, cursor=cursor, limit=limit
    )
    return page_out(request, response, found, RefusedOut.of)
