"""/api/v1/synthetic-sets: images that checkpoints drew."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.api.lists import class_index, page_out, send_download
from app.api.schemas.base import Cursor, Limit, PageOut
from app.api.schemas.gates import GateOut, ReleaseIn
from app.api.schemas.results import MarksIn, MarksOut, Rename, SyntheticImageOut, SyntheticSetOut
from app.deps import IdentityDep, SessionDep, StorageDep, SyntheticSetDep
from app.services import downloads, gates, synthetic_sets
from models import Mark, SyntheticSet

router = APIRouter(prefix="/api/v1/synthetic-sets", tags=["synthetic-sets"])


@router.get("")
def list_synthetic_sets(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    checkpoint_id: Annotated[int | None, Query(ge=0, description="Only those this checkpoint drew.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[SyntheticSetOut]:  # fmt: skip
    """List synthetic sets."""
    found = synthetic_sets.listing(session, who, checkpoint_id=checkpoint_id, cursor=cursor, limit=limit)
    return page_out(request, response, found, lambda row: _out(session, row))


@router.get("/{synthetic_set_id}")
def get_synthetic_set(synthetic_set: SyntheticSetDep, session: SessionDep) -> SyntheticSetOut:
    """Get a synthetic set."""
    return _out(session, synthetic_set)


@router.patch("/{synthetic_set_id}")
def rename_synthetic_set(synthetic_set: SyntheticSetDep, change: Rename, session: SessionDep) -> SyntheticSetOut:
    """Rename a synthetic set."""
    return _out(session, synthetic_sets.rename(session, synthetic_set, change.name))


@router.delete("/{synthetic_set_id}", status_code=204)
def delete_synthetic_set(synthetic_set: SyntheticSetDep, who: IdentityDep, session: SessionDep) -> None:
    """Delete a synthetic set that nothing rests on."""
    synthetic_sets.delete(session, who, synthetic_set)


@router.get("/{synthetic_set_id}/images")
def list_synthetic_images(
    request: Request, response: Response, synthetic_set: SyntheticSetDep, session: SessionDep,
    label: Annotated[str | None, Query(description="Only this class.")] = None,
    mark: Annotated[Mark | None, Query(description="Only those with this mark.")] = None,
    cursor: Cursor = None, limit: Limit = 100,
) -> PageOut[SyntheticImageOut]:  # fmt: skip
    """List a set's images in the order of their numbers."""
    index = class_index(synthetic_set.classes, label, "label")
    found = synthetic_sets.images(session, synthetic_set, label=index, mark=mark, cursor=cursor, limit=limit)
    return page_out(request, response, found, lambda row: SyntheticImageOut.of(row, synthetic_set.classes))


@router.post("/{synthetic_set_id}/marks")
def mark_synthetic_images(synthetic_set: SyntheticSetDep, marks: MarksIn, session: SessionDep) -> MarksOut:
    """Star or reject images, or take a mark back; all of those named, or none."""
    before = synthetic_sets.mark(session, synthetic_set, marks.image_ids, marks.mark)
    return MarksOut(marked=len(before), before=before)


@router.get("/{synthetic_set_id}/download", response_class=Response)
def download_synthetic_set(
    synthetic_set: SyntheticSetDep, session: SessionDep, storage: StorageDep,
    include_rejected: Annotated[bool, Query(description="Rejected images too.")] = False,
) -> Response:  # fmt: skip
    """Download class folders, metadata.jsonl, a card and gate.json as a zip, made while it is sent."""
    return send_download(downloads.synthetic_set(session, storage, synthetic_set, include_rejected=include_rejected))


@router.get("/{synthetic_set_id}/gate")
def get_release_gate(synthetic_set: SyntheticSetDep, session: SessionDep) -> GateOut:
    """Get the release gate: the verdict, the four lights, and the release that a person answers for."""
    return GateOut.of(gates.gate_of_set(session, synthetic_set))


@router.post("/{synthetic_set_id}/release", status_code=201)
def release_synthetic_set(
    synthetic_set: SyntheticSetDep, asked: ReleaseIn, who: IdentityDep, session: SessionDep
) -> GateOut:
    """Release a set against its lights, with a reason that stays in the audit trail."""
    gates.release(session, who, synthetic_set, asked.reason)
    return GateOut.of(gates.gate_of_set(session, synthetic_set))


@router.delete("/{synthetic_set_id}/release")
def withdraw_release(synthetic_set: SyntheticSetDep, who: IdentityDep, session: SessionDep) -> GateOut:
    """Take a release back; what was said stays in the audit trail."""
    gates.withdraw(session, who, synthetic_set)
    return GateOut.of(gates.gate_of_set(session, synthetic_set))


def _out(session: Session, row: SyntheticSet) -> SyntheticSetOut:
    dataset = synthetic_sets.dataset_of(session, row)
    return SyntheticSetOut.of(row, dataset_id=dataset.id if dataset else None)
