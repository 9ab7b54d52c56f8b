"""Run a study again from nothing: every job anew, so that its figures and files can be compared with the first run's."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import naming
from app.core.errors import ConflictError, StudioError
from app.services.identity import Identity
from app.services.rows import note
from app.services.studies import estimating, explaining, launching
from app.services.studies.estimating import StudyEstimate
from app.services.studies.looking import progress
from app.services.studies.planning import Planned
from models import DatasetVersion, Study
from models.specs import StudySpec


def reproduce(session: Session, who: Identity, study: Study) -> Study:
    """Launch the study once more: the same spec on the same version, and no job that is there already.

    Raises ConflictError where the study has not ended with a table, or can no longer be run as it was.
    """
    version, planned = _as_it_was(session, who, study)
    made = Study(
        project_id=who.project_id, version_id=version.id, created_by=who.name, spec=study.spec, reproduces_id=study.id,
        name=naming.reproduction(version.dataset.name, study_id=study.id),
    )  # fmt: skip
    session.add(made)
    session.flush()
    note(session, who, "reproduce", study)
    launching.add_steps(session, who, made, planned)
    return made


def estimate(session: Session, who: Identity, study: Study) -> StudyEstimate:
    """What reproducing it would take. Raises what reproducing it would raise."""
    version, planned = _as_it_was(session, who, study)
    return estimating.of_steps(session, StudySpec.model_validate(study.spec), version, planned, planned)


def _as_it_was(session: Session, who: Identity, study: Study) -> tuple[DatasetVersion, list[Planned]]:
    """Its version, which under the paper's protocol is the one that was split for it, and its steps."""
    if not progress(session, study).is_finished:
        raise ConflictError(
            f"Study {study.id} is still running, so there is nothing to compare with yet.",
            hint="Wait until its table is made.",
        )
    if study.answer is None:
        raise ConflictError(
            f"Study {study.id} has no table, so there is nothing to reproduce.",
            hint="Try the jobs again that failed, or launch a new study.",
        )
    spec = StudySpec.model_validate(study.spec)
    version = session.get_one(DatasetVersion, study.version_id)
    try:
        launching.need_an_audit(session, study)
        launching.check(session, who, spec, version)
        planned = explaining.steps(
            session, spec, version, drawn=launching.drawn_sizes(session, study),
            image_ids=explaining.images_of(session, study),
        )  # fmt: skip
        launching.need_what_today_would_give(session, study, planned, what="reproduced")
    except StudioError as error:
        raise ConflictError(
            f"Study {study.id} can no longer be run as it was. {error.detail}", hint=error.hint
        ) from error
    return version, planned


def reproductions(session: Session, study: Study) -> list[Study]:
    """The studies that run this one again, oldest first."""
    return list(session.scalars(select(Study).where(Study.reproduces_id == study.id).order_by(Study.id)))


def original(session: Session, study: Study) -> Study | None:
    """The study that this one runs again; None: it runs none, or that was deleted."""
    return session.get(Study, study.reproduces_id) if study.reproduces_id is not None else None
