"""/api/v1/audits: what synthetic sets give away, and how near they come to real images."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.lists import page_out
from app.api.schemas.audits import AuditOut, AuditPairOut
from app.api.schemas.base import Cursor, Limit, PageOut
from app.deps import AuditDep, IdentityDep, SessionDep
from app.services import audits

router = APIRouter(prefix="/api/v1/audits", tags=["audits"])


@router.get("")
def list_audits(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    synthetic_set_id: Annotated[int | None, Query(ge=0, description="Only those of this set.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[AuditOut]:  # fmt: skip
    """List audits."""
    found = audits.listing(session, who, synthetic_set_id=synthetic_set_id, cursor=cursor, limit=limit)
    return page_out(request, response, found, AuditOut.of)


@router.get("/{audit_id}")
def get_audit(audit: AuditDep) -> AuditOut:
    """Get an audit: the lights, fidelity, privacy, and the set that is left to train on."""
    return AuditOut.of(audit)


@router.delete("/{audit_id}", status_code=204)
def delete_audit(audit: AuditDep, who: IdentityDep, session: SessionDep) -> None:
    """Delete an audit with its pairs; the set that it made stays."""
    audits.delete(session, who, audit)


@router.get("/{audit_id}/pairs")
def list_audit_pairs(
    request: Request, response: Response, audit: AuditDep, session: SessionDep,
    flagged: Annotated[bool | None, Query(description="Only flagged pairs, or only the others.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[AuditPairOut]:  # fmt: skip
    """List synthetic images beside the training images that they are nearest to, the most suspicious first."""
    found = audits.pairs(session, audit, flagged=flagged, cursor=cursor, limit=limit)
    return page_out(request, response, found, lambda row: AuditPairOut.of(row, audit.classes))
