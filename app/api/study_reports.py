"""/api/v1/studies/{id}/report: a study's report as one page or as JSON, its charts as SVG, and its recipe as YAML."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from app.api.lists import attachment, is_text
from app.deps import SessionDep, StorageDep, StudyDep
from app.services.studies import reporting

router = APIRouter(prefix="/api/v1/studies/{study_id}", tags=["studies"])
Images = Annotated[
    Literal["all", "synthetic"],
    Query(description="synthetic leaves every real image out: pictures of patients, never figures."),
]
SVG = "image/svg+xml"
YAML, JSON = "application/yaml", "application/json"
NO_SCRIPT = "sandbox; default-src 'none'"


def _is_object(media_type: str) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI is told that a route answers with an object, written as JSON or as YAML."""
    return {200: {"content": {media_type: {"schema": {"type": "object"}}}}}


@router.get("/report.html", response_class=Response, responses=is_text("text/html"))
def get_study_report(
    request: Request, study: StudyDep, session: SessionDep, storage: StorageDep, images: Images = "all"
) -> Response:
    """Download the report as one page that needs nothing else: figures, charts, images, settings, hashes and limits."""
    report = reporting.gather(session, study, studio=_studio(request), real_images=images == "all")
    page = reporting.render(report, storage, in_studio=False)
    headers = {"Content-Security-Policy": page.policy, "Content-Disposition": attachment(f"study-{study.id}.html")}
    return Response(page.html, media_type="text/html", headers=headers)


@router.get("/report.json", response_class=Response, responses=_is_object(JSON))
def get_study_report_json(request: Request, study: StudyDep, session: SessionDep, images: Images = "all") -> Response:
    """Download everything that the report says as JSON; pictures by their SHA-256, without pixels."""
    report = reporting.gather(session, study, studio=_studio(request), real_images=images == "all")
    headers = {"Content-Disposition": attachment(f"study-{study.id}-report.json")}
    return Response(report.to_json(), media_type=JSON, headers=headers)


@router.get("/study.yaml", response_class=Response, responses=_is_object(YAML))
def get_study_recipe(study: StudyDep, session: SessionDep) -> Response:
    """Download the study as the file that `phantom run study.yaml` takes, with every setting and its version."""
    headers = {"Content-Disposition": attachment("study.yaml")}
    return Response(reporting.recipe_of(session, study), media_type=YAML, headers=headers)


@router.get("/arms.svg", response_class=Response, responses=is_text(SVG))
def get_study_arms_chart(study: StudyDep) -> Response:
    """Download the arms of every network with their intervals as SVG; 404 before the table is made."""
    return _chart(reporting.arms_svg(study), f"study-{study.id}-arms.svg")


@router.get("/curve.svg", response_class=Response, responses=is_text(SVG))
def get_study_curve(study: StudyDep) -> Response:
    """Download accuracy over the size of the synthetic set as SVG; 404 with one size, or before the table is made."""
    return _chart(reporting.curve_svg(study), f"study-{study.id}-curve.svg")


def _chart(svg: str, name: str) -> Response:
    headers = {"Content-Disposition": attachment(name), "Content-Security-Policy": NO_SCRIPT}
    return Response(svg, media_type=SVG, headers=headers)


def _studio(request: Request) -> str:
    return str(request.base_url).rstrip("/")
