"""Single images that belong to no dataset, uploaded to be explained.

A stranger's file is decoded before a session is opened, in a child process that it may kill without harm; what is
kept are its pixels, re-encoded, and nothing else of the file.
"""

import tempfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError, TooLargeError
from app.core.images import DecoderPool, Prepared, Refused
from app.core.storage import Storage
from app.services import rows
from app.services.identity import Identity
from app.services.paging import Page, page
from models import UploadedImage

MAX_BYTES = 64_000_000
CHUNK = 1 << 20


def decode(source: BinaryIO) -> Prepared:
    """The pixels of one image file; BadInputError with the reason if it cannot be read."""
    with tempfile.TemporaryDirectory() as folder, DecoderPool(1) as pool:
        path = Path(folder, "image")
        _save(source, path)
        found = pool.prepare(path)
    if isinstance(found, Refused):
        raise BadInputError(
            f"This image cannot be read: {found.reason}",
            hint="Send a PNG, JPEG, WebP, BMP, TIFF or DICOM with one image in it.",
            errors=[{"pointer": "/file", "detail": found.reason}],
        )
    return found


def _save(source: BinaryIO, path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > MAX_BYTES:
                raise TooLargeError(f"The image is larger than {MAX_BYTES // 10**6} MB.", hint="Send a smaller file.")
            file.write(chunk)


def create(session: Session, who: Identity, storage: Storage, *, name: str, prepared: Prepared) -> UploadedImage:
    """Keep a decoded image under its file name."""
    image = UploadedImage(
        project_id=who.project_id, name=PurePosixPath(name).name[:300] or "image", width=prepared.width,
        height=prepared.height, stored_sha256=storage.put(prepared.png).sha256,
        thumbnail_sha256=storage.put(prepared.thumbnail).sha256,
    )  # fmt: skip
    session.add(image)
    session.flush()
    session.refresh(image)
    return image


def get(session: Session, who: Identity, image_id: int) -> UploadedImage:
    return rows.owned(session, who, UploadedImage, image_id, noun="uploaded image")


def listing(session: Session, who: Identity, *, cursor: str | None = None, limit: int = 50) -> Page[UploadedImage]:
    """Newest first."""
    query = select(UploadedImage).where(UploadedImage.project_id == who.project_id)
    return page(session, query, key=UploadedImage.id, cursor=cursor, limit=limit)
