"""End a study before its end."""

from sqlalchemy.orm import Session

from app.services import jobs
from app.services.identity import Identity
from app.services.rows import note
from app.services.studies.looking import needed_elsewhere, progress
from models import Study


def cancel(session: Session, who: Identity, study: Study) -> None:
    """Cancel its jobs that have not ended, but those that another study still needs; with each go those that wait for it."""
    note(session, who, "cancel", study)
    so_far = progress(session, study)
    kept = needed_elsewhere(session, study)
    mine = [each.job for each in so_far.steps if each.job.id not in kept]
    for job in [*mine, *([so_far.answer] if so_far.answer is not None else [])]:
        session.refresh(job)
        if "cancel" in jobs.actions(job, jobs.family(session, job).parts):
            jobs.cancel(session, who, job)
