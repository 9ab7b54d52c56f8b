"""Jobs: the table, one job live, and what a person can do to it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import RedirectResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from markupsafe import Markup
from pydantic import BeforeValidator
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from app import events
from app.core.db import Database
from app.core.errors import NotFoundError
from app.deps import DatabaseDep, IdentityDep, JobDep, PathId, SessionDep
from app.pages.job_forms import NO_FORM
from app.pages.render import Script, json_for_html, none_if_empty, render, to_html
from app.pages.results import Setting, settings_of
from app.pages.words import clock
from app.services import job_feed, jobs
from app.services.jobs import Family
from app.services.lineage import Linked
from app.services.paging import Page
from models import Artifact, Event, Job, JobKind, JobState

router = APIRouter(prefix="/jobs", include_in_schema=False)
LOG_LINES = 200
POINTS_AT_FIRST = 250  # of each curve, in the page itself; the rest is fetched when it is drawn
RESULT_PAGES = {
    "dataset_id": ("Dataset", "/datasets"),
    "checkpoint_id": ("Checkpoint", "/checkpoints"),
    "audit_id": ("Audit", "/audits"),  # before the set that it left copies out of
    "synthetic_set_id": ("Synthetic set", "/synthetic-sets"),
    "classifier_id": ("Classifier", "/classifiers"),
    "evaluation_id": ("Evaluation", "/evaluations"),
    "explanation_id": ("Explanation", "/explanations"),
}
NO_COPY = {JobKind.IMPORT_DATASET, JobKind.CHECK_DATASET, *NO_FORM}
CURVES = {JobKind.TRAIN_DIFFUSION, JobKind.TRAIN_CLASSIFIER}


@dataclass(frozen=True)
class ListPage:
    jobs: Page[Job]
    positions: dict[int, int]  # of queued jobs, in their queue
    families: dict[int, Family]
    counts: dict[str, int]  # by state; parts as well
    num_all: int  # without parts, which are listed only where a kind or state is chosen
    kind: JobKind | None
    state: JobState | None
    script: Script
    kinds: tuple[JobKind, ...] = tuple(JobKind)


@dataclass(frozen=True)
class Status:
    """The part of the page that is sent again whenever something happens."""

    job: Job
    position: int | None
    time_left: tuple[float, float] | None
    actions: set[str]
    result: tuple[str, str] | None  # what it made: word, address
    waits_for: list[Job]  # whose results it needs and have not succeeded; its parts stand in `family`
    family: Family
    can_be_copied: bool  # there is a form for jobs of its kind

    @property
    def done(self) -> int:
        return self.family.done(self.job)

    @property
    def fraction(self) -> float | None:
        return self.family.fraction(self.job)


@dataclass(frozen=True)
class Curve:
    name: str
    points: list[tuple[int, float]]

    @property
    def summary(self) -> str:
        """The curve in a sentence, for those who do not see it."""
        values = [value for _, value in self.points]
        return (
            f"{self.name}: {len(values)} points up to {self.points[-1][0]}; from {values[0]:.4g} to {values[-1]:.4g}, "
            f"least {min(values):.4g}, greatest {max(values):.4g}."
        )

    @property
    def rows(self) -> list[tuple[int, float]]:
        """At most twelve points, evenly spread: the table beside the chart."""
        stride = max(1, len(self.points) // 11)
        return [*self.points[:-1:stride][:11], self.points[-1]]


@dataclass(frozen=True)
class JobPage:
    status: Status
    curves: list[Curve]
    previews: list[Artifact]
    logs: list[Event]
    last_event: int
    lineage: list[Linked]
    settings: list[Setting]
    artifacts: list[Artifact]
    has_curves: bool
    script: Script

    @property
    def chart_json(self) -> Markup:
        return json_for_html({curve.name: curve.points for curve in self.curves})

    @property
    def previews_json(self) -> Markup:
        return json_for_html([{"index": a.index, "sha256": a.sha256, "data": a.data} for a in self.previews])


@router.get("")
def show_list(
    request: Request,
    session: SessionDep,
    who: IdentityDep,
    kind: Annotated[JobKind | None, BeforeValidator(none_if_empty)] = None,
    state: Annotated[JobState | None, BeforeValidator(none_if_empty)] = None,
    cursor: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    chosen = kind is not None or state is not None
    found = jobs.listing(session, who, kind=kind, state=state, with_parts=chosen, cursor=cursor)
    page = ListPage(
        jobs=found,
        positions=job_feed.queue_positions(session, found.items),
        families=jobs.families(session, found.items),
        num_all=jobs.count_without_parts(session, who),
        counts={str(name): number for name, number in jobs.counts_by_state(session, who).items() if number},
        kind=kind,
        state=state,
        script=_list_script(kind, state),
    )
    template = "jobs/_table.html" if request.headers.get("hx-request") else "jobs/index.html"
    return render(request, template, page)


def _list_script(kind: JobKind | None, state: JobState | None) -> Script:
    chosen = {name: str(value) for name, value in (("kind", kind), ("state", state)) if value is not None}
    arguments = ", ".join(f'{name}="{value}"' for name, value in chosen.items())
    query = "&".join(f"{name}={value}" for name, value in chosen.items())
    return Script(
        client=f"for job in studio.jobs({arguments}):\n    print(job.id, job.kind, job.state, job.title)",
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" \\\n     "$PHANTOM_URL/api/v1/jobs{"?" + query if query else ""}"',
    )


@router.get("/{job_id}")
def show(request: Request, job: JobDep, session: SessionDep) -> Response:
    last_event = job_feed.last_event_number(session, job.id)
    page = JobPage(
        status=status_of(session, job),
        curves=[
            Curve(name, points)
            for name, points in jobs.metrics(session, job, max_points=POINTS_AT_FIRST).items()
            if points
        ],
        previews=jobs.previews(session, job),
        logs=job_feed.log_tail(session, job.id, limit=LOG_LINES),
        last_event=last_event,
        lineage=jobs.lineage(session, job),
        settings=settings_of(job.spec),
        artifacts=[a for a in jobs.artifacts(session, job) if a.role != "preview"],
        has_curves=job.kind in CURVES,
        script=_script(job),
    )
    return render(request, "jobs/show.html", page)


def status_of(session: Session, job: Job) -> Status:
    family = jobs.family(session, job)
    parts = {part.id for part in family.parts}
    needed = [each for each in jobs.needs(session, job) if each.id not in parts and each.state != JobState.SUCCEEDED]
    return Status(
        job, jobs.queue_position(session, job), jobs.time_left(job), jobs.actions(job, family.parts), result_of(job), needed,
        family, job.kind not in NO_COPY,
    )  # fmt: skip


def result_of(job: Job) -> tuple[str, str] | None:
    """What the job made: a word and an address."""
    if job.kind == JobKind.CHECK_DATASET and job.state == JobState.SUCCEEDED and job.result is not None:
        return "Health", f"/datasets/{job.result['dataset_id']}/health"
    for name, (word, path) in RESULT_PAGES.items():
        if job.state == JobState.SUCCEEDED and (made := (job.result or {}).get(name)) is not None:
            return word, f"{path}/{made}"
    return None


def _script(job: Job) -> Script:
    return Script(
        client=f"job = studio.job({job.id})\nresult = job.wait()          # shows progress; raises JobFailed with the reason",
        curl=(
            f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/jobs/{job.id}"\n'
            f'curl -N -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Accept: text/event-stream" \\\n'
            f'     "$PHANTOM_URL/api/v1/jobs/{job.id}/events"'
        ),
    )


@router.get("/{job_id}/curves")
def curves(job: JobDep, session: SessionDep) -> JSONResponse:
    """All curves as {name: [[step, value], ...]}, thinned to what a screen can show."""
    return JSONResponse(jobs.metrics(session, job))


def known_job_id(database: DatabaseDep, who: IdentityDep, job_id: PathId) -> int:
    """The id of a job of the project, or 404; no session stays open while its events are streamed."""
    with database.read() as session:
        return jobs.get(session, who, job_id).id


@router.get("/{job_id}/live", response_class=EventSourceResponse)
async def live(
    request: Request,
    database: DatabaseDep,
    job_id: Annotated[int, Depends(known_job_id, scope="function")],
    after: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[int | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """The status as HTML (unnamed, swapped in), and named events: log, preview, points, finished."""
    job: Job | None = None
    async for news in events.news_of(database, job_id, after=max(after, last_event_id or 0), with_points=True):
        job = news.job
        if job is None:
            return
        for event in news.events:
            if event.kind in ("log", "state", "preview"):
                yield ServerSentEvent(event=f"job:{event.kind}", data=_told(event), id=str(event.number))
        if news.points:
            yield ServerSentEvent(event="job:points", data=news.points)
        number = str(news.events[-1].number) if news.events else None
        status = await run_in_threadpool(_status_html, request, database, job)
        yield ServerSentEvent(raw_data=status, id=number)
    if job is not None:
        yield ServerSentEvent(event="job:finished", data={"state": job.state})


def _told(event: Event) -> dict[str, Any]:
    return {**event.data, "at": clock(event.created_at), "number": event.number}


def _status_html(request: Request, database: Database, job: Job) -> str:
    with database.read() as session:
        return to_html(request, "jobs/_status.html", status_of(session, job))


ACTIONS = {
    "cancel": jobs.cancel,
    "stop": jobs.stop_and_keep,
    "pause": jobs.pause,
    "resume": jobs.resume,
    "retry": jobs.retry,
}


@router.post("/{job_id}/{action}")
def act(job: JobDep, session: SessionDep, who: IdentityDep, action: str) -> Response:
    if action not in ACTIONS:
        raise NotFoundError(f"A job cannot be asked to {action[:40]!r}.", hint=f"Possible: {', '.join(ACTIONS)}.")
    ACTIONS[action](session, who, job)
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.get("/{job_id}/duplicate")
def duplicate(job: JobDep) -> Response:
    return RedirectResponse(f"/jobs/new/{job.kind}?like={job.id}", 303)
