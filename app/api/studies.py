"""/api/v1/studies: whether synthetic images can stand in for real ones, asked by many jobs and answered in one table."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.api.lists import attachment, is_text, page_out
from app.api.schemas.base import API, Cursor, Limit, PageOut
from app.api.schemas.studies import StepOut, StepsOut, StudyEstimateOut, StudyExtension, StudyIn, StudyOut
from app.api.schemas.study_comparisons import StudyComparisonOut
from app.deps import IdentityDep, PathId, SessionDep, StudyDep
from app.services import studies
from app.services.studies import cancelling, comparing, estimating, reproducing, tables
from models import Study

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])


@router.get("")
def list_studies(
    request: Request,
    response: Response,
    who: IdentityDep,
    session: SessionDep,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOut[StudyOut]:
    """List studies."""
    found = studies.listing(session, who, cursor=cursor, limit=limit)
    return page_out(request, response, found, lambda row: _out(session, row))


@router.post("", status_code=202)
def launch_study(body: StudyIn, who: IdentityDep, session: SessionDep, response: Response) -> StudyOut:
    """Launch a study: all of its jobs are taken on at once, and those that are there already are used again."""
    study = studies.launch(session, who, body.spec())
    response.headers["Location"] = f"{API}/studies/{study.id}"
    return _out(session, study)


@router.post("/estimate")
def estimate_study(body: StudyIn, who: IdentityDep, session: SessionDep) -> StudyEstimateOut:
    """Say what a study would take in jobs, time, memory and disk, without launching it."""
    found = estimating.estimate(session, who, body.spec())
    return StudyEstimateOut(
        num_jobs=found.num_jobs, num_reused=found.num_reused, seconds_low=found.seconds_low, seconds_high=found.seconds_high,
        memory_bytes=found.memory_bytes, disk_bytes=found.disk_bytes, basis=found.basis,
    )  # fmt: skip


@router.get("/{study_id}")
def get_study(study: StudyDep, session: SessionDep) -> StudyOut:
    """Get a study: how far it is, and its tables once they are made."""
    return _out(session, study)


@router.get("/{study_id}/steps")
def list_study_steps(study: StudyDep, session: SessionDep) -> StepsOut:
    """List the jobs of a study, in the order in which they were planned."""
    return StepsOut(items=[StepOut.of(each) for each in studies.progress(session, study).steps])


@router.get("/{study_id}/table.csv", response_class=Response, responses=is_text("text/csv"))
def get_study_table_csv(study: StudyDep) -> Response:
    """Download the table as CSV; only its head before it is made."""
    headers = {"Content-Disposition": attachment(f"study-{study.id}.csv")}
    return Response(tables.as_csv(study), media_type="text/csv", headers=headers)


@router.get("/{study_id}/table.tex", response_class=Response, responses=is_text("application/x-tex"))
def get_study_table_latex(study: StudyDep) -> Response:
    """Download the table as a LaTeX tabular (booktabs)."""
    headers = {"Content-Disposition": attachment(f"study-{study.id}.tex")}
    return Response(tables.as_latex(study), media_type="application/x-tex", headers=headers)


@router.post("/{study_id}/extend", status_code=202)
def extend_study(study: StudyDep, body: StudyExtension, who: IdentityDep, session: SessionDep) -> StudyOut:
    """Add networks, seeds, sizes, arms or external datasets; nothing that is there is done again."""
    asked = {name: value for name, value in body.model_dump().items() if value}
    return _out(session, studies.extend(session, who, study, asked))


@router.post("/{study_id}/reproduce", status_code=202)
def reproduce_study(study: StudyDep, who: IdentityDep, session: SessionDep, response: Response) -> StudyOut:
    """Launch a study once more with every job anew, to be compared with the first run."""
    made = reproducing.reproduce(session, who, study)
    response.headers["Location"] = f"{API}/studies/{made.id}"
    return _out(session, made)


@router.get("/{study_id}/comparison/{other_id}")
def compare_studies(study: StudyDep, other_id: PathId, who: IdentityDep, session: SessionDep) -> StudyComparisonOut:
    """Compare two studies, figure by figure and file by file."""
    other = studies.get(session, who, other_id)
    return StudyComparisonOut.of(comparing.compare(session, study, other), comparing.files(session, study, other))


@router.post("/{study_id}/cancel")
def cancel_study(study: StudyDep, who: IdentityDep, session: SessionDep) -> StudyOut:
    """Cancel all jobs of a study that have not ended and that no other study needs."""
    cancelling.cancel(session, who, study)
    return _out(session, study)


@router.delete("/{study_id}", status_code=204)
def delete_study(study: StudyDep, who: IdentityDep, session: SessionDep) -> None:
    """Delete a study and its table. Its jobs and what they made stay."""
    studies.delete(session, who, study)


def _out(session: Session, row: Study) -> StudyOut:
    so_far = studies.progress(session, row)
    audit = studies.audit_of(session, so_far)
    return StudyOut.of(
        row, so_far, dataset_id=studies.dataset_of(session, row).id, audit_id=audit.id if audit is not None else None
    )
