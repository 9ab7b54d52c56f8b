"""Checkpoints: diffusion networks that can draw, and a form to draw with them at once."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.deps import CheckpointDep, IdentityDep, SessionDep
from app.pages.forms import Field
from app.pages.render import Script, render
from app.pages.results import Link, Setting, settings_of, short_form
from app.services import checkpoints, jobs
from app.services.paging import Page
from models import Artifact, Checkpoint, Job, JobKind, SyntheticSet

router = APIRouter(prefix="/checkpoints", include_in_schema=False)


@dataclass(frozen=True)
class ListPage:
    checkpoints: Page[Checkpoint]
    script: Script


@dataclass(frozen=True)
class ShowPage:
    """job: the training, None for a checkpoint that came with the studio; preview: what it drew last in training."""

    checkpoint: Checkpoint
    job: Job | None
    made_from: list[Link]
    sets: list[SyntheticSet]
    preview: Artifact | None
    fields: list[Field]
    settings: list[Setting]
    guarantee: str
    script: Script


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, cursor: str | None = None) -> Response:
    script = Script(
        client="for checkpoint in studio.checkpoints.list():\n    print(checkpoint.id, checkpoint.name, checkpoint.num_steps)",
        curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/checkpoints',
    )
    return render(request, "checkpoints/index.html", ListPage(checkpoints.listing(session, who, cursor=cursor), script))


@router.get("/{checkpoint_id}")
def show(request: Request, checkpoint: CheckpointDep, session: SessionDep, who: IdentityDep) -> Response:
    job = jobs.get(session, who, checkpoint.job_id) if checkpoint.job_id is not None else None
    page = ShowPage(
        checkpoint=checkpoint,
        job=job,
        made_from=_made_from(session, checkpoint, job),
        sets=checkpoints.synthetic_sets_of(session, checkpoint),
        preview=_last_preview(session, job, checkpoint),
        fields=short_form(
            JobKind.SAMPLE, {"per_class": "16"}, ("per_class", "seed", "guidance", "sampler", "num_steps")
        ),
        settings=settings_of(checkpoint.spec),
        guarantee=checkpoints.guarantee_in_words(checkpoint),
        script=_script(checkpoint),
    )
    return render(request, "checkpoints/show.html", page)


@router.post("/{checkpoint_id}/rename")
def rename(checkpoint: CheckpointDep, session: SessionDep, name: Annotated[str, Form()]) -> Response:
    checkpoints.rename(session, checkpoint, name)
    return RedirectResponse(f"/checkpoints/{checkpoint.id}", status_code=303)


@router.post("/{checkpoint_id}/delete")
def delete(checkpoint: CheckpointDep, session: SessionDep, who: IdentityDep) -> Response:
    checkpoints.delete(session, who, checkpoint)
    return RedirectResponse("/checkpoints", status_code=303)


def _made_from(session: Session, checkpoint: Checkpoint, job: Job | None) -> list[Link]:
    links = []
    if dataset := checkpoints.dataset_of(session, checkpoint):
        links.append(Link("Dataset", dataset.name, f"/datasets/{dataset.id}"))
    if job and (start := job.spec.get("init_checkpoint_id")):
        links.append(Link("Went on from checkpoint", f"{start}", f"/checkpoints/{start}"))
    if job:
        links.append(Link("Job", f"{job.id}, {job.title}", f"/jobs/{job.id}"))
    return links


def _last_preview(session: Session, job: Job | None, checkpoint: Checkpoint) -> Artifact | None:
    """What this network drew; a training that stopped on copies has drawn later ones too."""
    previews = [each for each in jobs.previews(session, job) if each.index <= checkpoint.num_steps] if job else []
    return previews[-1] if previews else None


def _script(checkpoint: Checkpoint) -> Script:
    return Script(
        client=(
            f"checkpoint = studio.checkpoints.get({checkpoint.id})\n"
            "synthetic = studio.sample(checkpoint, per_class=50, seed=1).wait()\n"
            'synthetic.download("out/")'
        ),
        curl=(
            'curl -X POST -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\\n'
            f'  -d \'{{"kind": "sample", "checkpoint_id": {checkpoint.id}, "per_class": 50, "seed": 1}}\' \\\n'
            "  $PHANTOM_URL/api/v1/jobs"
        ),
    )
