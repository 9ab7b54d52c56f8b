"""/api/v1/jobs: work of every kind in one collection, told apart by `kind`.

A job is accepted with 202 as soon as its row is committed, whether or not a worker or the broker is up.
"""

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response
from sqlalchemy.orm import Session

from app.api.lists import RowId, page_out, send_stored
from app.api.schemas.base import API, Cursor, Limit, PageOut
from app.api.schemas.jobs import (
    ArtifactOut,
    ArtifactsOut,
    EstimateOut,
    JobOut,
    LineageOut,
    MetricsOut,
    Point,
    Relative,
)
from app.core.errors import NotFoundError
from app.deps import IdentityDep, JobDep, SessionDep, StorageDep
from app.services import datasets, estimates, jobs, prepare, uploads
from app.services.jobs import Family
from models import Job, JobKind, JobState
from models.specs import AskedSpec, ImportSpec

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
SpecBody = Annotated[
    AskedSpec, Body(discriminator="kind", description="The spec of one kind; what it leaves out is filled in.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own: sent again with the same key, the request finds the job that is there already.",
    ),
]  # fmt: skip


@router.get("")
def list_jobs(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    kind: Annotated[JobKind | None, Query(description="Only this kind.")] = None,
    state: Annotated[JobState | None, Query(description="Only in this state.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[JobOut]:  # fmt: skip
    """List jobs."""
    found = jobs.listing(session, who, kind=kind, state=state, cursor=cursor, limit=limit)
    families = jobs.families(session, found.items)
    return page_out(request, response, found, lambda job: _brief(job, families[job.id]))


@router.post("", status_code=202)
def submit_job(
    spec: SpecBody, who: IdentityDep, session: SessionDep, response: Response, idempotency_key: IdempotencyKey = None
) -> JobOut:
    """Ask for work: returns at once with the job, whose address is in Location."""
    if isinstance(spec, ImportSpec):
        upload = uploads.get(session, who, spec.upload_id)
        job = datasets.request_import(session, who, upload, spec, idempotency_key=idempotency_key)
    else:
        job = jobs.submit(session, who, spec, idempotency_key=idempotency_key)
    return accepted(response, session, job)


@router.post("/estimate")
def estimate_job(spec: SpecBody, who: IdentityDep, session: SessionDep) -> EstimateOut:
    """Say what such a job would take in time, memory and disk, without starting it."""
    complete, _ = prepare.prepare(session, who, spec)
    found = estimates.estimate(session, complete)
    return EstimateOut(
        seconds_low=found.seconds_low, seconds_high=found.seconds_high, memory_bytes=found.memory_bytes,
        disk_bytes=found.disk_bytes, basis=found.basis,
    )  # fmt: skip


@router.get("/{job_id}")
def get_job(job: JobDep, session: SessionDep) -> JobOut:
    """Get a job: its state, how far it is, what it made or why it failed."""
    return _out(session, job)


@router.post("/{job_id}/cancel")
def cancel_job(job: JobDep, who: IdentityDep, session: SessionDep) -> JobOut:
    """Stop a job and keep nothing of it. One that runs stops within seconds. A part is cancelled with the whole."""
    jobs.cancel(session, who, job)
    return _out(session, job)


@router.post("/{job_id}/stop")
def stop_job(job: JobDep, who: IdentityDep, session: SessionDep) -> JobOut:
    """Stop a running job and keep what there is: what a training has learnt, the images that are drawn."""
    jobs.stop_and_keep(session, who, job)
    return _out(session, job)


@router.post("/{job_id}/pause")
def pause_job(job: JobDep, who: IdentityDep, session: SessionDep) -> JobOut:
    """Put a job aside; it goes on from where it was when it is resumed."""
    jobs.pause(session, who, job)
    return _out(session, job)


@router.post("/{job_id}/resume")
def resume_job(job: JobDep, who: IdentityDep, session: SessionDep) -> JobOut:
    """Put a paused job back into the queue."""
    jobs.resume(session, who, job)
    return _out(session, job)


@router.post("/{job_id}/retry")
def retry_job(job: JobDep, who: IdentityDep, session: SessionDep) -> JobOut:
    """Try a failed job once more; of one that is done in parts, those that failed."""
    jobs.retry(session, who, job)
    return _out(session, job)


@router.get("/{job_id}/metrics")
def get_job_metrics(
    job: JobDep, session: SessionDep,
    name: Annotated[list[str] | None, Query(max_length=50, description="Only these curves.")] = None,
    max_points: Annotated[int, Query(ge=2, le=10_000, description="Most points of each curve.")] = 1000,
) -> MetricsOut:  # fmt: skip
    """Get the curves that a job drew, thinned to max_points each."""
    curves = jobs.metrics(session, job, names=name, max_points=max_points - 1)
    return MetricsOut(
        curves={curve: [Point.of(step, value) for step, value in points] for curve, points in curves.items()}
    )


@router.get("/{job_id}/artifacts")
def list_job_artifacts(
    job: JobDep,
    session: SessionDep,
    role: Annotated[str | None, Query(max_length=40, description="Only this role.")] = None,
) -> ArtifactsOut:
    """List the files that a job made."""
    return ArtifactsOut(items=[ArtifactOut.of(artifact) for artifact in jobs.artifacts(session, job, role)])


@router.get("/{job_id}/artifacts/{artifact_id}/content", response_class=Response)
def get_artifact_content(
    request: Request, job: JobDep, artifact_id: RowId, session: SessionDep, storage: StorageDep
) -> Response:
    """Download one file that a job made; takes Range."""
    found = next((each for each in jobs.artifacts(session, job) if each.id == artifact_id), None)
    if found is None:
        raise NotFoundError(f"Job {job.id} has no artifact {artifact_id}.")
    return send_stored(request, storage, found.sha256, media_type="application/octet-stream", name=found.name)


@router.get("/{job_id}/previews")
def list_job_previews(job: JobDep, session: SessionDep) -> ArtifactsOut:
    """List the previews of a training, first to last."""
    return ArtifactsOut(items=[ArtifactOut.of(artifact) for artifact in jobs.previews(session, job)])


@router.get("/{job_id}/lineage")
def get_job_lineage(job: JobDep, session: SessionDep) -> LineageOut:
    """List what a job was made from, and what it made."""
    found = jobs.lineage(session, job)
    return LineageOut(
        items=[Relative(kind=each.kind, id=each.id, name=each.name, url=each.url, made=each.made) for each in found]
    )


def accepted(response: Response, session: Session, job: Job) -> JobOut:
    """The answer to a job that was taken on."""
    response.headers["Location"] = f"{API}/jobs/{job.id}"
    return _out(session, job)


def _brief(job: Job, family: Family) -> JobOut:
    return JobOut.of(job, family, time_left=jobs.time_left(job), actions=jobs.actions(job, family.parts))


def _out(session: Session, job: Job) -> JobOut:
    family = jobs.family(session, job)
    return JobOut.of(
        job, family, time_left=jobs.time_left(job), actions=jobs.actions(job, family.parts), queue_position=jobs.queue_position(session, job),
        needs=[needed.id for needed in jobs.needs(session, job)],
    )  # fmt: skip
