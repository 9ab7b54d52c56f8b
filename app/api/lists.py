"""Helpers that every resource's routes share: pages of lists, downloads, files that never change."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from app.api.schemas.base import PageOut
from app.core.errors import BadInputError
from app.core.storage import Storage
from app.services.downloads import Download
from app.services.paging import Page

Row = TypeVar("Row")
Item = TypeVar("Item")
NEVER_CHANGES = "private, max-age=31536000, immutable"
RowId = Annotated[int, Path(ge=0, le=2**63 - 1)]
OpeningId = Annotated[
    int | None, Query(ge=1, le=2**62, description="The opening that counts this look at locked test images.")
]


def page_out(request: Request, response: Response, found: Page[Row], make: Callable[[Row], Item]) -> PageOut[Item]:
    """The page as it is sent; a Link header points at the next one."""
    if found.next_cursor is not None:
        following = request.url.include_query_params(cursor=found.next_cursor)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return PageOut(items=[make(row) for row in found.items], next_cursor=found.next_cursor)


def class_index(classes: Sequence[str], name: str | None, parameter: str) -> int | None:
    """The index of a class given by name in a query; BadInputError if there is no such class."""
    if name is None:
        return None
    if name not in classes:
        known = ", ".join(classes)
        raise BadInputError(
            f"There is no class {name[:100]!r} here; the classes are {known}.",
            errors=[{"pointer": f"query/{parameter}", "detail": f"Use one of {known}."}],
        )
    return classes.index(name)


def attachment(name: str) -> str:
    """A Content-Disposition that saves under `name`, whatever characters it has."""
    plain = name.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_").replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def send_download(download: Download) -> StreamingResponse:
    """A file that is made while it is sent; its length is known beforehand."""
    headers = {"Content-Disposition": attachment(download.name), "Content-Length": str(download.size)}
    return StreamingResponse(download.chunks, media_type=download.media_type, headers=headers)


def send_stored(
    request: Request, storage: Storage, sha256: str, *, media_type: str, name: str | None = None
) -> Response:
    """A stored file, which never changes: with ETag, Range, and leave to keep it for ever. An attachment if it has a name."""
    etag = f'"{sha256}"'
    headers = {"ETag": etag, "Cache-Control": NEVER_CHANGES, "Content-Security-Policy": "sandbox; default-src 'none'"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if name is not None:
        headers["Content-Disposition"] = attachment(name)
    return FileResponse(storage.path(sha256), media_type=media_type, headers=headers)


def is_text(media_type: str) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI is told that a route answers with a text of this kind."""
    return {200: {"content": {media_type: {"schema": {"type": "string"}}}}}
