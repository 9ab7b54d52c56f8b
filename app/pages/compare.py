"""Compare: any jobs beside each other, their curves overlaid, what differs in their settings, what they made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.deps import IdentityDep, SessionDep
from app.pages.evaluations import HEADLINES
from app.pages.render import Script, render
from app.pages.results import Figure, Setting, settings_of
from app.services import classifiers, evaluations, jobs, synthetic_sets
from app.services.identity import Identity
from models import Artifact, Job, SyntheticImage

router = APIRouter(prefix="/compare", include_in_schema=False)
MOST_JOBS = 8
MAX_POINTS = 500
Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Made:
    """What one job made: figures, and pictures that are the same whatever the job (same seeds, same classes)."""

    job: Job
    seconds: float | None
    url: str | None
    figures: list[Figure]
    preview: Artifact | None
    images: list[SyntheticImage]


@dataclass(frozen=True)
class Difference:
    """An option whose value is not the same in all jobs; None: the job has no such option."""

    name: str
    help: str
    values: list[str | None]


@dataclass(frozen=True)
class CurveRow:
    """A curve in numbers: for each job (points, first value, last value, least value), or None."""

    name: str
    values: list[tuple[int, float, float, float] | None]


@dataclass(frozen=True)
class ComparePage:
    jobs: list[Job]
    offered: list[Job]
    made: list[Made]
    differences: list[Difference]
    num_same: int
    curves: list[CurveRow]
    curves_url: str
    script: Script


@router.get("")
def show(
    request: Request, session: SessionDep, who: IdentityDep, chosen: Annotated[Sequence[str], Query(alias="jobs")] = ()
) -> Response:
    rows = _jobs(session, who, chosen)
    differences, num_same = _differences(rows)
    curves = {row.id: _curves(session, row) for row in rows}
    page = ComparePage(
        jobs=rows,
        offered=jobs.listing(session, who, limit=50).items,
        made=[_made(session, who, row) for row in rows],
        differences=differences,
        num_same=num_same,
        curves=_curve_rows(rows, curves),
        curves_url=f"/compare/curves?jobs={','.join(str(row.id) for row in rows)}",
        script=_script(rows),
    )
    return render(request, "compare/show.html", page)


@router.get("/curves")
def show_curves(
    session: SessionDep, who: IdentityDep, chosen: Annotated[Sequence[str], Query(alias="jobs")] = ()
) -> Response:
    """{curves: [{name, steps, series: [[value or null, ...], ...]}], jobs: [{id, title}]}, thinned by the server."""
    rows = _jobs(session, who, chosen)
    curves = {row.id: _curves(session, row) for row in rows}
    names = _names(curves)
    content = {
        "jobs": [{"id": row.id, "title": row.title} for row in rows],
        "curves": [_aligned(name, [curves[row.id].get(name, []) for row in rows]) for name in names],
    }
    return JSONResponse(content)


def _jobs(session: Session, who: Identity, chosen: Sequence[str]) -> list[Job]:
    """The jobs named as ?jobs=1,2 or ?jobs=1&jobs=2, each once."""
    parts = [part.strip() for given in chosen for part in given.split(",") if part.strip()]
    wrong = [part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 19)]
    if wrong:
        raise BadInputError(f"{wrong[0][:40]!r} is not the number of a job.", hint="Name jobs as in /compare?jobs=1,2.")
    ids = list(dict.fromkeys(int(part) for part in parts))
    if len(ids) > MOST_JOBS:
        raise BadInputError(f"{len(ids)} jobs were named; at most {MOST_JOBS} can be compared at once.")
    return [jobs.get(session, who, job_id) for job_id in ids]


def _names(curves: Mapping[int, Mapping[str, Points]]) -> list[str]:
    """Every curve's name, losses first."""
    return sorted({name for found in curves.values() for name in found}, key=lambda name: ("loss" not in name, name))


def _curves(session: Session, job: Job) -> dict[str, list[tuple[int, float]]]:
    return jobs.metrics(session, job, max_points=MAX_POINTS)


def _aligned(name: str, curves: Sequence[Points]) -> dict[str, Any]:
    """Curves on one axis of steps; null where a job has no point."""
    steps = sorted({step for points in curves for step, _ in points})
    values = [dict(points) for points in curves]
    return {"name": name, "steps": steps, "series": [[found.get(step) for step in steps] for found in values]}


def _curve_rows(rows: Sequence[Job], curves: Mapping[int, Mapping[str, Points]]) -> list[CurveRow]:
    names = _names(curves)
    return [CurveRow(name, [_in_numbers(curves[row.id].get(name, [])) for row in rows]) for name in names]


def _in_numbers(points: Points) -> tuple[int, float, float, float] | None:
    values = [value for _, value in points]
    return (len(values), values[0], values[-1], min(values)) if values else None


def _differences(rows: Sequence[Job]) -> tuple[list[Difference], int]:
    """Options that differ, and how many do not."""
    specs = [{setting.name: setting for setting in settings_of(row.spec, leave_out=frozenset())} for row in rows]
    names = list(dict.fromkeys(name for spec in specs for name in spec))
    lines = [_line(name, [spec.get(name) for spec in specs]) for name in names]
    differing = [line for line in lines if len(set(line.values)) > 1]
    return differing, len(lines) - len(differing)


def _line(name: str, settings: Sequence[Setting | None]) -> Difference:
    help_text = next(setting.help for setting in settings if setting)
    return Difference(name, help_text, [setting.value if setting else None for setting in settings])


def _made(session: Session, who: Identity, job: Job) -> Made:
    result = job.result or {}
    previews = jobs.previews(session, job)
    seconds = (job.finished_at - job.started_at).total_seconds() if job.started_at and job.finished_at else None
    url, figures, images = None, list[Figure](), list[SyntheticImage]()
    match result:
        case {"checkpoint_id": int(row_id)}:
            url = f"/checkpoints/{row_id}"
        case {"audit_id": int(row_id)}:
            url = f"/audits/{row_id}"
        case {"synthetic_set_id": int(row_id)}:
            url, images = f"/synthetic-sets/{row_id}", _first_of_each_class(session, who, row_id)
        case {"classifier_id": int(row_id)}:
            url, figures = f"/classifiers/{row_id}", _classifier_figures(session, who, row_id)
        case {"evaluation_id": int(row_id)}:
            url, figures = f"/evaluations/{row_id}", _evaluation_figures(session, who, row_id)
        case {"explanation_id": int(row_id)}:
            url = f"/explanations/{row_id}"
        case {"dataset_id": int(row_id)}:
            url = f"/datasets/{row_id}"
    return Made(job, seconds, url, figures, previews[-1] if previews else None, images)


def _first_of_each_class(session: Session, who: Identity, set_id: int) -> list[SyntheticImage]:
    synthetic_set = synthetic_sets.get(session, who, set_id)
    firsts = [
        synthetic_sets.images(session, synthetic_set, label=k, limit=4).items for k in range(len(synthetic_set.classes))
    ]
    return [image for images in firsts for image in images]


def _classifier_figures(session: Session, who: Identity, classifier_id: int) -> list[Figure]:
    classifier = classifiers.get(session, who, classifier_id)
    return [Figure("Validation balanced accuracy", classifier.val_balanced_accuracy, None, None, "")]


def _evaluation_figures(session: Session, who: Identity, evaluation_id: int) -> list[Figure]:
    report = evaluations.get(session, who, evaluation_id).report
    return [Figure.of(title, report[name]) for name, (title, _) in HEADLINES.items()]


def _script(rows: Sequence[Job]) -> Script:
    ids = [row.id for row in rows] or [1, 2]
    return Script(
        client=f"for job in map(studio.job, {ids}):\n    print(job.id, job.state, job.metrics())",
        curl="\n".join(
            f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/jobs/{job_id}/metrics?max_points=500"'
            for job_id in ids
        ),
    )
