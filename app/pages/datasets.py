"""Datasets: the list, and looking at what was imported."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.deps import DatasetDep, IdentityDep, SessionDep, StorageDep
from app.pages.adding import UPLOAD_SCRIPT
from app.pages.render import Script, none_if_empty, render
from app.pages.results import enlarged
from app.services import datasets
from app.services.datasets import Summary, leaks, openings
from app.services.datasets.openings import Lock
from app.services.paging import Page
from models import Dataset, DatasetVersion, Image, RefusedFile, Split

router = APIRouter(prefix="/datasets", include_in_schema=False)
IMAGES_SHOWN = 120
REFUSED_SHOWN = 100
SUMMARIES_KEPT = 256


@dataclass(frozen=True)
class Row:
    dataset: Dataset
    version: DatasetVersion | None
    cover: list[Image]


@dataclass(frozen=True)
class ListPage:
    rows: list[Row]
    next_cursor: str | None
    script: Script = UPLOAD_SCRIPT


@dataclass(frozen=True)
class ShowPage:
    dataset: Dataset
    version: DatasetVersion | None
    versions: list[DatasetVersion]
    summary: Summary | None
    images: Page[Image] | None
    label: int | None
    split: Split | None
    lock: Lock | None
    leaks: str
    script: Script

    @property
    def shown(self) -> int:
        """How many images the chosen class and split have."""
        assert self.version is not None
        classes = self.version.classes if self.label is None else [self.version.classes[self.label]]
        hidden = [Split.TEST] if self.lock is not None and self.lock.is_locked else []
        splits = [split for split in Split if split not in hidden] if self.split is None else [self.split]
        return sum(self.version.counts.get(name, {}).get(split, 0) for name in classes for split in splits)

    def slide_of(self, image: Image) -> tuple[int, int]:
        return enlarged(image.width, image.height)


@dataclass(frozen=True)
class RefusedPage:
    dataset: Dataset
    version: DatasetVersion
    counts: dict[str, int]
    refused: Page[RefusedFile]
    kind: str | None
    script: Script


@router.get("")
def show_list(
    request: Request, session: SessionDep, who: IdentityDep, cursor: Annotated[str | None, Query(max_length=20)] = None
) -> Response:
    found = datasets.listing(session, who, cursor=cursor)
    newest = datasets.current_versions(session, found.items)
    rows = [Row(dataset, newest.get(dataset.id), _cover(session, newest.get(dataset.id))) for dataset in found.items]
    return render(request, "datasets/index.html", ListPage(rows, found.next_cursor))


def _cover(session: Session, version: DatasetVersion | None) -> list[Image]:
    """One image of each of the first classes."""
    if version is None:
        return []
    return [
        image
        for label in range(min(len(version.classes), 5))
        for image in datasets.images(session, version, label=label, limit=1).items
    ]


@router.get("/{dataset_id}")
def show(
    request: Request,
    dataset: DatasetDep,
    session: SessionDep,
    split: Annotated[Split | None, BeforeValidator(none_if_empty)] = None,
    label: Annotated[int | None, BeforeValidator(none_if_empty)] = None,
    cursor: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    version = datasets.current_version(session, dataset)
    label = label if version is not None and label is not None and 0 <= label < len(version.classes) else None
    lock = openings.lock(session, version) if version else None
    is_hidden = version is None or lock is None or (lock.is_locked and split == Split.TEST)
    images = (
        datasets.images(session, version, split=split, label=label, cursor=cursor, limit=IMAGES_SHOWN)
        if version and not is_hidden
        else None
    )
    page = ShowPage(
        dataset=dataset,
        version=version,
        versions=datasets.versions(session, dataset),
        summary=_summary(request, session, version) if version else None,
        images=images,
        label=label,
        split=split,
        lock=lock,
        leaks=leaks.in_words(version.leaks) if version else "",
        script=_script(dataset, split),
    )
    return render(request, "datasets/show.html", page)


def _summary(request: Request, session: Session, version: DatasetVersion) -> Summary:
    """Kept while the process lives: a version never changes, and counting 100,000 images takes a while."""
    kept: dict[str, Summary] = request.app.state.summaries
    key = f"{version.id} {version.manifest_sha256}"
    if key not in kept:
        if len(kept) >= SUMMARIES_KEPT:
            kept.clear()
        kept[key] = datasets.summary(session, version)
    return kept[key]


def _script(dataset: Dataset, split: Split | None) -> Script:
    return Script(
        client=(
            f'data = studio.datasets.get("{dataset.name}")\nprint(data.classes, data.counts)\n'
            f'images = data.split("{split or Split.TEST}").images(limit=4)'
        ),
        curl=(
            f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/datasets/{dataset.id}"\n'
            f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" \\\n'
            f'     "$PHANTOM_URL/api/v1/datasets/{dataset.id}/images?split={split or Split.TEST}&limit=4"'
        ),
    )


@router.get("/{dataset_id}/refused")
def show_refused(
    request: Request,
    dataset: DatasetDep,
    session: SessionDep,
    kind: Annotated[str | None, Query(max_length=20), BeforeValidator(none_if_empty)] = None,
    cursor: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    version = datasets.current_version(session, dataset)
    if version is None:
        return RedirectResponse(f"/datasets/{dataset.id}", 303)
    found = datasets.refused(session, version, kind=kind, cursor=cursor, limit=REFUSED_SHOWN)
    page = RefusedPage(
        dataset, version, _summary(request, session, version).refused, found, kind, _script(dataset, None)
    )
    return render(request, "datasets/refused.html", page)


@router.post("/{dataset_id}/rename")
def rename(
    dataset: DatasetDep, session: SessionDep, who: IdentityDep, name: Annotated[str, Form(max_length=1000)]
) -> Response:
    datasets.rename(session, who, dataset, name)
    return RedirectResponse(f"/datasets/{dataset.id}", 303)


@router.post("/{dataset_id}/delete")
def delete(dataset: DatasetDep, session: SessionDep, who: IdentityDep, storage: StorageDep) -> Response:
    datasets.delete(session, who, dataset, storage=storage)
    return RedirectResponse("/datasets", 303)
