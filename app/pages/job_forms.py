"""Asking for a job: a form made from the spec, presets first, with the time and memory that it would take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.core.db import Database
from app.core.errors import BadInputError, ConflictError, NotFoundError, StudioError
from app.deps import DatabaseDep, IdentityDep, SessionDep
from app.pages import forms
from app.pages.forms import Choice, Form, Given, make_form
from app.pages.render import Script, render
from app.services import checkpoints, classifiers, datasets, estimates, jobs, synthetic_sets
from app.services.estimates import Estimate
from app.services.identity import Identity
from app.services.prepare import prepare
from models import Dataset, DatasetState, Job, JobKind
from models.specs import DEFAULT_SIZES, SPEC_OF, AskedSpec, TrainDiffusionSpec

router = APIRouter(prefix="/jobs/new", include_in_schema=False)
CHOICES = 200  # newest rows offered for each option
ABOUT = {
    JobKind.TRAIN_DIFFUSION: ("Train a diffusion model", "Learns to draw images of each class of a dataset.", "brain", "Train"),
    JobKind.SAMPLE: ("Draw a synthetic set", "A checkpoint draws as many images of each class as you ask for.", "layers", "Draw"),
    JobKind.TRAIN_CLASSIFIER: ("Train a classifier", "Learns classes from real images, synthetic ones or both; real validation images choose the best epoch.", "shapes", "Train"),
    JobKind.EVALUATE: ("Test a classifier", "Every image of a real split is classified; all figures come with intervals.", "target", "Test"),
    JobKind.AUDIT_SET: ("Audit a synthetic set", "How near its images come to real ones, and whether they give training images away; copies are left out of a further set.", "shield-check", "Audit"),
    JobKind.EXPLAIN: ("Explain decisions", "LIME shows which regions of an image speak for a class and which against it.", "scan-search", "Explain"),
}  # fmt: skip
PRESETS = {
    "tiny": "To see that everything works; the demo uses it.",
    "small": "A good start on one computer, without a GPU if need be.",
    "base": "For results; wants a GPU.",
    "large": "The best images; wants a large GPU and patience.",
}
NEEDS = {
    JobKind.TRAIN_DIFFUSION: ("dataset_id", "A diffusion model learns from a dataset", "/datasets/new", "Add images"),
    JobKind.SAMPLE: (
        "checkpoint_id",
        "Sampling needs a trained checkpoint",
        "/jobs/new/train_diffusion",
        "Train a diffusion model",
    ),
    JobKind.TRAIN_CLASSIFIER: (
        "dataset_id",
        "A classifier needs a dataset of real images",
        "/datasets/new",
        "Add images",
    ),
    JobKind.EVALUATE: (
        "classifier_id",
        "There is no classifier to test",
        "/jobs/new/train_classifier",
        "Train a classifier",
    ),
    JobKind.AUDIT_SET: (
        "synthetic_set_id",
        "There is no synthetic set to audit",
        "/jobs/new/sample",
        "Draw a synthetic set",
    ),
}


NO_FORM = {
    JobKind.SAMPLE_PART: "Ask for a sampling with num_parts; the studio makes its parts.",
    JobKind.SUMMARISE_STUDY: "Launch or extend a study; the studio makes its table.",
}


def with_form(kind: JobKind) -> JobKind:
    """The kind in the address; NotFoundError for one that nobody asks for by itself."""
    if kind in NO_FORM:
        raise NotFoundError(f"There is no form for jobs of the kind {kind}.", hint=NO_FORM[kind])
    return kind


FormKind = Annotated[JobKind, Depends(with_form)]


@dataclass(frozen=True)
class Card:
    """A preset with what it takes at the image size chosen; estimate: None while no dataset is chosen."""

    name: str
    about: str
    image_size: int
    num_steps: int
    estimate: Estimate | None
    is_chosen: bool


@dataclass(frozen=True)
class FormPage:
    form: Form
    cards: list[Card]
    estimate: Estimate | None
    like: Job | None
    missing: tuple[str, str, str] | None  # what must exist first: words, address, button
    title: str
    about: str
    verb: str
    script: Script


@dataclass(frozen=True)
class ChoosePage:
    kinds: list[tuple[JobKind, str, str, str]]
    script: Script


@router.get("")
def choose_kind(request: Request) -> Response:
    script = Script(
        'job = studio.submit("sample", checkpoint_id=1, per_class=50)',
        'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/docs"',
    )
    kinds = [(kind, title, about, icon) for kind, (title, about, icon, _) in ABOUT.items()]
    return render(request, "jobs/choose.html", ChoosePage(kinds, script))


@router.get("/{kind}")
def show_form(
    request: Request,
    session: SessionDep,
    who: IdentityDep,
    kind: FormKind,
    like: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> Response:
    query = Given.of(request.query_params)
    if kind == JobKind.IMPORT_DATASET:
        return RedirectResponse("/datasets/new", 303)
    if kind == JobKind.CHECK_DATASET:
        return RedirectResponse("/datasets", 303)
    old = jobs.get(session, who, like) if like is not None else None
    if kind == JobKind.EXPLAIN:
        classifier = query.values.get("classifier_id") or (old.spec.get("classifier_id") if old else None)
        return RedirectResponse(
            f"/explanations/new?classifier_id={classifier}" if classifier else "/explanations/new", 303
        )
    if old is not None and old.kind != kind:
        raise NotFoundError(
            f"Job {old.id} is of another kind: {old.kind}.", hint=f"Open /jobs/new/{old.kind}?like={old.id}"
        )
    known = {name: value for name, value in query.values.items() if name in SPEC_OF[kind].model_fields}
    given = Given(
        {**(Given.of_spec(jobs.duplicate(old)).values if old else {}), **known},
        Given.of_spec(old.spec).counts if old else {},
    )
    return render(request, "jobs/new.html", make_page(session, who, kind, given, like=old))


@router.post("/{kind}/form")
async def show_again(request: Request, database: DatabaseDep, who: IdentityDep, kind: FormKind) -> Response:
    """The form as it is now filled in, with placeholders and the estimate that follow from it. Submits nothing."""
    given = Given.of(await request.form())
    return await run_in_threadpool(_show_again, request, database, who, kind, given)


def _show_again(request: Request, database: Database, who: Identity, kind: JobKind, given: Given) -> Response:
    with database.read() as session:
        _, errors = forms.parse(kind, given)
        typed = {name: texts for name, texts in errors.items() if given.values.get(name)}
        return render(request, "jobs/_form.html", make_page(session, who, kind, given, errors=typed))


@router.post("/{kind}")
async def submit(request: Request, database: DatabaseDep, who: IdentityDep, kind: FormKind) -> Response:
    given = Given.of(await request.form())
    return await run_in_threadpool(_submit, request, database, who, kind, given)


def _submit(request: Request, database: Database, who: Identity, kind: JobKind, given: Given) -> Response:
    spec, errors = forms.parse(kind, given)
    hint = ""
    if spec is not None:
        try:
            with database.write() as session:
                return RedirectResponse(f"/jobs/{jobs.submit(session, who, spec).id}", 303)
        except (BadInputError, ConflictError, NotFoundError) as error:
            errors, hint = forms.errors_of(error, list(SPEC_OF[kind].model_fields)), error.hint
    with database.read() as session:
        page = make_page(session, who, kind, given, errors=errors, hint=hint)
        return render(request, "jobs/new.html", page, status_code=422)


def make_page(
    session: Session,
    who: Identity,
    kind: JobKind,
    given: Given,
    *,
    like: Job | None = None,
    errors: dict[str, list[str]] | None = None,
    hint: str = "",
) -> FormPage:
    rows = choices(session, who, kind)
    given = _with_sole_choices(kind, given, rows)
    form = make_form(kind, given, rows=rows, classes=_classes(session, who, given), errors=errors, hint=hint)
    title, about, _, verb = ABOUT[kind]
    return FormPage(
        form=form,
        cards=_cards(session, who, given) if kind == JobKind.TRAIN_DIFFUSION else [],
        estimate=estimate_of(session, who, kind, given),
        like=like,
        missing=_missing(kind, rows),
        title=title,
        about=about,
        verb=verb,
        script=_script(kind, given),
    )


def choices(session: Session, who: Identity, kind: JobKind) -> dict[str, list[Choice]]:
    """The rows that the options of `kind` can name, newest first."""
    makers: dict[str, Any] = {
        "dataset_id": lambda: [Choice(str(d.id), d.name) for d in _ready_datasets(session, who)],
        "checkpoint_id": lambda: _named(checkpoints.listing(session, who, limit=CHOICES).items),
        "init_checkpoint_id": lambda: _named(checkpoints.listing(session, who, limit=CHOICES).items),
        "synthetic_set_id": lambda: _named(synthetic_sets.listing(session, who, limit=CHOICES).items),
        "classifier_id": lambda: _named(classifiers.listing(session, who, limit=CHOICES).items),
    }
    return {name: makers[name]() for name in SPEC_OF[kind].model_fields if name in makers}


def _ready_datasets(session: Session, who: Identity) -> list[Dataset]:
    return datasets.listing(session, who, state=DatasetState.READY, limit=CHOICES).items


def _named(rows: Sequence[Any]) -> list[Choice]:
    return [Choice(str(row.id), f"{row.name} ({row.id})") for row in rows]


def _with_sole_choices(kind: JobKind, given: Given, rows: dict[str, list[Choice]]) -> Given:
    """Where there is only one row to choose, it is chosen; a synthetic set that was named is what is trained on."""
    required = {name for name, option in SPEC_OF[kind].model_fields.items() if option.is_required()}
    sole = {name: found[0].value for name, found in rows.items() if name in required and len(found) == 1}
    if kind == JobKind.TRAIN_CLASSIFIER and given.values.get("synthetic_set_id") and "train_on" not in given.values:
        sole["train_on"] = "synthetic"
    if kind == JobKind.SAMPLE and not given.counts:
        sole["per_class"] = "50"
    return Given({**sole, **given.values}, given.counts)


def _classes(session: Session, who: Identity, given: Given) -> list[str]:
    """The classes that counts can be given for: those of the checkpoint chosen."""
    chosen = given.values.get("checkpoint_id", "")
    try:
        return checkpoints.get(session, who, int(chosen)).classes if chosen.isdigit() else []
    except NotFoundError:
        return []


def estimate_of(session: Session, who: Identity, kind: JobKind, given: Given) -> Estimate | None:
    """What the job as filled in would take; None while that cannot be said."""
    spec, _ = forms.parse(kind, given)
    return None if spec is None else _estimate(session, who, spec)


def _estimate(session: Session, who: Identity, spec: AskedSpec) -> Estimate | None:
    try:
        return estimates.estimate(session, prepare(session, who, spec)[0])
    except StudioError:
        return None


def _cards(session: Session, who: Identity, given: Given) -> list[Card]:
    chosen = given.values.get("preset") or "small"
    return [
        _card(session, who, name, given.values.get("dataset_id", ""), is_chosen=name == chosen)
        for name in DEFAULT_SIZES
    ]


def _card(session: Session, who: Identity, name: str, dataset_id: str, *, is_chosen: bool) -> Card:
    spec = TrainDiffusionSpec.model_validate(
        {"dataset_id": int(dataset_id) if dataset_id.isdigit() else 0, "preset": name}
    )
    found = _estimate(session, who, spec) if dataset_id.isdigit() else None
    return Card(name, PRESETS[name], spec.image_size, spec.num_steps, found, is_chosen)


def _missing(kind: JobKind, rows: dict[str, list[Choice]]) -> tuple[str, str, str] | None:
    option, words, address, button = NEEDS[kind]
    return None if rows.get(option) else (words, address, button)


def _script(kind: JobKind, given: Given) -> Script:
    """The same job from a script, with what is filled in now."""
    shown = {name: value for name, value in given.values.items() if value and name in SPEC_OF[kind].model_fields}
    typed = {name: int(value) if value.isdigit() else value for name, value in shown.items()}
    arguments = ", ".join(f"{name}={value!r}" for name, value in typed.items())
    body = ", ".join(
        f'"{name}": {value if isinstance(value, int) else chr(34) + value + chr(34)}' for name, value in typed.items()
    )
    return Script(
        client=f'job = studio.submit("{kind}", {arguments})\nresult = job.wait()',
        curl=(
            'curl -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\\n'
            f'     -d \'{{"kind": "{kind}", {body}}}\' "$PHANTOM_URL/api/v1/jobs"'
        ),
    )
