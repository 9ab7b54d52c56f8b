"""What can be trusted about a dataset: its versions and their changes, copies side by side, leaks, the lock of the test images."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator, ValidationError
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.core.errors import BadInputError
from app.deps import DatasetDep, IdentityDep, SessionDep
from app.pages.render import Script, none_if_empty, render
from app.services import datasets
from app.services.datasets import copies, leaks, openings
from app.services.datasets.copies import Group, Overlap, Tally
from app.services.datasets.leaks import Leak
from app.services.datasets.openings import Lock
from app.services.datasets.revising import Difference
from models import Dataset, DatasetVersion, Opening
from models.specs.changing import VersionChange, version_change_adapter

router = APIRouter(prefix="/datasets/{dataset_id}", include_in_schema=False)
GROUPS_SHOWN = 20
CHANGES_SHOWN = 500
Number = Annotated[int | None, Query(ge=1, le=10**9), BeforeValidator(none_if_empty)]


@dataclass(frozen=True)
class VersionsPage:
    dataset: Dataset
    versions: list[DatasetVersion]
    lock: Lock
    openings: list[Opening]
    before: DatasetVersion | None
    after: DatasetVersion | None
    difference: Difference | None
    script: Script

    @property
    def shown(self) -> int:
        return CHANGES_SHOWN


@dataclass(frozen=True)
class DuplicatesPage:
    dataset: Dataset
    version: DatasetVersion
    tally: Tally
    groups: list[Group]
    span: str | None
    next_after: int | None
    script: Script


@dataclass(frozen=True)
class LeaksPage:
    dataset: Dataset
    version: DatasetVersion
    leaks: list[Leak]
    words: str
    script: Script


@dataclass(frozen=True)
class OverlapPage:
    """found: None until another dataset is chosen."""

    dataset: Dataset
    version: DatasetVersion
    others: list[Dataset]
    other: Dataset | None
    other_version: DatasetVersion | None
    found: Overlap | None
    script: Script


@router.get("/versions")
def show_versions(
    request: Request, dataset: DatasetDep, session: SessionDep, before: Number = None, after: Number = None
) -> Response:
    versions = datasets.versions(session, dataset)
    if not versions:
        return RedirectResponse(f"/datasets/{dataset.id}", 303)
    old = datasets.version_of(session, dataset, before) if before else None
    new = datasets.version_of(session, dataset, after) if after else None
    page = VersionsPage(
        dataset=dataset, versions=versions, lock=openings.lock(session, datasets.version_of(session, dataset, None)),
        openings=openings.listing(session, dataset), before=old, after=new,
        difference=datasets.difference(session, old, new) if old and new else None,
        script=_script(dataset, "versions", 'data.change("resplit", seed=1)\nfor version in data.versions:\n    print(version["number"], version["change"])'),
    )  # fmt: skip
    return render(request, "datasets/versions.html", page)


@router.post("/change")
async def change(request: Request, dataset: DatasetDep, session: SessionDep, who: IdentityDep) -> Response:
    """Any change of the images; what the form sends is checked as the REST API's body is."""
    form = await request.form()
    asked = _asked({name: form.getlist(name) for name in form})
    datasets.change(session, who, dataset, asked)
    back = str(form.get("back") or "versions")
    return RedirectResponse(
        f"/datasets/{dataset.id}" + (f"/{back}" if back in ("versions", "duplicates", "leaks", "health") else ""), 303
    )


def _asked(values: dict[str, list[Any]]) -> VersionChange:
    """A change from form fields: lists stay lists for image_ids, and are single values elsewhere."""
    ids = [each for each in values.pop("image_ids", []) if each]
    given = {name: found[-1] for name, found in values.items() if name != "back" and found[-1] != ""}
    try:
        return version_change_adapter.validate_python(given | ({"image_ids": ids} if ids else {}))
    except ValidationError as error:
        first = error.errors()[0]
        if "image_ids" in first["loc"]:
            raise BadInputError("No image is selected.", hint="Select images first, then choose what to do.") from error
        where = ".".join(str(part) for part in first["loc"][1:])
        raise BadInputError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


@router.get("/duplicates")
def show_duplicates(
    request: Request, dataset: DatasetDep, session: SessionDep, version: Number = None,
    span: Annotated[str | None, Query(pattern="^(splits|classes)$"), BeforeValidator(none_if_empty)] = None,
    after: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Response:  # fmt: skip
    row = datasets.version_of(session, dataset, version)
    found = copies.groups(session, row, span=span, after=after, limit=GROUPS_SHOWN)
    page = DuplicatesPage(
        dataset=dataset, version=row, tally=copies.tally(session, row), groups=found, span=span,
        next_after=found[-1].cluster if len(found) == GROUPS_SHOWN else None,
        script=_script(dataset, "duplicates", 'for group in data.duplicates():\n    print(group["identical"], [image["path"] for image in group["images"]])'),
    )  # fmt: skip
    return render(request, "datasets/duplicates.html", page)


@router.post("/duplicates/{number}/tell-apart")
def tell_apart(
    dataset: DatasetDep, number: Annotated[int, Path(ge=1, le=10**9)], session: SessionDep, who: IdentityDep
) -> Response:
    copies.tell_apart(session, who, datasets.version_of(session, dataset, None), number)
    return RedirectResponse(f"/datasets/{dataset.id}/duplicates?after={max(number - 1, 0)}", 303)


@router.get("/leaks")
def show_leaks(request: Request, dataset: DatasetDep, session: SessionDep, version: Number = None) -> Response:
    row = datasets.version_of(session, dataset, version)
    page = LeaksPage(
        dataset, row, leaks.found(session, row, limit=50), leaks.in_words(row.leaks),
        _script(dataset, "leaks", "print(data.leaks)\ndata.change(\"mend_leaks\", how=\"exclude\")"),
    )  # fmt: skip
    return render(request, "datasets/leaks.html", page)


@router.get("/overlap")
def show_overlap(
    request: Request, dataset: DatasetDep, session: SessionDep, who: IdentityDep, other: Number = None
) -> Response:
    row = datasets.version_of(session, dataset, None)
    others = [each for each in _others(session, who) if each.id != dataset.id]
    chosen = datasets.get(session, who, other) if other else None
    chosen_version = datasets.version_of(session, chosen, None) if chosen else None
    page = OverlapPage(
        dataset=dataset, version=row, others=others, other=chosen, other_version=chosen_version,
        found=copies.overlap(session, row, chosen_version, most_pairs=60) if chosen_version else None,
        script=_script(dataset, "overlap", 'other = studio.datasets.get("another")\nfound = data.overlap(other)\nprint(found.identical, found.near, found.mirrored)'),
    )  # fmt: skip
    return render(request, "datasets/overlap.html", page)


def _others(session: Session, who: IdentityDep) -> list[Dataset]:
    return datasets.listing(session, who, limit=200).items


@router.post("/unlock")
def unlock(
    dataset: DatasetDep, session: SessionDep, who: IdentityDep, reason: Annotated[str, Form(max_length=1000)] = ""
) -> Response:
    openings.unlock(session, who, datasets.version_of(session, dataset, None), reason)
    return RedirectResponse(f"/datasets/{dataset.id}?split=test", 303)


@router.post("/lock")
def lock(dataset: DatasetDep, session: SessionDep, who: IdentityDep) -> Response:
    openings.lock_again(session, who, datasets.version_of(session, dataset, None))
    return RedirectResponse(f"/datasets/{dataset.id}/versions", 303)


def _script(dataset: Dataset, what: str, lines: str) -> Script:
    method = '-d \'{"other_dataset_id": 2}\' -H "Content-Type: application/json" ' if what == "overlap" else ""
    return Script(
        client=f'data = studio.datasets.get("{dataset.name}")\n{lines}',
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" {method}"$PHANTOM_URL/api/v1/datasets/{dataset.id}/{what}"',
    )
