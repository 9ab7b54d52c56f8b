"""The form of a study: what was typed becomes a spec, an estimate or a study."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.core.db import Database
from app.core.errors import StudioError
from app.deps import DatabaseDep, IdentityDep, SessionDep
from app.pages import study_externals
from app.pages.render import Script, render
from app.pages.study_externals import External
from app.services import datasets, studies
from app.services.identity import Identity
from app.services.studies import estimating
from app.services.studies.estimating import StudyEstimate
from app.services.studies.reporting.words import ARMS
from models import Arm, Dataset, DatasetState
from models.specs import DEFAULT_SIZES, StudySpec
from models.specs.study import ARCHITECTURES, STUDY_ARMS

router = APIRouter(prefix="/studies", include_in_schema=False)
CHOICES = 200


@dataclass(frozen=True)
class FormPage:
    """given: what was typed, by name; arms are those that are ticked. externals: datasets to test on, if there are several."""

    datasets: list[Dataset]
    externals: list[External]
    given: Mapping[str, str]
    arms: list[tuple[Arm, str, str, bool]]
    presets: list[str]
    networks: str
    errors: list[str]
    estimate: StudyEstimate | None
    script: Script


@router.get("/new")
def show_form(request: Request, session: SessionDep, who: IdentityDep, dataset_id: int | None = None) -> Response:
    given = {"dataset_id": str(dataset_id or ""), "arms": [str(arm) for arm in STUDY_ARMS]}
    return _form(request, session, who, given, errors=[])


@router.post("/new")
async def submit(request: Request, database: DatabaseDep, who: IdentityDep) -> Response:
    form = await request.form()
    given: dict[str, Any] = {name: str(value) for name, value in form.items()}
    for name in ("arms", study_externals.TICKED):
        given[name] = [str(value) for value in form.getlist(name)]
    return await run_in_threadpool(_submit, request, database, who, given)


def _submit(request: Request, database: Database, who: Identity, given: Mapping[str, Any]) -> Response:
    estimate, errors = None, []
    try:
        spec = _spec(database, who, given)
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


def _spec(database: Database, who: Identity, given: Mapping[str, Any]) -> StudySpec:
    """Raises ValueError, with the field's name, for what is no number or no JSON."""
    dataset_id = numbers("Dataset", given.get("dataset_id", ""), int)[0]
    with database.read() as session:
        external = study_externals.tests_of(session, who, given, dataset_id=dataset_id)
    diffusion: dict[str, Any] = {"preset": given.get("preset") or "small"}
    for option in ("image_size", "num_steps"):
        if given.get(option):
            diffusion[option] = numbers(option, given[option], int)[0]
    for option in ("hflip", "vflip", "stop_on_copies"):
        diffusion[option] = bool(given.get(option))
    sampling: dict[str, Any] = {}
    if given.get("per_class"):
        sampling["per_class"] = numbers("Images per class", given["per_class"], int)[0]
    if given.get("guidance"):
        sampling["guidance"] = numbers("Guidance", given["guidance"], float)[0]
    classifier: dict[str, Any] = {
        "pretrained": bool(given.get("pretrained")),
        "augment": given.get("augment") or "none",
    }
    for option in ("epochs", "input_size"):
        if given.get(option):
            classifier[option] = numbers(option, given[option], int)[0]
    asked = {
        "dataset_id": dataset_id, "name": given.get("name", ""), "external": external,
        "preset": given.get("protocol") or "studio", "arms": given["arms"],
        "architectures": [name for name in given.get("architectures", "").replace(",", " ").split() if name],
        "seeds": numbers("Seeds", given.get("seeds", ""), int), "sizes": numbers("Sizes", given.get("sizes", ""), float),
        "diffusion": diffusion, "sampling": sampling, "classifier": classifier, "augmentation": given.get("augmentation") or "light",
        "explanations": {} if given.get("explanations") else None,
    }  # fmt: skip
    return StudySpec.model_validate(_merged(asked, given.get("more", "")))


def numbers(name: str, text: str, kind: type[int] | type[float]) -> list[Any]:
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
        datasets=ready, externals=study_externals.externals(session, ready, given) if len(ready) > 1 else [], given={name: value for name, value in given.items() if isinstance(value, str)},
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
