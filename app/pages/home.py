"""The first page: three steps, Data, Generate, Prove, with what exists and what to do next."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.deps import IdentityDep, SessionDep, SettingsDep
from app.pages.render import Script, render
from app.services import home, job_feed, jobs, search
from app.services.home import Overview
from models import Worker

router = APIRouter(include_in_schema=False)
SCRIPT = Script(
    client="""from phantom import Studio

studio = Studio()                        # PHANTOM_URL, PHANTOM_TOKEN
for job in studio.jobs(limit=10):
    print(job.id, job.kind, job.state)""",
    curl="""curl -H "Authorization: Bearer $PHANTOM_TOKEN" \\
     "$PHANTOM_URL/api/v1/jobs?limit=10\"""",
)


@dataclass(frozen=True)
class HomePage:
    """positions: of waiting jobs in their queue."""

    overview: Overview
    workers: list[Worker]
    positions: dict[int, int]
    disk: home.Disk
    script: Script = SCRIPT


@router.get("/")
def show(request: Request, session: SessionDep, who: IdentityDep, settings: SettingsDep) -> Response:
    overview = home.overview(session, who)
    page = HomePage(
        overview=overview,
        workers=jobs.workers(session),
        positions=job_feed.queue_positions(session, overview.active),
        disk=home.disk(settings),
    )
    return render(request, "home/_active.html" if request.headers.get("hx-request") else "home/show.html", page)


@dataclass(frozen=True)
class SearchPage:
    query: str
    found: list[search.Hit]
    script: Script = SCRIPT


@router.get("/search")
def find(
    request: Request, session: SessionDep, who: IdentityDep, q: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    query = q.strip()
    return render(request, "home/search.html", SearchPage(query, search.find(session, who, query) if query else []))
