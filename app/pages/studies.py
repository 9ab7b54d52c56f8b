"""Studies: the list, and one study with its table that fills as its jobs end."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.core.errors import BadInputError
from app.deps import IdentityDep, SessionDep, StudyDep
from app.pages import study_explanations
from app.pages.gates import ShownGate, shown_gate
from app.pages.render import Script, render
from app.pages.study_comparisons import Verdict, verdict
from app.pages.study_forms import numbers
from app.pages.study_tables import Table, tables_of
from app.services import audits, gates, studies
from app.services.paging import Page
from app.services.studies import Progress, cancelling, comparing, reproducing
from app.services.studies.reporting.words import ARMS
from models import Arm, Audit, Dataset, Study, SyntheticSet
from models.specs import StudySpec

router = APIRouter(prefix="/studies", include_in_schema=False)


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
class ShowPage:
    """original: the study that this one runs again; verdict: how the two compare, once this one has ended."""

    study: Study
    dataset: Dataset
    so_far: Progress
    tables: list[Table]
    baselines: list[dict[str, Any]]
    audit: Audit | None
    learnt: SyntheticSet | None  # what the classifiers learn: the audited set without its copies, or as it was drawn
    gate: ShownGate | None  # of what is learnt
    explanations: study_explanations.Section | None
    spec: StudySpec
    further_arms: list[tuple[Arm, str]]  # that it does not have
    settings: str
    original: Study | None
    reproductions: list[Study]
    verdict: Verdict | None
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


@router.get("/{study_id}")
def show(request: Request, study: StudyDep, session: SessionDep) -> Response:
    so_far = studies.progress(session, study)
    audit, original = studies.audit_of(session, so_far), reproducing.original(session, study)
    learnt = audits.learnt(session, audit) if audit is not None else None
    spec = StudySpec.model_validate(study.spec)
    page = ShowPage(
        study=study, dataset=studies.dataset_of(session, study), so_far=so_far, tables=tables_of(session, study, so_far),
        baselines=studies.trivial_baselines(session, study),
        audit=audit, learnt=learnt, gate=shown_gate(gates.gate_of_set(session, learnt)) if learnt is not None else None,
        explanations=study_explanations.section(session, study),
        spec=spec, further_arms=[(arm, word) for arm, (word, _) in ARMS.items() if arm not in spec.arms], settings=json.dumps(study.spec, indent=2),
        original=original, reproductions=reproducing.reproductions(session, study),
        verdict=verdict(comparing.compare(session, original, study)) if original is not None and so_far.is_finished else None,
        script=_script(study),
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
    sizes: Annotated[str, Form(max_length=500)] = "", arms: Annotated[list[str] | None, Form()] = None,
) -> Response:  # fmt: skip
    try:
        further: dict[str, list[Any]] = {
            "seeds": numbers("Seeds", seeds, int) if seeds.strip() else [],
            "sizes": numbers("Sizes", sizes, float) if sizes.strip() else [],
        }
    except ValueError as error:
        raise BadInputError(str(error)) from error
    asked = {"architectures": architectures.replace(",", " ").split(), "arms": arms or [], **further}
    studies.extend(session, who, study, asked)
    return RedirectResponse(f"/studies/{study.id}", 303)


@router.post("/{study_id}/delete")
def delete(study: StudyDep, session: SessionDep, who: IdentityDep) -> Response:
    studies.delete(session, who, study)
    return RedirectResponse("/studies", 303)


def _script(study: Study) -> Script:
    return Script(
        client=(
            f"study = studio.studies.get({study.id}).wait()\nfor row in study.table:\n    print(row)\n"
            'study.to_csv("table.csv")\nstudy.to_latex("table.tex")\nstudy.extend(seeds=[3, 4])'
        ),
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/studies/{study.id}"',
    )
