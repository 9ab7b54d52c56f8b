"""Datasets: the list, adding images with a plan before commit, and looking at what was imported."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.core.config import Settings
from app.core.db import Database
from app.core.errors import BadInputError, ConflictError, StudioError
from app.deps import DatabaseDep, DatasetDep, IdentityDep, PathId, SessionDep, SettingsDep, StorageDep
from app.pages import forms
from app.pages.render import Script, none_if_empty, render
from app.pages.results import enlarged
from app.services import datasets, uploads
from app.services.datasets import Summary
from app.services.identity import Identity
from app.services.paging import Page
from models import Dataset, DatasetVersion, Image, JobKind, RefusedFile, Split, Upload, UploadKind
from models.specs import ImportSpec

router = APIRouter(prefix="/datasets", include_in_schema=False)
IMAGES_SHOWN = 120
REFUSED_SHOWN = 100
SUMMARIES_KEPT = 256
MAX_ARCHIVE = 2**40  # bytes; the upload's own limit is the setting PHANTOM_MAX_UPLOAD_GB
UPLOAD_SCRIPT = Script(
    client="""from phantom import Studio

studio = Studio()
data = studio.datasets.upload("brain_mri.zip", name="brain-mri")    # or a folder
print(data.classes, data.counts)""",
    curl="""curl -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\
     -d '{"kind": "archive", "name": "brain_mri.zip"}' "$PHANTOM_URL/api/v1/uploads"
curl -X PATCH -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Upload-Offset: 0" \\
     -H "Content-Type: application/offset+octet-stream" \\
     --data-binary @brain_mri.zip "$PHANTOM_URL/api/v1/uploads/1/content"
curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/uploads/1/plan"
curl -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\
     -d '{"name": "brain-mri"}' "$PHANTOM_URL/api/v1/uploads/1/import\"""",
)


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
class NewPage:
    settings: Settings
    script: Script = UPLOAD_SCRIPT


@dataclass(frozen=True)
class PlanPage:
    """problem: why nothing can be imported; then there is no form."""

    upload: Upload
    plan: dict[str, Any] | None
    problem: StudioError | None
    form: forms.Form | None
    script: Script = UPLOAD_SCRIPT

    @property
    def columns(self) -> list[str]:
        """The splits that the upload brings, or the one column `all`."""
        assert self.plan is not None
        found = {split for splits in self.plan["counts"].values() for split in splits}
        return [name for name in (*Split, "all") if name in found] + sorted(found - {*Split, "all"})


@dataclass(frozen=True)
class ShowPage:
    dataset: Dataset
    version: DatasetVersion | None
    versions: list[DatasetVersion]
    summary: Summary | None
    images: Page[Image] | None
    label: int | None
    split: Split | None
    script: Script

    @property
    def shown(self) -> int:
        """How many images the chosen class and split have."""
        assert self.version is not None
        classes = self.version.classes if self.label is None else [self.version.classes[self.label]]
        splits = list(Split) if self.split is None else [self.split]
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


@router.get("/new")
def show_form(request: Request, settings: SettingsDep) -> Response:
    return render(request, "datasets/new.html", NewPage(settings))


@router.post("/new", max_body_size=MAX_ARCHIVE)
def send_archive(who: IdentityDep, database: DatabaseDep, settings: SettingsDep, archive: UploadFile) -> Response:
    """The way without scripts: one archive in one request."""
    with database.write() as session:
        upload = uploads.start(session, who, kind=UploadKind.ARCHIVE, name=archive.filename or "archive")
    uploads.folder(settings, upload).receive_archive(archive.file)
    with database.write() as session:
        uploads.note_size(session, settings, uploads.get(session, who, upload.id))
    return RedirectResponse(f"/datasets/new/{upload.id}", 303)


@router.get("/new/{upload_id}")
def show_plan(
    request: Request, database: DatabaseDep, who: IdentityDep, settings: SettingsDep, upload_id: PathId
) -> Response:
    """Makes the plan on the first visit; it is kept with the upload."""
    plan, problem = None, None
    with database.read() as session:
        upload = uploads.get(session, who, upload_id)
    try:
        plan = uploads.look(settings, upload)  # outside a transaction: a large tar.gz takes a while to list
    except StudioError as error:
        problem = error
    else:
        with database.write() as session:
            uploads.keep_plan(session, uploads.get(session, who, upload_id), plan)
    form = _import_form(forms.Given({"name": _name_from(upload.name), "upload_id": str(upload.id)})) if plan else None
    return render(
        request,
        "datasets/plan.html",
        PlanPage(upload, plan, problem, form),
        status_code=problem.status if problem else 200,
    )


def _import_form(given: forms.Given, errors: dict[str, list[str]] | None = None, hint: str = "") -> forms.Form:
    return forms.make_form(JobKind.IMPORT_DATASET, given, rows={}, errors=errors, hint=hint)


def _name_from(file_name: str) -> str:
    """brain_mri.tar.gz -> brain_mri."""
    name = file_name.rsplit("/", 1)[-1]
    for ending in (".zip", ".tar", ".tar.gz", ".tgz"):
        name = name.removesuffix(ending)
    return name


@router.post("/new/{upload_id}")
async def request_import(request: Request, database: DatabaseDep, who: IdentityDep, upload_id: PathId) -> Response:
    given = forms.Given.of(await request.form())
    given = forms.Given({**given.values, "upload_id": str(upload_id)})
    return await run_in_threadpool(_request_import, request, database, who, given, upload_id)


def _request_import(
    request: Request, database: Database, who: Identity, given: forms.Given, upload_id: int
) -> Response:
    spec, errors = forms.parse(JobKind.IMPORT_DATASET, given)
    hint = ""
    if isinstance(spec, ImportSpec):
        try:
            with database.write() as session:
                job = datasets.request_import(session, who, uploads.get(session, who, upload_id), spec)
                return RedirectResponse(f"/jobs/{job.id}", 303)
        except (ConflictError, BadInputError) as error:
            errors, hint = forms.errors_of(error, list(ImportSpec.model_fields)), error.hint
    with database.read() as session:
        upload = uploads.get(session, who, upload_id)
    page = PlanPage(upload, upload.plan, None, _import_form(given, errors, hint))
    return render(request, "datasets/plan.html", page, status_code=422)


@router.post("/new/{upload_id}/discard")
def discard(session: SessionDep, who: IdentityDep, settings: SettingsDep, upload_id: PathId) -> Response:
    uploads.discard(session, settings, uploads.get(session, who, upload_id))
    return RedirectResponse("/datasets", 303)


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
    images = (
        datasets.images(session, version, split=split, label=label, cursor=cursor, limit=IMAGES_SHOWN)
        if version
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
