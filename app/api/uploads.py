"""/api/v1/uploads: files on their way in, the plan made of them, and their import.

A folder is announced first, by paths, sizes and hashes in parts, and then only what is missing comes, as multipart
batches; batches without an announcement are taken, too. An archive comes in pieces by the core of the tus protocol 1.0.0: HEAD says how
much has arrived, PATCH adds the next piece, so a broken connection costs one piece and no more.
"""

from typing import Annotated

from fastapi import APIRouter, File, Header, HTTPException, Path, Query, Request, Response, UploadFile
from starlette.concurrency import run_in_threadpool

from app.api.jobs import IdempotencyKey, accepted
from app.api.lists import RowId
from app.api.schemas.base import API
from app.api.schemas.datasets import (
    ImportIn,
    ListPartIn,
    ListPartOut,
    PlanIn,
    PlanOut,
    PreviewOut,
    UploadIn,
    UploadOut,
)
from app.api.schemas.jobs import JobOut
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.upload_folder import UploadFolder
from app.core.upload_list import Announced
from app.deps import DatabaseDep, IdentityDep, SessionDep, SettingsDep
from app.services import datasets, uploads
from app.services.identity import Identity

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])
TUS = {"Tus-Resumable": "1.0.0"}
MAX_BATCH_BYTES = 256_000_000
MAX_LIST_BYTES = 8_000_000  # 1,000 long paths
MAX_LIST_PARTS = 10_000
MAX_PIECE_BYTES = 2**40  # the upload's own limit counts: pieces are written as they come
WRITE_BYTES = 1 << 20
PIECE = "application/offset+octet-stream"


@router.post("", status_code=201)
def start_upload(
    request: Request, body: UploadIn, who: IdentityDep, session: SessionDep, settings: SettingsDep, response: Response
) -> UploadOut:
    """Announce an upload; then send its files. What lies on the server is read there: nothing is to be sent."""
    request.app.state.upload_limit.check(str(who.user_id))
    if body.path is not None:
        upload = uploads.start_on_server(session, settings, who, path=body.path)
    else:
        upload = uploads.start(session, who, kind=body.kind, name=body.name or "")
    response.headers["Location"] = f"{API}/uploads/{upload.id}"
    return UploadOut.of(upload)


@router.get("/{upload_id}")
def get_upload(upload_id: RowId, who: IdentityDep, session: SessionDep) -> UploadOut:
    """Get an upload: how much of it has arrived."""
    return UploadOut.of(uploads.get(session, who, upload_id))


@router.delete("/{upload_id}", status_code=204)
def discard_upload(upload_id: RowId, who: IdentityDep, session: SessionDep, settings: SettingsDep) -> None:
    """Discard an upload and delete its files."""
    uploads.discard(session, settings, uploads.get(session, who, upload_id))


@router.put("/{upload_id}/list/{part}", max_body_size=MAX_LIST_BYTES)
def announce_files(
    upload_id: RowId,
    part: Annotated[int, Path(ge=0, lt=MAX_LIST_PARTS, description="From 0 on, one after another; 0 begins anew.")],
    body: ListPartIn, who: IdentityDep, database: DatabaseDep, settings: SettingsDep,
) -> ListPartOut:  # fmt: skip
    """Announce the files of a folder before they are sent, up to 1,000 in each part, and learn which are missing.

    What you sent of a folder of the same name before, and did not import, is taken over. Only files of the list are imported.
    """
    with database.write() as session:
        upload = uploads.get(session, who, upload_id)
        place = uploads.folder(settings, upload)
        if part == 0:
            uploads.begin_list(session, upload)
        earlier = {each.id: uploads.folder(settings, each) for each in uploads.earlier(session, who, upload)}
    files = [Announced(file.path, file.size, file.sha256) for file in body.files]
    looked = place.announce(part, body.total, files, earlier=list(earlier.values()))
    replaced = [key for key, other in earlier.items() if looked.is_last and place.replaces(other)]
    with database.write() as session:
        upload = uploads.get(session, who, upload_id)
        uploads.add_files(session, settings, upload, looked.found)
        uploads.discard_replaced(session, settings, replaced)
        return ListPartOut(missing=looked.missing, num_files=upload.num_files)


@router.post("/{upload_id}/files", max_body_size=MAX_BATCH_BYTES)
def send_files(
    upload_id: RowId, who: IdentityDep, database: DatabaseDep, settings: SettingsDep,
    files: Annotated[list[UploadFile], File(max_length=200, description="Up to 200 files; each file name is its path in the folder.")],
    part: Annotated[int | None, Query(ge=0, lt=MAX_LIST_PARTS, description="The part of the list that names them, where files were announced.")] = None,
) -> UploadOut:  # fmt: skip
    """Send a batch of a folder's files. A file that arrived before is replaced, so a batch may be sent again."""
    with database.read() as session:
        upload = uploads.get(session, who, upload_id)
        place, so_far = uploads.folder(settings, upload), upload.num_bytes
    announced = _announced(place, part)
    received = []
    for file in files:
        received.append(place.receive_file(file.filename or "", file.file, bytes_so_far=so_far, announced=announced))
        so_far += received[-1].size
    with database.write() as session:
        upload = uploads.get(session, who, upload_id)
        uploads.add_files(session, settings, upload, received)
        return UploadOut.of(upload)


@router.head("/{upload_id}/content", response_class=Response)
def get_upload_offset(upload_id: RowId, who: IdentityDep, session: SessionDep, settings: SettingsDep) -> Response:
    """Ask how much of an archive has arrived: Upload-Offset (tus 1.0.0)."""
    place = uploads.folder(settings, uploads.get(session, who, upload_id))
    return Response(headers={**TUS, "Upload-Offset": str(place.archive_bytes), "Cache-Control": "no-store"})


@router.patch(
    "/{upload_id}/content", status_code=204, response_class=Response, max_body_size=MAX_PIECE_BYTES,
    openapi_extra={"requestBody": {"required": True, "content": {PIECE: {"schema": {"type": "string", "format": "binary"}}}}},
)  # fmt: skip
async def send_piece(
    request: Request, upload_id: RowId, who: IdentityDep, database: DatabaseDep, settings: SettingsDep,
    upload_offset: Annotated[int, Header(ge=0, description="Where this piece begins: how much has arrived so far.")],
) -> Response:  # fmt: skip
    """Send the next piece of an archive (tus 1.0.0). What arrives before a connection breaks is kept."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != PIECE:
        raise HTTPException(415, f"Send the piece as {PIECE}.")
    place = await run_in_threadpool(_place, database, settings, who, upload_id)
    offset, waiting = upload_offset, bytearray()
    try:
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= WRITE_BYTES:
                offset, waiting = await run_in_threadpool(place.append, offset, bytes(waiting)), bytearray()
        offset = await run_in_threadpool(place.append, offset, bytes(waiting))
    finally:
        await run_in_threadpool(_note_size, database, settings, who, upload_id)
    return Response(status_code=204, headers={**TUS, "Upload-Offset": str(offset)})


@router.get("/{upload_id}/plan")
def get_plan(upload_id: RowId, who: IdentityDep, database: DatabaseDep, settings: SettingsDep) -> PlanOut:
    """Get what an import would make: layout, classes, counts, and every file that would be left out, with the reason."""
    with database.read() as session:
        upload = uploads.get(session, who, upload_id)
    found = uploads.look(settings, upload)  # outside a transaction: a large tar.gz takes a while to list
    with database.write() as session:
        return PlanOut(**uploads.keep_plan(session, uploads.get(session, who, upload_id), found))


@router.post("/{upload_id}/plan")
def preview_plan(
    upload_id: RowId, body: PlanIn, who: IdentityDep, database: DatabaseDep, settings: SettingsDep
) -> PreviewOut:
    """Look at the plan that other options would give, with examples of groups. Nothing is changed by it."""
    with database.read() as session:
        upload = uploads.get(session, who, upload_id)
        target = None if body.dataset_id is None else datasets.may_be_added_to(session, who, body.dataset_id)
    return PreviewOut.of(uploads.look_again(settings, upload, body), target)


@router.post("/{upload_id}/import", status_code=202)
def import_upload(
    upload_id: RowId,
    body: ImportIn,
    who: IdentityDep,
    session: SessionDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """Make a dataset of an upload, or add its images to one: returns at once with the job that does."""
    upload = uploads.get(session, who, upload_id)
    job = datasets.request_import(session, who, upload, body.spec(upload), idempotency_key=idempotency_key)
    return accepted(response, session, job)


def _announced(place: UploadFolder, part: int | None) -> dict[str, Announced] | None:
    """The part of the list that a batch is of; None if nothing was announced."""
    if part is None and place.list.exists:
        raise ConflictError("The files of this upload were announced.", hint="Say by part=... of which part these are.")
    return None if part is None else place.list.part(part)


def _place(database: Database, settings: Settings, who: Identity, upload_id: int) -> UploadFolder:
    with database.read() as session:
        return uploads.folder(settings, uploads.get(session, who, upload_id))


def _note_size(database: Database, settings: Settings, who: Identity, upload_id: int) -> None:
    with database.write() as session:
        uploads.note_size(session, settings, uploads.get(session, who, upload_id))
