"""The report of a study, as it looks when it is kept: the same page, with a line of links above it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from app.deps import SessionDep, StorageDep, StudyDep
from app.services.studies import reporting

router = APIRouter(prefix="/studies", include_in_schema=False)


@router.get("/{study_id}/report")
def show(
    request: Request, study: StudyDep, session: SessionDep, storage: StorageDep,
    images: Annotated[Literal["all", "synthetic"], Query()] = "all",
) -> Response:  # fmt: skip
    studio = str(request.base_url).rstrip("/")
    report = reporting.gather(session, study, studio=studio, real_images=images == "all")
    page = reporting.render(report, storage, in_studio=True)
    return HTMLResponse(page.html, headers={"Content-Security-Policy": page.policy})
