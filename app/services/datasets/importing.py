"""From an upload to a dataset: the checks, the job, and the row that waits for it."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core import naming
from app.core.errors import ConflictError
from app.services.datasets.names import make_room, refuse_taken, taken
from app.services.identity import Identity
from app.services.rows import clean_name, owned, refuse_if_a_job_needs
from app.services.uploads import check_options
from models import Dataset, Job, Upload, UploadState
from models.specs import ImportSpec


def prepare_import(session: Session, who: Identity, spec: ImportSpec) -> tuple[ImportSpec, str]:
    """The import's spec and title; raises ConflictError if the upload has no plan or the name is taken."""
    upload = owned(session, who, Upload, spec.upload_id, noun="upload")
    if upload.state in (UploadState.IMPORTED, UploadState.DISCARDED):
        raise ConflictError(f"Upload {upload.id} was {upload.state} already.", hint="Upload the images again.")
    if upload.plan is None:
        raise ConflictError(
            f"Upload {upload.id} has no plan yet.", hint="Look at its plan first; it says what would be imported."
        )
    check_options(upload, spec)
    refuse_if_a_job_needs(session, who, option="upload_id", row_id=upload.id, noun="upload")
    spec = spec.model_copy(update={"name": clean_name(spec.name)})
    refuse_taken(session, who.project_id, spec.name)
    return spec, f"Import {naming.shortened(spec.name)}"


def request_import(
    session: Session, who: Identity, upload: Upload, spec: ImportSpec, *, idempotency_key: str | None = None
) -> Job:
    """Ask for an upload to become a dataset: a job, and the dataset's row, which is `importing` until it ends.

    A dataset whose import failed, or was cancelled, gives up its name.
    """
    from app.services import jobs  # jobs knows `prepare_import` above

    job = jobs.submit(session, who, spec.model_copy(update={"upload_id": upload.id}), idempotency_key=idempotency_key)
    if not job.is_finished and session.scalar(select(Dataset.id).where(Dataset.job_id == job.id)) is None:
        make_room(session, who.project_id, job.spec["name"])
        _add_named(session, Dataset(project_id=who.project_id, name=job.spec["name"], job_id=job.id))
    return job


def _add_named(session: Session, dataset: Dataset) -> None:
    try:
        with session.begin_nested():
            session.add(dataset)
    except IntegrityError as error:  # somebody took the name at the same moment
        raise taken(dataset.name) from error
