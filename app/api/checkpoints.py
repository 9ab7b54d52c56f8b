"""/api/v1/checkpoints: diffusion networks that can draw."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.api.lists import page_out, send_download, send_stored
from app.api.schemas.base import Cursor, Limit, PageOut
from app.api.schemas.results import CheckpointOut, Rename
from app.deps import CheckpointDep, IdentityDep, SessionDep, StorageDep
from app.services import checkpoints, downloads
from models import Checkpoint

router = APIRouter(prefix="/api/v1/checkpoints", tags=["checkpoints"])


@router.get("")
def list_checkpoints(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    dataset_id: Annotated[int | None, Query(ge=0, description="Only those trained on this dataset.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[CheckpointOut]:  # fmt: skip
    """List checkpoints."""
    found = checkpoints.listing(session, who, dataset_id=dataset_id, cursor=cursor, limit=limit)
    return page_out(request, response, found, lambda row: _out(session, row))


@router.get("/{checkpoint_id}")
def get_checkpoint(checkpoint: CheckpointDep, session: SessionDep) -> CheckpointOut:
    """Get a checkpoint."""
    return _out(session, checkpoint)


@router.patch("/{checkpoint_id}")
def rename_checkpoint(checkpoint: CheckpointDep, change: Rename, session: SessionDep) -> CheckpointOut:
    """Rename a checkpoint."""
    return _out(session, checkpoints.rename(session, checkpoint, change.name))


@router.delete("/{checkpoint_id}", status_code=204)
def delete_checkpoint(checkpoint: CheckpointDep, who: IdentityDep, session: SessionDep) -> None:
    """Delete a checkpoint that nothing rests on."""
    checkpoints.delete(session, who, checkpoint)


@router.get("/{checkpoint_id}/download", response_class=Response)
def download_checkpoint(checkpoint: CheckpointDep, session: SessionDep, storage: StorageDep) -> Response:
    """Download network, recipe and card as a zip."""
    return send_download(downloads.checkpoint(session, storage, checkpoint))


@router.get("/{checkpoint_id}/network", response_class=Response)
def download_checkpoint_network(request: Request, checkpoint: CheckpointDep, storage: StorageDep) -> Response:
    """Download the network alone, as safetensors; takes Range."""
    name = f"checkpoint-{checkpoint.id}.safetensors"
    return send_stored(request, storage, checkpoint.sha256, media_type="application/octet-stream", name=name)


def _out(session: Session, row: Checkpoint) -> CheckpointOut:
    dataset = checkpoints.dataset_of(session, row)
    return CheckpointOut.of(row, dataset_id=dataset.id if dataset else None)
