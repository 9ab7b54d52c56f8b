"""Choosing a folder or an archive that lies on the server, one level at a time or by its path."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.core import server_folders
from app.core.config import Settings
from app.core.errors import BadInputError, StudioError
from app.core.server_folders import Entry
from app.deps import DatabaseDep, IdentityDep, SessionDep, SettingsDep
from app.pages.into import DatasetId, Into, into, query_of
from app.pages.render import Script, render
from app.services import uploads

router = APIRouter(prefix="/datasets/new/server", include_in_schema=False)
SERVER_SCRIPT = Script(
    client='data = studio.datasets.upload_server_folder("/data/ct", name="ct")',
    curl="""curl -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\
     -d '{"kind": "server", "path": "/data/ct"}' "$PHANTOM_URL/api/v1/uploads\"""",
)


@dataclass(frozen=True)
class ServerPage:
    """path: as it was given; entries: of the folder `path` if `is_inside`, else the roots; above: the folder around it;
    problem: why `path` cannot be looked into or imported; into: None where the images become a dataset of their own."""

    path: str
    above: str | None
    entries: list[Entry]
    is_inside: bool
    is_on: bool
    problem: StudioError | None
    into: Into | None

    @property
    def script(self) -> Script:
        return self.into.script if self.into else SERVER_SCRIPT


@router.get("")
def show_server(
    request: Request, session: SessionDep, who: IdentityDep, settings: SettingsDep,
    path: Annotated[str, Query(max_length=4096)] = "", dataset_id: DatasetId = None,
) -> Response:  # fmt: skip
    """The folders of the server that may be imported, one level at a time."""
    return _server_page(request, settings, path, into(session, who, dataset_id))


@router.post("")
def start_on_server(
    request: Request, who: IdentityDep, database: DatabaseDep, settings: SettingsDep,
    path: Annotated[str, Form(max_length=4096)] = "", dataset_id: DatasetId = None,
) -> Response:  # fmt: skip
    with database.read() as session:
        target = into(session, who, dataset_id)
    try:
        with database.write() as session:
            upload = uploads.start_on_server(session, settings, who, path=path.strip())
    except BadInputError as error:
        return _server_page(request, settings, path.strip(), target, error)
    return RedirectResponse(f"/datasets/new/{upload.id}{query_of(target)}", 303)


def _server_page(
    request: Request, settings: Settings, path: str, into: Into | None, problem: StudioError | None = None
) -> Response:
    roots = [str(root) for root in settings.import_folders]
    inside: list[Entry] | None = None
    if path and problem is None:
        try:
            inside = server_folders.look_into(settings, path)
        except BadInputError as error:
            problem = error
    if inside is None:
        page = ServerPage(path, None, [Entry(root, root, True) for root in roots], False, bool(roots), problem, into)
    else:
        above = "" if path.rstrip("/") in roots else path.rstrip("/").rpartition("/")[0]
        page = ServerPage(path, above, inside, True, True, None, into)
    return render(request, "datasets/server.html", page, status_code=problem.status if problem else 200)
