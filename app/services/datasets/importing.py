"""From an upload to a dataset: the checks, the job, and the row that waits for it."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core import naming
from app.core.errors import ConflictError
from app.services.datasets.looking import current_version
from app.services.datasets.names import make_room, refuse_taken, taken
from app.services.identity import Identity
from app.services.rows import clean_name, owned, refuse_if_a_job_needs
from app.services.uploads import check_options
from models import Dataset, DatasetState, DatasetVersion, Job, Upload, UploadState
from models.specs import ImportSpec


def prepare_import(session: Session, who: Identity, spec: ImportSpec) -> tuple[ImportSpec, str]:
    """The import's spec and title.

    Raises ConflictError if the upload has no plan, the name is taken, or the dataset that is to get the images is not ready.
    """
    upload = owned(session, who, Upload, spec.upload_id, noun="upload")
    if upload.state in (UploadState.IMPORTED, UploadState.DISCARDED):
        raise ConflictError(f"Upload {upload.id} was {upload.state} already.", hint="Upload the images again.")
    if upload.plan is None:
        raise ConflictError(
            f"Upload {upload.id} has no plan yet.", hint="Look at its plan first; it says what would be imported."
        )
    check_options(upload, spec)
    refuse_if_a_job_needs(session, who, option="upload_id", row_id=upload.id, noun="upload")
    if spec.dataset_id is not None:
        dataset = may_be_added_to(session, who, spec.dataset_id).dataset
        return spec, f"Add images to {naming.shortened(dataset.name)}"
    assert spec.name is not None, "a spec without a dataset has a name"
    name = clean_name(spec.name)
    refuse_taken(session, who.project_id, name)
    return spec.model_copy(update={"name": name}), f"Import {naming.shortened(name)}"


def may_be_added_to(session: Session, who: Identity, dataset_id: int) -> DatasetVersion:
    """The current version of a dataset that can get more images; ConflictError unless it is ready."""
    dataset = owned(session, who, Dataset, dataset_id, noun="dataset")
    version = current_version(session, dataset)
    if dataset.state != DatasetState.READY or version is None:
        raise ConflictError(
            f"Images cannot be added to dataset {dataset.name!r}: it is {dataset.state}, not ready.",
            hint="Wait for its import." if dataset.state == DatasetState.IMPORTING else "Import the images anew.",
            errors=[{"pointer": "/dataset_id", "detail": "is not ready"}],
        )
    return version


def new_classes(version: DatasetVersion, classes: Sequence[str]) -> list[str]:
    """Those of an upload's classes that the version has not; names that differ by case only are the same."""
    return [name for name in classes if naming.among(name, version.classes) is None]


def request_import(
    session: Session, who: Identity, upload: Upload, spec: ImportSpec, *, idempotency_key: str | None = None
) -> Job:
    """Ask for an upload to become a dataset: a job, and the dataset's row, which is `importing` until it ends.

    A dataset whose import failed, or was cancelled, gives up its name. One that gets more images stays as it is until they are in.
    """
    from app.services import jobs  # jobs knows `prepare_import` above

    job = jobs.submit(session, who, spec.model_copy(update={"upload_id": upload.id}), idempotency_key=idempotency_key)
    if (
        spec.dataset_id is None
        and not job.is_finished
        and session.scalar(select(Dataset.id).where(Dataset.job_id == job.id)) is None
    ):
        make_room(session, who.project_id, job.spec["name"])
        _add_named(session, Dataset(project_id=who.project_id, name=job.spec["name"], job_id=job.id))
    return job


def _add_named(session: Session, dataset: Dataset) -> None:
    try:
        with session.begin_nested():
            session.add(dataset)
    except IntegrityError as error:  # somebody took the name at the same moment
        raise taken(dataset.name) from error
