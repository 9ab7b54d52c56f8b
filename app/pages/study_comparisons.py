"""A study beside another: compared figure by figure, or run again so that it can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.deps import IdentityDep, SessionDep, StudyDep
from app.pages.comparison_lines import Block, Line, interval, line
from app.pages.render import Script, none_if_empty, render
from app.pages.study_evidence import MOST_LISTED, ComparedEvidence, compared
from app.services import studies
from app.services.studies import comparing, reproducing
from app.services.studies.comparing import Alone, Comparison, RowComparison, TableComparison
from app.services.studies.estimating import StudyEstimate
from app.services.studies.figures import Figure
from app.services.studies.hashing import StepFiles
from app.services.studies.reporting.words import TESTED, arm_name
from models import Dataset, Study

router = APIRouter(prefix="/studies", include_in_schema=False)
CHOICES = 200
METRICS = {"balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy", "auroc": "AUROC"}
MAIN = "balanced_accuracy"
TO_REFERENCE = "against_reference.difference.balanced_accuracy"
StudyId = Annotated[int | None, BeforeValidator(none_if_empty)]
Tone = Literal["good", "warn", "info"]


@dataclass(frozen=True)
class ComparedTable:
    """differing: (where, figure) of all figures that differ, the first MOST_LISTED of num_differing."""

    title: str
    on_same_images: bool | None
    blocks: list[Block]
    num_figures: int
    num_differing: int
    differing: list[tuple[str, Figure]]


@dataclass(frozen=True)
class Verdict:
    tone: Tone
    sentence: str
    url: str


@dataclass(frozen=True)
class ComparePage:
    """chosen: ids that the form offers first. manifests: of the two versions, where the test images differ."""

    a: Study | None
    b: Study | None
    offered: list[Study]
    chosen: tuple[int | None, int | None]
    found: Comparison | None
    verdict: Verdict | None
    manifests: list[str]
    settings: list[tuple[str, str, str]]
    ran_with: list[tuple[str, str, str]]
    tables: list[ComparedTable]
    evidence: list[ComparedEvidence]
    alone: list[tuple[Alone, str, str]]
    files: list[StepFiles]
    script: Script


@dataclass(frozen=True)
class ReproducePage:
    """estimate: None where it cannot be reproduced, which `why` says."""

    study: Study
    dataset: Dataset
    estimate: StudyEstimate | None
    why: str
    script: Script


@router.get("/compare")
def show(
    request: Request, session: SessionDep, who: IdentityDep, a: StudyId = None, b: StudyId = None
) -> Response:  # fmt: skip
    first, second = (studies.get(session, who, each) if each is not None else None for each in (a, b))
    found = comparing.compare(session, first, second) if first is not None and second is not None else None
    newest = studies.listing(session, who, limit=CHOICES).items
    offered = [*newest, *(each for each in (first, second) if each is not None and each not in newest)]
    page = ComparePage(
        a=first, b=second, offered=offered, chosen=_chosen(first, second, offered),
        found=found, verdict=verdict(found) if found is not None else None,
        manifests=_manifests(session, found) if found is not None else [],
        settings=[(each.name, _text(each.a), _text(each.b)) for each in found.settings] if found is not None else [],
        ran_with=[(each.name, _text(each.a), _text(each.b)) for each in found.ran_with] if found is not None else [],
        tables=[_table(each) for each in found.tables] if found is not None else [],
        evidence=[compared(each) for each in found.evidence] if found is not None else [],
        alone=[_alone(each) for each in found.alone] if found is not None else [],
        files=comparing.files(session, found.a, found.b) if found is not None else [], script=_script(first, second),
    )  # fmt: skip
    return render(request, "studies/compare.html", page)


def _chosen(a: Study | None, b: Study | None, offered: Sequence[Study]) -> tuple[int | None, int | None]:
    """Both as asked for, else the newest two; beside one that runs another again, that one."""
    first = a.id if a is not None else next((each.id for each in offered if b is None or each.id != b.id), None)
    again = a.reproduces_id if a is not None else None
    return first, b.id if b is not None else again or next((each.id for each in offered if each.id != first), None)


@router.get("/{study_id}/reproduce")
def show_reproduce(request: Request, study: StudyDep, session: SessionDep, who: IdentityDep) -> Response:
    estimate, why = None, ""
    try:
        estimate = reproducing.estimate(session, who, study)
    except ConflictError as error:
        why = f"{error.detail} {error.hint}".strip()
    script = Script(
        client=f"again = studio.studies.get({study.id}).reproduce().wait()\nprint(studio.studies.get({study.id}).compare(again).verdict)",
        curl=f'curl -X POST -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/studies/{study.id}/reproduce"',
    )
    page = ReproducePage(study, studies.dataset_of(session, study), estimate, why, script)
    return render(request, "studies/reproduce.html", page)


@router.post("/{study_id}/reproduce")
def reproduce(study: StudyDep, session: SessionDep, who: IdentityDep) -> Response:
    return RedirectResponse(f"/studies/{reproducing.reproduce(session, who, study).id}", 303)


def verdict(found: Comparison) -> Verdict:
    tone: Tone = "info"
    if found.is_equal:
        tone = "good"
    elif found.num_differing and found.on_same_images:
        tone = "warn"
    return Verdict(tone, found.verdict, f"/studies/compare?a={found.a.id}&b={found.b.id}")


def _manifests(session: Session, found: Comparison) -> list[str]:
    if found.on_same_images:
        return []
    versions = [studies.version_of(session, study) for study in (found.a, found.b)]
    return [f"{each.dataset.name}, version {each.number}, manifest {each.manifest_sha256[:12]}" for each in versions]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _alone(each: Alone) -> tuple[Alone, str, str]:
    """With the names of its arm and of what was tested."""
    return each, arm_name(each.key.arm, each.key.size), TESTED.get(each.key.tested_on, each.key.tested_on)


def _table(table: TableComparison) -> ComparedTable:
    differing = [(where, figure) for where, figure in _placed(table) if not figure.is_equal]
    return ComparedTable(
        title=f"{table.architecture} on {TESTED.get(table.tested_on, table.tested_on)}",
        on_same_images=table.on_same_images,
        blocks=[Block(arm_name(row.key.arm, row.key.size), list(_lines(row))) for row in table.rows],
        num_figures=len(table.all_figures), num_differing=len(differing), differing=differing[:MOST_LISTED],
    )  # fmt: skip


def _placed(table: TableComparison) -> Iterator[tuple[str, Figure]]:
    """Every figure of a table with the row and seed that it stands in."""
    yield from (("the table", figure) for figure in table.figures)
    for row in table.rows:
        name = arm_name(row.key.arm, row.key.size)
        yield from ((name, figure) for figure in row.figures)
        for seed in row.seeds:
            yield from ((f"{name}, seed {seed.seed}", figure) for figure in seed.figures)


def _lines(row: RowComparison) -> Iterator[Line]:
    """What a study's own page shows of a row."""
    figures = {figure.name: figure for figure in row.figures}
    for metric, title in METRICS.items():
        for part in (f"mean.{metric}", metric):
            if f"{part}.value" in figures:
                yield line(f"{title}, mean", interval(part), figures)
    for seed in row.seeds:
        own = {figure.name: figure for figure in seed.figures}
        if f"{MAIN}.value" in own:
            yield line(f"Balanced accuracy, seed {seed.seed}", interval(MAIN), own, is_same_job=seed.is_same_job)
    if f"{TO_REFERENCE}.value" in figures:
        yield line("To the reference", interval(TO_REFERENCE), figures, signed=True)
    for place, title in (("against_reference.p", "p"), ("against_reference.p_holm", "p (Holm)")):
        if place in figures:
            yield line(title, [place], figures)


def _script(a: Study | None, b: Study | None) -> Script:
    one, other = a.id if a is not None else 1, b.id if b is not None else 2
    return Script(
        client=(
            f"found = studio.studies.get({one}).compare(studio.studies.get({other}))\nprint(found.verdict)\n"
            "for figure in found.differing:\n    print(figure)"
        ),
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/studies/{one}/comparison/{other}"',
    )
