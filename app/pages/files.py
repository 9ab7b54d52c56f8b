"""Stored images by the hash of their content: never changing, so a browser may keep them for ever.

A key is answered only if a row of the person's project names it. Nothing but PNG is shown in the browser, under a
policy that lets it run nothing; all else is a download.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import FileResponse, Response

from app.deps import IdentityDep, SessionDep, StorageDep
from app.services import files

router = APIRouter(prefix="/files", include_in_schema=False)
HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PNG = "image/png"


@router.get("/{sha256}.png")
def show(
    request: Request,
    session: SessionDep,
    who: IdentityDep,
    storage: StorageDep,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
) -> Response:
    media_type = files.readable(session, who, sha256)
    headers = {**HEADERS, "ETag": f'"{sha256}"'}
    if f'"{sha256}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if media_type != PNG:
        headers["Content-Disposition"] = f'attachment; filename="{sha256[:16]}.bin"'
        media_type = "application/octet-stream"
    return FileResponse(storage.path(sha256), media_type=media_type, headers=headers)
