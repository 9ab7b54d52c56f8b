"""/api/v1/images and /api/v1/uploaded-images: single images, of datasets and of no dataset."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Request, Response, UploadFile

from app.api.lists import OpeningId, RowId, page_out, send_stored
from app.api.schemas.base import API, Cursor, Limit, PageOut
from app.api.schemas.datasets import ImageOut, UploadedImageOut
from app.deps import DatabaseDep, IdentityDep, SessionDep, StorageDep
from app.services import datasets, uploaded_images
from models import Split

router = APIRouter(prefix="/api/v1", tags=["images"])
PNG = "image/png"
IS_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {PNG: {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "You have it already."},
}


@router.get("/images/{image_id}")
def get_image(image_id: RowId, who: IdentityDep, session: SessionDep) -> ImageOut:
    """Get what is known of an image of a dataset."""
    image = datasets.image(session, who, image_id)
    return ImageOut.of(image, datasets.version(session, image.version_id).classes)


@router.get("/images/{image_id}/content", response_class=Response, responses=IS_PNG)
def get_image_content(
    request: Request,
    image_id: RowId,
    who: IdentityDep,
    session: SessionDep,
    storage: StorageDep,
    opening: OpeningId = None,
) -> Response:
    """Get an image's pixels as PNG. They never change: keep them for ever. A locked test image needs a counted opening."""
    image = datasets.image(session, who, image_id)
    if image.split == Split.TEST:
        datasets.openings.need_open(session, datasets.version(session, image.version_id), opening)
    return send_stored(request, storage, image.stored_sha256, media_type=PNG)


@router.get("/uploaded-images")
def list_uploaded_images(
    request: Request,
    response: Response,
    who: IdentityDep,
    session: SessionDep,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOut[UploadedImageOut]:
    """List single images that were uploaded to be explained."""
    return page_out(
        request, response, uploaded_images.listing(session, who, cursor=cursor, limit=limit), UploadedImageOut.of
    )


@router.post("/uploaded-images", status_code=201, max_body_size=uploaded_images.MAX_BYTES + 100_000)
def upload_image(
    file: Annotated[UploadFile, File(description="A PNG, JPEG, WebP, BMP, TIFF or DICOM with one image in it.")], who: IdentityDep,
    database: DatabaseDep, storage: StorageDep, response: Response,
) -> UploadedImageOut:  # fmt: skip
    """Upload one image to be explained. Only its pixels are kept."""
    prepared = uploaded_images.decode(file.file)
    with database.write() as session:
        image = uploaded_images.create(session, who, storage, name=file.filename or "", prepared=prepared)
        response.headers["Location"] = f"{API}/uploaded-images/{image.id}"
        return UploadedImageOut.of(image)


@router.get("/uploaded-images/{image_id}")
def get_uploaded_image(image_id: RowId, who: IdentityDep, session: SessionDep) -> UploadedImageOut:
    """Get what is known of an uploaded image."""
    return UploadedImageOut.of(uploaded_images.get(session, who, image_id))


@router.get("/uploaded-images/{image_id}/content", response_class=Response, responses=IS_PNG)
def get_uploaded_image_content(
    request: Request, image_id: RowId, who: IdentityDep, session: SessionDep, storage: StorageDep
) -> Response:
    """Get an uploaded image's pixels as PNG."""
    return send_stored(request, storage, uploaded_images.get(session, who, image_id).stored_sha256, media_type=PNG)
