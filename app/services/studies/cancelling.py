"""End a study before its end."""

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from app.services import jobs
from app.services.identity import Identity
from app.services.rows import note
from app.services.studies.looking import progress
from models import Study, StudyStep


def cancel(session: Session, who: Identity, study: Study) -> None:
    """Cancel its jobs that have not ended, but those that another study needs too; with each go those that wait for it."""
    note(session, who, "cancel", study)
    so_far = progress(session, study)
    shared = _shared(session, study)
    mine = [each.job for each in so_far.steps if each.job.id not in shared]
    for job in [*mine, *([so_far.answer] if so_far.answer is not None else [])]:
        session.refresh(job)
        if "cancel" in jobs.actions(job, jobs.family(session, job).parts):
            jobs.cancel(session, who, job)


def _shared(session: Session, study: Study) -> set[int]:
    """Jobs of the study that other studies have as well."""
    other = aliased(StudyStep)
    query = select(StudyStep.job_id).join(other, (other.job_id == StudyStep.job_id) & (other.study_id != study.id))
    return set(session.scalars(query.where(StudyStep.study_id == study.id)))
