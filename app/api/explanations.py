"""/api/v1/explanations: what LIME says of a classifier on some images."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.lists import page_out, send_download
from app.api.schemas.base import Cursor, Limit, PageOut
from app.api.schemas.explanations import ExplanationItemOut, ExplanationOut
from app.deps import ExplanationDep, IdentityDep, SessionDep, StorageDep
from app.services import downloads, explanations

router = APIRouter(prefix="/api/v1/explanations", tags=["explanations"])


@router.get("")
def list_explanations(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    classifier_id: Annotated[int | None, Query(ge=0, description="Only those of this classifier.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[ExplanationOut]:  # fmt: skip
    """List explanations."""
    found = explanations.listing(session, who, classifier_id=classifier_id, cursor=cursor, limit=limit)
    summaries = explanations.summaries(session, found.items)
    return page_out(request, response, found, lambda row: ExplanationOut.of(row, summaries[row.id]))


@router.get("/{explanation_id}")
def get_explanation(explanation: ExplanationDep, session: SessionDep) -> ExplanationOut:
    """Get an explanation."""
    return ExplanationOut.of(explanation, explanations.summaries(session, [explanation])[explanation.id])


@router.delete("/{explanation_id}", status_code=204)
def delete_explanation(explanation: ExplanationDep, who: IdentityDep, session: SessionDep) -> None:
    """Delete an explanation with its items."""
    explanations.delete(session, who, explanation)


@router.get("/{explanation_id}/items")
def list_explanation_items(
    request: Request,
    response: Response,
    explanation: ExplanationDep,
    session: SessionDep,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOut[ExplanationItemOut]:
    """List the explained images in the order in which they were asked for."""
    found = explanations.items(session, explanation, cursor=cursor, limit=limit)
    return page_out(request, response, found, lambda row: ExplanationItemOut.of(row, explanation.classes))


@router.get("/{explanation_id}/download", response_class=Response)
def download_explanation(explanation: ExplanationDep, session: SessionDep, storage: StorageDep) -> Response:
    """Download overlays, pictures, segment maps and weights as a zip."""
    return send_download(downloads.explanation(session, storage, explanation))
