"""Checkpoints: diffusion networks that can draw."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.services.identity import Identity
from app.services.paging import Page, page
from app.services.rows import clean_name, count, note, owned, refuse_if_a_job_needs
from models import Checkpoint, Dataset, DatasetVersion, SyntheticSet


def get(session: Session, who: Identity, checkpoint_id: int) -> Checkpoint:
    return owned(session, who, Checkpoint, checkpoint_id, noun="checkpoint")


def listing(
    session: Session,
    who: Identity,
    *,
    dataset_id: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Checkpoint]:
    """Newest first; only those trained on `dataset_id` if given."""
    query = select(Checkpoint).where(Checkpoint.project_id == who.project_id)
    if dataset_id is not None:
        query = query.join(DatasetVersion).where(DatasetVersion.dataset_id == dataset_id)
    return page(session, query, key=Checkpoint.id, cursor=cursor, limit=limit)


def dataset_of(session: Session, checkpoint: Checkpoint) -> Dataset | None:
    """The dataset it was trained on; None for a checkpoint that came with the studio."""
    version = session.get(DatasetVersion, checkpoint.version_id) if checkpoint.version_id is not None else None
    return version.dataset if version is not None else None


def synthetic_sets_of(session: Session, checkpoint: Checkpoint, *, limit: int = 50) -> list[SyntheticSet]:
    """What it drew, newest first."""
    query = select(SyntheticSet).where(SyntheticSet.checkpoint_id == checkpoint.id)
    return list(session.scalars(query.order_by(SyntheticSet.id.desc()).limit(limit)))


def rename(session: Session, checkpoint: Checkpoint, name: str) -> Checkpoint:
    checkpoint.name = clean_name(name)
    session.flush()
    return checkpoint


def delete(session: Session, who: Identity, checkpoint: Checkpoint) -> None:
    """Delete it; ConflictError while a synthetic set or an unfinished job rests on it."""
    drawn = count(session, SyntheticSet.checkpoint_id == checkpoint.id)
    if drawn:
        raise ConflictError(
            f"{drawn} synthetic sets were drawn from checkpoint {checkpoint.id}.",
            hint="Delete those sets first: they could not say where they came from.",
        )
    for option in ("checkpoint_id", "init_checkpoint_id"):
        refuse_if_a_job_needs(session, who, option=option, row_id=checkpoint.id, noun="checkpoint")
    note(session, who, "delete", checkpoint)
    session.delete(checkpoint)


def guarantee_in_words(checkpoint: Checkpoint) -> str:
    """What its training promises of any one image, in a sentence."""
    found = checkpoint.guarantee
    if found is None:
        return "none: its training was not asked to bound what can be told of an image."
    return (
        f"epsilon {found['epsilon']:.2f}, delta {found['delta']:.1e} for one image (noise {found['noise_multiplier']:.2f}, clip "
        f"{found['max_grad_norm']:g}, {found['num_steps']:,} steps; {found['accountant']}). A patient with k images has k times that epsilon, and each "
        "further training on the same images adds its own."
    )
