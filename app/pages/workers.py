"""Workers: which processes do the work, on what device, and what waits for them."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.deps import IdentityDep, SessionDep, SettingsDep
from app.pages.render import Script, render
from app.services import home, jobs
from models import Job, Queue, Worker

router = APIRouter(prefix="/workers", include_in_schema=False)
SCRIPT = Script(
    client=".venv/bin/python -m app worker --queues gpu     # one more worker on this installation",
    curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/workers"',
)


@dataclass(frozen=True)
class WorkersPage:
    workers: list[Worker]
    active: list[Job]
    disk: home.Disk
    queues: tuple[Queue, ...] = tuple(Queue)
    script: Script = SCRIPT

    @property
    def unserved(self) -> list[Queue]:
        """Queues that no worker listens to."""
        return [queue for queue in Queue if not any(queue in worker.queues for worker in self.workers)]

    def of(self, queue: Queue, state: str) -> list[Job]:
        return [job for job in self.active if job.queue == queue and job.state == state]


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, settings: SettingsDep) -> Response:
    page = WorkersPage(jobs.workers(session), jobs.active(session, who), home.disk(settings))
    return render(request, "workers/index.html", page)
