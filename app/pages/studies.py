"""Studies: the list, the form, and one study with its table that fills as its jobs end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.core.db import Database
from app.core.errors import BadInputError, StudioError
from app.deps import DatabaseDep, IdentityDep, SessionDep, StudyDep
from app.pages.audits import Light, lights_of
from app.pages.render import Script, render
from app.services import datasets, studies
from app.services.identity import Identity
from app.services.paging import Page
from app.services.studies import Progress, cancelling, estimating
from app.services.studies.estimating import StudyEstimate
from models import Arm, Audit, Dataset, DatasetState, Study
from models.specs import DEFAULT_SIZES, StudySpec
from models.specs.study import ARCHITECTURES, STUDY_ARMS

router = APIRouter(prefix="/studies", include_in_schema=False)
CHOICES = 200
ARMS = {
    Arm.REAL: ("Real, all", "the whole real training split"),
    Arm.REAL_EQUAL: ("Real, equal budget", "exactly the real images that the diffusion network learnt"),
    Arm.SYNTHETIC: ("Synthetic", "synthetic images only"),
    Arm.REAL_PLUS_SYNTHETIC: ("Real and synthetic", "the equal budget and the synthetic images"),
    Arm.REAL_AUGMENTED: ("Real, augmented", "the equal budget with traditional augmentation"),
    Arm.SYNTHETIC_TEST: ("Real, tested on synthetic", "are the labels of the synthetic images faithful?"),
}
TESTED = {"own": "the locked test images", "synthetic": "the synthetic images"}


@dataclass(frozen=True)
class ListRow:
    study: Study
    dataset: Dataset
    so_far: Progress


@dataclass(frozen=True)
class ListPage:
    rows: Page[ListRow]
    script: Script


@dataclass(frozen=True)
class FormPage:
    """given: what was typed, by name; arms are those that are ticked."""

    datasets: list[Dataset]
    given: Mapping[str, str]
    arms: list[tuple[Arm, str, str, bool]]
    presets: list[str]
    networks: str
    errors: list[str]
    estimate: StudyEstimate | None
    script: Script


@dataclass(frozen=True)
class SeedCell:
    seed: int
    value: float | None
    url: str
    why: str


@dataclass(frozen=True)
class TableRow:
    """figures: (name, value, low, high) once the table is made."""

    name: str
    about: str
    seeds: list[SeedCell]
    figures: list[tuple[str, float | None, float | None, float | None]]
    difference: Mapping[str, Any] | None
    p: float | None
    p_holm: float | None
    is_reference: bool


@dataclass(frozen=True)
class Table:
    title: str
    rows: list[TableRow]
    methods: list[str]
    saturation: str
    num_images: int | None


@dataclass(frozen=True)
class ShowPage:
    study: Study
    dataset: Dataset
    so_far: Progress
    tables: list[Table]
    baselines: list[dict[str, Any]]
    audit: Audit | None
    lights: list[Light]
    spec: StudySpec
    settings: str
    script: Script


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, cursor: str | None = None) -> Response:
    found = studies.listing(session, who, cursor=cursor)
    rows = [ListRow(row, studies.dataset_of(session, row), studies.progress(session, row)) for row in found.items]
    script = Script(
        client="for study in studio.studies.list():\n    print(study.id, study.name, study.state)",
        curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/studies"',
    )
    return render(request, "studies/index.html", ListPage(Page(rows, found.next_cursor), script))


@router.get("/new")
def show_form(request: Request, session: SessionDep, who: IdentityDep, dataset_id: int | None = None) -> Response:
    given = {"dataset_id": str(dataset_id or ""), "arms": [str(arm) for arm in STUDY_ARMS]}
    return _form(request, session, who, given, errors=[])


@router.post("/new")
async def submit(request: Request, database: DatabaseDep, who: IdentityDep) -> Response:
    form = await request.form()
    given: dict[str, Any] = {name: str(value) for name, value in form.items()}
    given["arms"] = [str(value) for value in form.getlist("arms")]
    return await run_in_threadpool(_submit, request, database, who, given)


def _submit(request: Request, database: Database, who: Identity, given: Mapping[str, Any]) -> Response:
    estimate, errors = None, []
    try:
        spec = _spec(given)
        if given.get("action") != "estimate":
            with database.write() as session:
                return RedirectResponse(f"/studies/{studies.launch(session, who, spec).id}", 303)
        with database.read() as session:
            estimate = estimating.estimate(session, who, spec)
    except StudioError as error:
        errors = [f"{error.detail} {error.hint}".strip()]
    except ValidationError as error:
        told = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
        errors = [f"{where}: {what}" if where else what for where, what in told]
    except ValueError as error:
        errors = [str(error)]
    with database.read() as session:
        return _form(request, session, who, given, errors=errors, estimate=estimate)


def _spec(given: Mapping[str, Any]) -> StudySpec:
    """Raises ValueError, with the field's name, for what is no number or no JSON."""
    diffusion: dict[str, Any] = {"preset": given.get("preset") or "small"}
    for option in ("image_size", "num_steps"):
        if given.get(option):
            diffusion[option] = _numbers(option, given[option], int)[0]
    for option in ("hflip", "vflip"):
        diffusion[option] = bool(given.get(option))
    sampling: dict[str, Any] = {}
    if given.get("per_class"):
        sampling["per_class"] = _numbers("Images per class", given["per_class"], int)[0]
    if given.get("guidance"):
        sampling["guidance"] = _numbers("Guidance", given["guidance"], float)[0]
    classifier: dict[str, Any] = {
        "pretrained": bool(given.get("pretrained")),
        "augment": given.get("augment") or "none",
    }
    for option in ("epochs", "input_size"):
        if given.get(option):
            classifier[option] = _numbers(option, given[option], int)[0]
    asked = {
        "dataset_id": _numbers("Dataset", given.get("dataset_id", ""), int)[0], "name": given.get("name", ""),
        "preset": given.get("protocol") or "studio", "arms": given["arms"],
        "architectures": [name for name in given.get("architectures", "").replace(",", " ").split() if name],
        "seeds": _numbers("Seeds", given.get("seeds", ""), int), "sizes": _numbers("Sizes", given.get("sizes", ""), float),
        "diffusion": diffusion, "sampling": sampling, "classifier": classifier,
    }  # fmt: skip
    return StudySpec.model_validate(_merged(asked, given.get("more", "")))


def _numbers(name: str, text: str, kind: type[int] | type[float]) -> list[Any]:
    parts = text.replace(",", " ").split()
    try:
        return [kind(part) for part in parts] or [kind("")]
    except ValueError:
        expected = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name}: {text!r} was given; write {expected}, apart by commas.") from None


def _merged(asked: dict[str, Any], more: str) -> dict[str, Any]:
    """The form's answers with what was written as JSON; options of a job are added one by one."""
    if not more.strip():
        return asked
    try:
        extra = json.loads(more)
    except ValueError as error:
        raise ValueError(f"Further options are not JSON: {error}") from error
    if not isinstance(extra, dict):
        raise ValueError('Further options: write an object, for example {"classifier": {"lr": 0.001}}.')
    for name, value in extra.items():
        both = isinstance(value, dict) and isinstance(asked.get(name), dict)
        asked[name] = {**asked[name], **value} if both else value
    return asked


def _form(
    request: Request,
    session: Session,
    who: Identity,
    given: Mapping[str, Any],
    *,
    errors: list[str],
    estimate: StudyEstimate | None = None,
) -> Response:
    ready = [row for row in datasets.listing(session, who, limit=CHOICES).items if row.state == DatasetState.READY]
    page = FormPage(
        datasets=ready, given={name: value for name, value in given.items() if isinstance(value, str)},
        arms=[(arm, *words, str(arm) in given["arms"]) for arm, words in ARMS.items()], presets=list(DEFAULT_SIZES),
        networks=" ".join(ARCHITECTURES), errors=errors, estimate=estimate, script=_form_script(),
    )  # fmt: skip
    return render(request, "studies/new.html", page, status_code=422 if errors else 200)


def _form_script() -> Script:
    return Script(
        client=(
            'data = studio.datasets.get("brain-mri")\n'
            'study = studio.study(data, architectures=["tf_efficientnet_lite0"], seeds=[0, 1, 2], sizes=[1],\n'
            '                     diffusion={"image_size": 32, "num_steps": 3000}, sampling={"per_class": 200},\n'
            '                     classifier={"epochs": 6}).wait()\n'
            "for row in study.table:\n    print(row.arm, row.network, row.balanced_accuracy, row.low, row.high, row.p_holm)\n"
            'study.to_csv("table.csv")'
        ),
        curl=(
            'curl -X POST -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\\n'
            '  -d \'{"dataset_id": 1, "architectures": ["tf_efficientnet_lite0"], "diffusion": {"image_size": 32}}\' \\\n'
            '  "$PHANTOM_URL/api/v1/studies"'
        ),
    )


@router.get("/{study_id}")
def show(request: Request, study: StudyDep, session: SessionDep) -> Response:
    so_far = studies.progress(session, study)
    audit = studies.audit_of(session, so_far)
    page = ShowPage(
        study=study, dataset=studies.dataset_of(session, study), so_far=so_far, tables=_tables(session, study, so_far),
        baselines=studies.trivial_baselines(session, study),
        audit=audit, lights=lights_of(audit) if audit is not None else [],
        spec=StudySpec.model_validate(study.spec), settings=json.dumps(study.spec, indent=2), script=_script(study),
    )  # fmt: skip
    return render(request, "studies/_live.html" if "hx-request" in request.headers else "studies/show.html", page)


@router.post("/{study_id}/cancel")
def cancel(study: StudyDep, session: SessionDep, who: IdentityDep) -> Response:
    cancelling.cancel(session, who, study)
    return RedirectResponse(f"/studies/{study.id}", 303)


@router.post("/{study_id}/extend")
def extend(
    study: StudyDep, session: SessionDep, who: IdentityDep,
    architectures: Annotated[str, Form(max_length=2000)] = "", seeds: Annotated[str, Form(max_length=500)] = "",
) -> Response:  # fmt: skip
    try:
        further = _numbers("Seeds", seeds, int) if seeds.strip() else []
    except ValueError as error:
        raise BadInputError(str(error)) from error
    asked = {"architectures": architectures.replace(",", " ").split(), "seeds": further}
    studies.extend(session, who, study, asked)
    return RedirectResponse(f"/studies/{study.id}", 303)


@router.post("/{study_id}/delete")
def delete(study: StudyDep, session: SessionDep, who: IdentityDep) -> Response:
    studies.delete(session, who, study)
    return RedirectResponse("/studies", 303)


def _tables(session: Session, study: Study, so_far: Progress) -> list[Table]:
    """One for each network and each set of test images: as far as jobs have ended, and with tests once they all have."""
    early = studies.preliminary(session, so_far)
    made = {(table["architecture"], table["tested_on"]): table for table in (study.answer or {}).get("tables", [])}
    grouped: dict[tuple[str, str], dict[str, list[SeedCell]]] = {}
    arms: dict[str, Mapping[str, Any]] = {}
    for each in so_far.steps:
        cell = each.step.cell
        if "tested_on" not in cell:
            continue
        key = cell["arm"] if cell["size"] is None else f"{cell['arm']} x{cell['size']:g}"
        arms[key] = cell
        found = early.get(each.step.name)
        url = f"/evaluations/{found['evaluation_id']}" if found else f"/jobs/{each.job.id}"
        why = "" if found else str(each.job.state)
        seed = SeedCell(cell["seed"], found["balanced_accuracy"] if found else None, url, why)
        grouped.setdefault((cell["architecture"], cell["tested_on"]), {}).setdefault(key, []).append(seed)
    return [_table(names, rows, arms, made.get(names)) for names, rows in grouped.items()]


def _table(
    names: tuple[str, str],
    rows: Mapping[str, list[SeedCell]],
    arms: Mapping[str, Mapping[str, Any]],
    made: Mapping[str, Any] | None,
) -> Table:
    known = {row["key"]: row for row in made["rows"]} if made else {}
    lines = [_line(key, seeds, arms[key], known.get(key), made) for key, seeds in rows.items()]
    methods = _methods(made) if made else []
    saturation = ((made or {}).get("saturation") or {}).get("sentence", "")
    title = f"{names[0]} on {TESTED.get(names[1], names[1])}"
    return Table(title, lines, methods, saturation, (made or {}).get("num_images"))


def _line(
    key: str,
    seeds: list[SeedCell],
    cell: Mapping[str, Any],
    known: Mapping[str, Any] | None,
    made: Mapping[str, Any] | None,
) -> TableRow:
    word, about = ARMS[Arm(cell["arm"])]
    name = word if cell["size"] is None else f"{word} × {cell['size']:g}"
    figures, against = [], None
    if known is not None and "mean" in known:
        for metric, title in (("balanced_accuracy", "Balanced accuracy"), ("accuracy", "Accuracy"), ("auroc", "AUROC")):
            entry = known["mean"][metric]
            figures.append((title, entry["value"], entry["low"], entry["high"]))
        against = known.get("against_reference")
    elif known is not None and "balanced_accuracy" in known:
        figures.append(("Balanced accuracy", known["balanced_accuracy"]["value"], None, None))
    difference = (against or {}).get("difference", {}).get("balanced_accuracy")
    return TableRow(
        name, about, seeds, figures, difference, (against or {}).get("p"), (against or {}).get("p_holm"),
        bool(made and made.get("reference") == key),
    )  # fmt: skip


def _methods(made: Mapping[str, Any]) -> list[str]:
    """What the figures mean, each sentence once."""
    said: list[str] = []
    for row in made["rows"]:
        against = row.get("against_reference") or {}
        for part in (row.get("mean") or {}, against.get("difference") or {}, made.get("family") or {}):
            sentence = part.get("method")
            if sentence and sentence not in said:
                said.append(sentence)
    return said


def _script(study: Study) -> Script:
    return Script(
        client=(
            f"study = studio.studies.get({study.id}).wait()\nfor row in study.table:\n    print(row)\n"
            'study.to_csv("table.csv")\nstudy.to_latex("table.tex")\nstudy.extend(seeds=[3, 4])'
        ),
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/studies/{study.id}"',
    )
