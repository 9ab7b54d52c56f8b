"""Uploads: files on their way in, and the plan of what an import would make of them.

Bytes go to disk through `folder(...)` without a database session, so that a slow connection holds none; afterwards
`add_files` or `note_size` writes down what arrived.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core import abandoned, layouts
from app.core.config import Settings
from app.core.errors import BadInputError, ConflictError
from app.core.upload_folder import Received, UploadFolder
from app.services import rows
from app.services.identity import Identity
from models import FINISHED, Job, Upload, UploadKind, UploadState

SHOWN_IGNORED = 1000  # of the ignored files, in a plan


def start(session: Session, who: Identity, *, kind: UploadKind | str, name: str) -> Upload:
    """An upload that waits for its bytes. name: of the archive or folder, as the person knows it."""
    if kind not in list(UploadKind):
        raise BadInputError(f"kind is {kind!r}; use archive or folder.")
    name = " ".join(name.split())[:300]
    upload = Upload(project_id=who.project_id, kind=UploadKind(kind), name=name or str(kind))
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, who: Identity, upload_id: int) -> Upload:
    return rows.owned(session, who, Upload, upload_id, noun="upload")


def folder(settings: Settings, upload: Upload) -> UploadFolder:
    """Where the upload's bytes go; ConflictError if it takes none any more."""
    if upload.state in (UploadState.IMPORTED, UploadState.DISCARDED):
        raise ConflictError(f"Upload {upload.id} is {upload.state} and takes no files.", hint="Start another upload.")
    return UploadFolder(settings, upload)


def add_files(session: Session, settings: Settings, upload: Upload, received: Sequence[Received]) -> None:
    """Count one batch of a folder's files that have arrived; those that came before are not counted again."""
    place = folder(settings, upload)
    new = [file for file in received if file.is_new]
    if upload.num_files + len(new) > settings.max_files:
        raise BadInputError(
            f"The upload has more than {settings.max_files:,} files.",
            hint="Split it into several, or raise PHANTOM_MAX_FILES.",
        )
    place.note_batch(list(received))
    _count(session, upload, num_files=len(new), num_bytes=sum(file.size for file in new))


def note_size(session: Session, settings: Settings, upload: Upload) -> None:
    """Write down how much of an archive has arrived."""
    upload.num_files, upload.num_bytes = 1, folder(settings, upload).archive_bytes
    _changed(upload)
    session.flush()


def look(settings: Settings, upload: Upload) -> dict[str, Any]:
    """The plan of an upload whose bytes have arrived; needs no session, since a large tar.gz takes a while to list.

    {summary, top, brings_splits, classes, counts: {class: {split or "all": n}}, num_images, empty, warnings,
    ignored: [{path, reason}] (the first 1,000), num_ignored, total_bytes}.
    Raises BadInputError, with what was found and what is accepted, if nothing can be imported.
    """
    if upload.plan is not None:
        return upload.plan
    layout = layouts.detect(folder(settings, upload).members())
    ignored = [{"path": file.path, "reason": file.reason} for file in layout.ignored]
    return layout.as_json() | {
        "ignored": ignored[:SHOWN_IGNORED],
        "num_ignored": len(ignored),
        "total_bytes": sum(image.size for image in layout.images),
    }


def keep_plan(session: Session, upload: Upload, found: dict[str, Any]) -> dict[str, Any]:
    """Keep with the upload what `look` found; what arrives later forgets it again."""
    if upload.state == UploadState.RECEIVING:
        upload.plan, upload.state = found, UploadState.PLANNED
        session.flush()
    return found


def plan(session: Session, settings: Settings, upload: Upload) -> dict[str, Any]:
    """`look`, and keep what was found."""
    return keep_plan(session, upload, look(settings, upload))


def discard(session: Session, settings: Settings, upload: Upload) -> None:
    """Delete the upload's bytes; it cannot be imported any more."""
    importing = session.scalar(abandoned.imports_of(upload).where(Job.state.not_in(FINISHED)))
    if importing is not None:
        raise ConflictError(f"Job {importing} is importing upload {upload.id}.", hint="Cancel that job first.")
    folder(settings, upload)  # refuses one that has ended
    abandoned.discard(session, settings, upload)


def _count(session: Session, upload: Upload, *, num_files: int, num_bytes: int) -> None:
    """Add in SQL, since batches of one upload may arrive at the same time."""
    _changed(upload)
    session.execute(
        update(Upload)
        .where(Upload.id == upload.id)
        .values(num_files=Upload.num_files + num_files, num_bytes=Upload.num_bytes + num_bytes)
    )
    session.refresh(upload)


def _changed(upload: Upload) -> None:
    upload.state, upload.plan = UploadState.RECEIVING, None
