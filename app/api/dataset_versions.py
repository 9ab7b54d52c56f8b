"""/api/v1/datasets/{id}/...: versions and their changes, copies, leaks, overlaps, and the lock of the test images."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.orm import Session

from app.api.schemas.base import API
from app.api.schemas.datasets import VersionOut, VersionsOut
from app.api.schemas.versions import (
    DifferenceOut,
    DuplicatesPageOut,
    GroupOut,
    LeakOut,
    LeaksOut,
    OpeningIn,
    OpeningOut,
    OpeningsOut,
    OverlapIn,
    OverlapOut,
)
from app.deps import DatasetDep, IdentityDep, SessionDep
from app.services import datasets
from app.services.datasets import copies, leaks, openings
from app.services.identity import Identity
from models import Dataset, DatasetVersion
from models.specs.changing import AnyVersionChange

router = APIRouter(prefix="/api/v1/datasets/{dataset_id}", tags=["datasets"])
VersionNumber = Annotated[
    int | None,
    Query(ge=1, le=10**9, alias="version", description="Number of the version; the current one if not given."),
]

GroupNumber = Annotated[int, Path(ge=1, le=10**9, description="Number of the group.")]


@router.get("/versions")
def list_dataset_versions(dataset: DatasetDep, session: SessionDep) -> VersionsOut:
    """List a dataset's versions, newest first."""
    return VersionsOut(items=[VersionOut.of(version) for version in datasets.versions(session, dataset)])


@router.post("/versions", status_code=201)
def change_dataset_version(
    dataset: DatasetDep, change: AnyVersionChange, who: IdentityDep, session: SessionDep, response: Response
) -> VersionOut:
    """Exclude, relabel, move or re-split images: a new version. `restore` goes back to an older one and makes none."""
    version = datasets.change(session, who, dataset, change)
    response.headers["Location"] = f"{API}/datasets/{dataset.id}/versions"
    return VersionOut.of(version)


@router.get("/difference")
def get_difference(
    dataset: DatasetDep, session: SessionDep,
    before: Annotated[int, Query(ge=1, le=10**9, description="Number of a version.")],
    after: Annotated[int, Query(ge=1, le=10**9, description="Number of a version.")],
) -> DifferenceOut:  # fmt: skip
    """Get what differs between two versions."""
    old, new = (datasets.version_of(session, dataset, number) for number in (before, after))
    return DifferenceOut.of(old, new, datasets.difference(session, old, new))


@router.get("/duplicates")
def list_duplicates(
    dataset: DatasetDep, session: SessionDep, version: VersionNumber = None,
    span: Annotated[
        Literal["splits", "classes"] | None, Query(description="Only groups that span several of these.")
    ] = None,
    after: Annotated[int, Query(ge=0, le=10**9, description="Groups with a greater number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> DuplicatesPageOut:  # fmt: skip
    """List groups of identical pictures and look-alikes, side by side."""
    row = datasets.version_of(session, dataset, version)
    found, tally = copies.groups(session, row, span=span, after=after, limit=limit), copies.tally(session, row)
    return DuplicatesPageOut(
        exact=tally.exact, near=tally.near, num_groups=tally.groups, across_splits=tally.across_splits,
        across_classes=tally.across_classes, items=[GroupOut.of(group, row.classes) for group in found],
        next_after=found[-1].cluster if len(found) == limit else None,
    )  # fmt: skip


@router.post("/duplicates/{number}/tell-apart")
def tell_duplicates_apart(
    dataset: DatasetDep, number: GroupNumber, who: IdentityDep, session: SessionDep, version: VersionNumber = None
) -> VersionOut:
    """Remember that the look-alikes of a group are different pictures; groups and leaks of all versions follow."""
    row = datasets.version_of(session, dataset, version)
    copies.tell_apart(session, who, row, number)
    return VersionOut.of(row)


@router.get("/leaks")
def get_leaks(dataset: DatasetDep, session: SessionDep, version: VersionNumber = None) -> LeaksOut:
    """List patients, identical pictures and look-alikes that stand in several splits."""
    row = datasets.version_of(session, dataset, version)
    return LeaksOut(counts=row.leaks, items=[LeakOut.of(leak, row.classes) for leak in leaks.found(session, row)])


@router.post("/overlap")
def compare_datasets(dataset: DatasetDep, other: OverlapIn, who: IdentityDep, session: SessionDep) -> OverlapOut:
    """Find images of another dataset that are also in this one: identical, near, mirrored."""
    data = datasets.version_of(session, dataset, other.version)
    compared = _other(session, who, other)
    return OverlapOut.of(copies.overlap(session, data, compared), data.classes, compared.classes)


def _other(session: Session, who: Identity, asked: OverlapIn) -> DatasetVersion:
    other: Dataset = datasets.get(session, who, asked.other_dataset_id)
    return datasets.version_of(session, other, asked.other_version)


@router.get("/openings")
def list_openings(dataset: DatasetDep, session: SessionDep, version: VersionNumber = None) -> OpeningsOut:
    """Get whether the test images are locked, and every look at them."""
    row = datasets.version_of(session, dataset, version)
    return OpeningsOut.of(openings.lock(session, row), openings.listing(session, dataset))


@router.post("/openings", status_code=201)
def open_test_images(dataset: DatasetDep, asked: OpeningIn, who: IdentityDep, session: SessionDep) -> OpeningOut:
    """Count a look at the test images: before listing them by a script, or to unlock them for everybody."""
    row = datasets.version_of(session, dataset, asked.version)
    if asked.kind == "unlock":
        return OpeningOut.of(openings.unlock(session, who, row, asked.reason))
    return OpeningOut.of(openings.open_list(session, who, row, num_images=asked.num_images))
