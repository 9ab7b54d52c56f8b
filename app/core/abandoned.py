"""Uploads that nobody goes on with: after PHANTOM_UPLOAD_DAYS they are discarded, and their bytes deleted.

An upload is left alone while bytes arrive, and while an import of it is not finished or ended within these days: a
failed one may be tried again. Any process may look, several at once as well; the row's state decides.
"""

import time

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from app.core.commits import after_commit
from app.core.config import Settings
from app.core.db import Database
from app.core.upload_folder import UploadFolder
from models import FINISHED, Job, JobKind, Upload, UploadState, db_now

DAY_S = 86_400
OPEN = (UploadState.RECEIVING, UploadState.PLANNED)


def discard_abandoned(database: Database, settings: Settings) -> list[int]:
    """Discard the uploads that nobody goes on with; returns their ids."""
    with database.read() as session:
        old = select(Upload.id).where(Upload.state.in_(OPEN), Upload.created_at < _long_ago(settings))
        upload_ids = list(session.scalars(old.order_by(Upload.id)))
    return [upload_id for upload_id in upload_ids if _discard_one(database, settings, upload_id)]


def waiting(session: Session) -> tuple[int, int]:
    """How many uploads are not imported yet, and how many bytes of them have arrived."""
    counts = select(func.count(), func.coalesce(func.sum(Upload.num_bytes), 0)).where(Upload.state.in_(OPEN))
    number, num_bytes = session.execute(counts).one()
    return int(number), int(num_bytes)


def _discard_one(database: Database, settings: Settings, upload_id: int) -> bool:
    with database.write() as session:
        upload = session.get_one(Upload, upload_id, with_for_update=True)
        if upload.state not in OPEN or not _is_abandoned(session, settings, upload):
            return False
        discard(session, settings, upload)
        return True


def _is_abandoned(session: Session, settings: Settings, upload: Upload) -> bool:
    if time.time() - UploadFolder(settings, upload).touched_at < settings.upload_days * DAY_S:
        return False
    recent = or_(Job.state.not_in(FINISHED), Job.finished_at > _long_ago(settings))
    return session.scalar(imports_of(upload).where(recent)) is None


def _long_ago(settings: Settings) -> db_now:
    return db_now(-settings.upload_days * DAY_S)


def imports_of(upload: Upload) -> Select[int]:
    """The ids of the jobs that import it."""
    return select(Job.id).where(
        Job.project_id == upload.project_id,
        Job.kind == JobKind.IMPORT_DATASET,
        Job.spec["upload_id"].as_integer() == upload.id,
    )


def discard(session: Session, settings: Settings, upload: Upload) -> None:
    """Delete the upload's bytes, once that is committed; it cannot be imported any more."""
    after_commit(session, UploadFolder(settings, upload).delete)
    upload.state, upload.plan = UploadState.DISCARDED, None
    session.flush()
