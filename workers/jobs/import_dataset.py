"""Import an upload: decode every image in a safe place, store it, split it, and make the dataset's version of it.

All rows are written in the transaction that ends the job; before it, there are only files named by their content.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import layouts
from app.core.commits import after_commit
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.pseudonyms import Pseudonyms
from app.core.submission import add_check
from app.core.upload_folder import UploadFolder
from app.core.version_rows import write_version
from models import Dataset, DatasetState, DatasetVersion, Job, Upload, UploadState
from models.specs import ImportSpec
from workers.context import JobContext, Recorder
from workers.jobs.import_adding import Addition
from workers.jobs.import_assembling import Decoded, Made, assemble, sort_out
from workers.jobs.import_decoding import decode_all
from workers.jobs.looks import record_looks

Write = Callable[[Session, Job], DatasetVersion]


def run(context: JobContext, spec: ImportSpec) -> Recorder:
    context.report(0, message="Reading the list of files.", unit="files")
    folder = _upload_folder(context, spec.upload_id)
    layout = layouts.detect(folder.members(), folder, spec)
    if not spec.keep_layout_splits:
        layout = replace(layout, brings_splits=False, images=[image._replace(split=None) for image in layout.images])
    kept = decode_all(context, folder, {image.path for image in layout.images}, spec)
    decoded = sort_out(layout, kept, spec, Pseudonyms(context.settings))
    write = _new_dataset(context, spec, decoded) if spec.dataset_id is None else _addition(context, spec, decoded)
    context.report(len(layout.images), len(layout.images), message="Writing it down.")
    return lambda session, job: _end(session, job, spec, write(session, job), folder)


def _new_dataset(context: JobContext, spec: ImportSpec, decoded: Decoded) -> Write:
    made = assemble(decoded, spec)
    context.log(made.in_words())
    return lambda session, job: _record(session, job, spec, decoded, made)


def _addition(context: JobContext, spec: ImportSpec, decoded: Decoded) -> Write:
    assert spec.dataset_id is not None
    addition = Addition.work_out(context, spec, spec.dataset_id, decoded)
    return lambda session, job: addition.record(session, job.id)


def _upload_folder(context: JobContext, upload_id: int) -> UploadFolder:
    with context.database.read() as session:
        upload = session.get(Upload, upload_id)
        if upload is None or upload.state in (UploadState.IMPORTED, UploadState.DISCARDED):
            raise ConflictError(f"The files of upload {upload_id} are gone.", hint="Upload the images again.")
        folder = UploadFolder(context.settings, upload)
    forget_leftovers(context.settings, context.database)
    return folder


def forget_leftovers(settings: Settings, database: Database) -> None:
    """Delete the bytes of uploads that were imported or discarded by a process that died before it could."""
    folders = [folder for folder in settings.uploads_dir.glob("*") if folder.name.isdigit()]
    with database.read() as session:
        over = (UploadState.IMPORTED, UploadState.DISCARDED)
        ended = set(session.scalars(select(Upload.id).where(Upload.state.in_(over))))
    for folder in folders:
        if int(folder.name) in ended:
            shutil.rmtree(folder, ignore_errors=True)


def _record(session: Session, job: Job, spec: ImportSpec, decoded: Decoded, made: Made) -> DatasetVersion:
    dataset = _dataset(session, job, spec)
    version = write_version(
        session, dataset, parent=None, entries=made.entries, left=made.left, classes=made.classes, channels=made.channels,
        layout=made.layout, change="Import", job_id=job.id,
    )  # fmt: skip
    record_looks(session, dataset.id, decoded.looks, decoded.facts, made.look_alikes)
    dataset.state = DatasetState.READY
    return version


def _dataset(session: Session, job: Job, spec: ImportSpec) -> Dataset:
    """The row that waits for this import; a new one if its name was given away after an earlier failure."""
    dataset = session.scalar(select(Dataset).where(Dataset.job_id == job.id))
    if dataset is not None:
        return dataset
    assert spec.name is not None, "a spec without a dataset has a name"
    taken = session.scalar(select(Dataset.id).where(Dataset.project_id == job.project_id, Dataset.name == spec.name))
    if taken is not None:
        raise ConflictError(
            f"There is a dataset named {spec.name!r} by now.", hint="Import the images under another name."
        )
    dataset = Dataset(project_id=job.project_id, name=spec.name, job_id=job.id)
    session.add(dataset)
    session.flush()
    return dataset


def _end(session: Session, job: Job, spec: ImportSpec, version: DatasetVersion, folder: UploadFolder) -> dict[str, Any]:
    """The upload has become a version: its bytes go once that is committed, and the version is checked."""
    upload = session.get_one(Upload, spec.upload_id)
    upload.state, upload.plan = UploadState.IMPORTED, layouts.without_examples(upload.plan or {})
    after_commit(session, folder.delete)
    check = add_check(session, version, project_id=job.project_id, created_by=job.created_by)
    return {"dataset_id": version.dataset_id, "version_id": version.id, "check_job_id": check.id}
