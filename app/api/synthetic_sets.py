"""/api/v1/synthetic-sets: images that checkpoints drew."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.api.lists import class_index, page_out, send_download
from app.api.schemas.base import Cursor, Limit, PageOut
from app.api.schemas.results import MarksIn, MarksOut, Rename, SyntheticImageOut, SyntheticSetOut
from app.deps import IdentityDep, SessionDep, StorageDep, SyntheticSetDep
from app.services import downloads, synthetic_sets
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
    """Download class folders, metadata.jsonl and a card as a zip, made while it is sent."""
    return send_download(downloads.synthetic_set(session, storage, synthetic_set, include_rejected=include_rejected))


def _out(session: Session, row: SyntheticSet) -> SyntheticSetOut:
    dataset = synthetic_sets.dataset_of(session, row)
    return SyntheticSetOut.of(row, dataset_id=dataset.id if dataset else None)
