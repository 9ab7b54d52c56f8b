"""Adding images: what to send or name, the plan before commit, and the request for the import."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, UploadFile
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.core.config import Settings
from app.core.db import Database
from app.core.errors import BadInputError, ConflictError, StudioError
from app.deps import DatabaseDep, IdentityDep, PathId, SessionDep, SettingsDep
from app.pages import forms
from app.pages.forms import Choice, Field, Given
from app.pages.into import DatasetId, Into, into, query_of, typed_id
from app.pages.render import Script, render
from app.services import datasets, uploads
from app.services.identity import Identity
from app.services.uploads import Preview
from models import JobKind, Split, Upload, UploadKind
from models.specs import ConversionOptions, ImportSpec, LayoutOptions

router = APIRouter(prefix="/datasets/new", include_in_schema=False)
MAX_ARCHIVE = 2**40  # bytes; the upload's own limit is the setting PHANTOM_MAX_UPLOAD_GB
READING = (
    "group_by",
    "group_pattern",
    "label_by",
    "classes_from",
    "dataset_id",
)  # options that say how an upload is read
CONVERSION = tuple(ConversionOptions.model_fields)
PLACED = {
    *READING,
    *CONVERSION,
    "name",
    "seed",
    "keep_layout_splits",
    "train_percent",
    "val_percent",
}  # by the template
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
class NewPage:
    """into: None where the images become a dataset of their own."""

    settings: Settings
    into: Into | None = None

    @property
    def script(self) -> Script:
        return self.into.script if self.into else UPLOAD_SCRIPT


@dataclass(frozen=True)
class GroupsPage:
    """What the group options give; problem: why they cannot be used."""

    upload: Upload
    preview: Preview | None
    problem: StudioError | None
    has_block_split: bool


@dataclass(frozen=True)
class PlanPage:
    """problem: why nothing can be imported, and then there is no form; odd: what is wrong with the options."""

    upload: Upload
    plan: dict[str, Any] | None
    problem: StudioError | None
    form: forms.Form | None
    groups: GroupsPage | None = None
    classes: tuple[Choice, ...] = ()
    chosen_classes: str = ""
    odd: StudioError | None = None
    into: Into | None = None

    @property
    def script(self) -> Script:
        return self.into.script if self.into else UPLOAD_SCRIPT

    @property
    def columns(self) -> list[str]:
        """The splits that the upload brings, or the one column `all`."""
        assert self.plan is not None
        found = {split for splits in self.plan["counts"].values() for split in splits}
        return [name for name in (*Split, "all") if name in found] + sorted(found - {*Split, "all"})

    @property
    def conversion(self) -> list[Field]:
        """The fields that say how images of more than 8 bit and volumes are converted."""
        assert self.form is not None
        return [self.form[name] for name in CONVERSION]

    @property
    def other_fields(self) -> list[Field]:
        """Options that have no place of their own on the page."""
        assert self.form is not None
        return [field for field in self.form.fields if field.name not in PLACED and field.control != "hidden"]


@router.get("")
def show_form(
    request: Request, session: SessionDep, who: IdentityDep, settings: SettingsDep, dataset_id: DatasetId = None
) -> Response:
    return render(request, "datasets/new.html", NewPage(settings, into(session, who, dataset_id)))


@router.post("", max_body_size=MAX_ARCHIVE)
def send_archive(
    who: IdentityDep, database: DatabaseDep, settings: SettingsDep, archive: UploadFile, dataset_id: DatasetId = None
) -> Response:
    """The way without scripts: one archive in one request."""
    with database.write() as session:
        target = into(session, who, dataset_id)
        upload = uploads.start(session, who, kind=UploadKind.ARCHIVE, name=archive.filename or "archive")
    uploads.folder(settings, upload).receive_archive(archive.file)
    with database.write() as session:
        uploads.note_size(session, settings, uploads.get(session, who, upload.id))
    return RedirectResponse(f"/datasets/new/{upload.id}{query_of(target)}", 303)


@router.get("/{upload_id}")
def show_plan(
    request: Request, database: DatabaseDep, who: IdentityDep, settings: SettingsDep, upload_id: PathId,
    classes: Annotated[str, Query(max_length=120)] = "", dataset_id: DatasetId = None,
) -> Response:  # fmt: skip
    """Makes the plan on the first visit; it is kept with the upload."""
    with database.read() as session:
        upload, target = uploads.get(session, who, upload_id), into(session, who, dataset_id)
    try:
        plan = uploads.look(settings, upload)  # outside a transaction: a large tar.gz takes a while to list
    except StudioError as error:
        page = PlanPage(upload, None, error, None, into=target)
        return render(request, "datasets/plan.html", page, status_code=error.status)
    with database.write() as session:
        uploads.keep_plan(session, uploads.get(session, who, upload_id), plan)
    goes_to = {"dataset_id": str(target.dataset_id)} if target else {"name": _name_from(upload.name)}
    values = {**goes_to, "upload_id": str(upload.id), **_classes_asked_for(classes)}
    page = _plan_page(settings, upload, plan, Given({**values, "group_by": _likely_group(plan, values)}), into=target)
    return render(request, "datasets/plan.html", page)


@router.get("/{upload_id}/groups")
def show_groups(
    request: Request, database: DatabaseDep, who: IdentityDep, settings: SettingsDep, upload_id: PathId
) -> Response:
    """What the group options that are being typed would give."""
    with database.read() as session:
        upload = uploads.get(session, who, upload_id)
    _, page = _look_again(settings, upload, Given.of(request.query_params).values)
    return render(request, "datasets/_groups.html", page)


@router.post("/{upload_id}")
async def request_import(
    request: Request, database: DatabaseDep, who: IdentityDep, settings: SettingsDep, upload_id: PathId
) -> Response:
    given = Given.of(await request.form())
    given = Given({**given.values, "upload_id": str(upload_id)})
    return await run_in_threadpool(_request_import, request, database, settings, who, given, upload_id)


def _request_import(
    request: Request, database: Database, settings: Settings, who: Identity, given: Given, upload_id: int
) -> Response:
    spec, errors = forms.parse(JobKind.IMPORT_DATASET, given)
    if not (given.values.get("name") or given.values.get("dataset_id")):
        errors = {**errors, "": [], "name": ["This is needed."]}
    hint = ""
    if isinstance(spec, ImportSpec):
        try:
            with database.write() as session:
                job = datasets.request_import(session, who, uploads.get(session, who, upload_id), spec)
                return RedirectResponse(f"/jobs/{job.id}", 303)
        except (ConflictError, BadInputError) as error:
            errors, hint = forms.errors_of(error, list(ImportSpec.model_fields)), error.hint
    with database.read() as session:
        upload, target = (
            uploads.get(session, who, upload_id),
            into(session, who, typed_id(given.values.get("dataset_id", ""))),
        )
    plan = upload.plan or uploads.look(settings, upload)
    page = _plan_page(settings, upload, plan, given, errors, hint, into=target)
    return render(request, "datasets/plan.html", page, status_code=422)


@router.post("/{upload_id}/discard")
def discard(session: SessionDep, who: IdentityDep, settings: SettingsDep, upload_id: PathId) -> Response:
    uploads.discard(session, settings, uploads.get(session, who, upload_id))
    return RedirectResponse("/datasets", 303)


def _plan_page(
    settings: Settings, upload: Upload, plan: dict[str, Any], given: Given,
    errors: dict[str, list[str]] | None = None, hint: str = "", *, into: Into | None,
) -> PlanPage:  # fmt: skip
    """The page of a plan as `given` would have it, or as it was found where that cannot be."""
    seen, groups = _look_again(settings, upload, given.values)
    form = forms.make_form(JobKind.IMPORT_DATASET, given, rows={}, errors=errors, hint=hint)
    form = replace(form, fields=tuple(_with_columns(field, plan) for field in form.fields))
    return PlanPage(
        upload, seen or plan, None, form, groups, _class_choices(plan), _chosen_classes(given.values),
        odd=None if seen else groups.problem, into=into,
    )  # fmt: skip


def _look_again(
    settings: Settings, upload: Upload, given: Mapping[str, str]
) -> tuple[dict[str, Any] | None, GroupsPage]:
    """The plan under the options in `given`, and what they say of groups; no plan if they cannot be used."""
    has_block_split = "split_by" in ImportSpec.model_fields
    try:
        preview = uploads.look_again(settings, upload, _options(given))
    except StudioError as error:
        return None, GroupsPage(upload, None, error, has_block_split)
    return preview.plan, GroupsPage(upload, preview, None, has_block_split)


def _options(given: Mapping[str, str]) -> LayoutOptions:
    """The options that say how an upload is read; BadInputError in the spec's words if they do not hold."""
    try:
        return LayoutOptions.model_validate({name: given[name] for name in READING if given.get(name)})
    except ValidationError as error:
        said = [text for texts in forms.by_option(error).values() for text in texts]
        raise BadInputError(" ".join(said)) from error


def _likely_group(plan: Mapping[str, Any], values: Mapping[str, str]) -> str:
    """The first column that could name patients, if any; it is chosen before a person looks."""
    columns = [column["name"] for column in plan["columns"] if column["may_be_groups"]]
    return next((name for name in columns if name != values.get("label_by")), "")


def _with_columns(field: Field, plan: Mapping[str, Any]) -> Field:
    """`group_by` as a choice among the table's columns, `group_pattern` with an example."""
    if field.name == "group_pattern":
        return replace(field, placeholder=r"(person\d+)")
    if field.name != "group_by":
        return field
    columns = [column for column in plan["columns"] if column["role"] != "file"]
    return replace(field, control="select", choices=(Choice("", "no column"), *map(_group_choice, columns)))


def _group_choice(column: Mapping[str, Any]) -> Choice:
    values = f"{column['num_values']:,} value" + ("" if column["num_values"] == 1 else "s")
    return Choice(column["name"], f"{column['name']} ({values}{', patients?' if column['may_be_groups'] else ''})")


def _class_choices(plan: Mapping[str, Any]) -> tuple[Choice, ...]:
    """What may give the classes, where there is a table."""
    if plan["table"] is None:
        return ()
    columns = [column["name"] for column in plan["columns"] if column["role"] != "file"]
    guessed = [column["name"] for column in plan["columns"] if column["role"] == "label"]
    by_itself = "the names of the folders" if plan["kind"] == "folders" else f"the column {', '.join(guessed)}"
    found = "choose …" if plan["needs"] else f"as found: {by_itself}"
    return (
        Choice("", found), Choice("folders", "the names of the folders"),
        *(Choice(f"column:{name}", f"the column {name}") for name in columns),
    )  # fmt: skip


def _classes_asked_for(classes: str) -> dict[str, str]:
    """The options behind a choice of `_class_choices`."""
    if classes.startswith("column:"):
        return {"label_by": classes.removeprefix("column:")}
    return {"classes_from": "folders"} if classes == "folders" else {}


def _chosen_classes(given: Mapping[str, str]) -> str:
    if given.get("label_by"):
        return f"column:{given['label_by']}"
    return "folders" if given.get("classes_from") == "folders" else ""


def _name_from(name: str) -> str:
    """brain_mri.tar.gz -> brain_mri; /data/ct -> ct."""
    name = name.rstrip("/").rsplit("/", 1)[-1]
    for ending in (".zip", ".tar", ".tar.gz", ".tgz", ".npz"):
        name = name.removesuffix(ending)
    return name
