"""Audits of synthetic sets: what they found, the pairs behind it, and the set that is left to train on."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.services.identity import Identity
from app.services.paging import MAX_LIMIT, Page, page
from app.services.rows import note, owned
from models import Audit, AuditPair, Image, SyntheticImage, SyntheticSet


@dataclass(frozen=True)
class Pair:
    """A synthetic image beside the training image that it is nearest to."""

    pair: AuditPair
    synthetic: SyntheticImage
    real: Image


def get(session: Session, who: Identity, audit_id: int) -> Audit:
    return owned(session, who, Audit, audit_id, noun="audit")


def listing(
    session: Session, who: Identity, *, synthetic_set_id: int | None = None, cursor: str | None = None, limit: int = 50
) -> Page[Audit]:
    """Newest first; only those of one set if given."""
    query = select(Audit).where(Audit.project_id == who.project_id)
    if synthetic_set_id is not None:
        query = query.where(Audit.synthetic_set_id == synthetic_set_id)
    return page(session, query, key=Audit.id, cursor=cursor, limit=limit)


def newest_of(session: Session, synthetic_set: SyntheticSet) -> Audit | None:
    """The newest audit of the set, or the one that left copies out to make it."""
    told = or_(Audit.synthetic_set_id == synthetic_set.id, Audit.filtered_set_id == synthetic_set.id)
    return session.scalar(select(Audit).where(told).order_by(Audit.id.desc()).limit(1))


def set_of(session: Session, audit: Audit) -> SyntheticSet:
    return session.get_one(SyntheticSet, audit.synthetic_set_id)


def filtered(session: Session, audit: Audit) -> SyntheticSet | None:
    """The set without the flagged images; None: there is none."""
    return session.get(SyntheticSet, audit.filtered_set_id) if audit.filtered_set_id is not None else None


def to_train_on(audit: Audit) -> int:
    """The set without copies, the audited one where none were left out."""
    return audit.filtered_set_id if audit.filtered_set_id is not None else audit.synthetic_set_id


def learnt(session: Session, audit: Audit) -> SyntheticSet:
    """The set that `to_train_on` names."""
    return session.get_one(SyntheticSet, to_train_on(audit))


def pairs(
    session: Session, audit: Audit, *, flagged: bool | None = None, cursor: str | None = None, limit: int = 50
) -> Page[Pair]:
    """The most suspicious first; only those flagged, or not flagged, if given."""
    query = select(AuditPair).where(AuditPair.audit_id == audit.id)
    if flagged is not None:
        query = query.where(AuditPair.flagged == flagged)
    found = page(session, query, key=AuditPair.id, cursor=cursor, limit=limit, descending=False)
    return Page(_with_images(session, found.items), found.next_cursor)


def worst(session: Session, audit: Audit, *, limit: int = 20) -> list[Pair]:
    """The most suspicious pairs."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInputError(f"limit is {limit}; use 1 to {MAX_LIMIT}.")
    return pairs(session, audit, limit=limit).items


def _with_images(session: Session, rows: Sequence[AuditPair]) -> list[Pair]:
    drawn_ids, real_ids = [row.synthetic_image_id for row in rows], [row.image_id for row in rows]
    drawn = {row.id: row for row in session.scalars(select(SyntheticImage).where(SyntheticImage.id.in_(drawn_ids)))}
    real = {row.id: row for row in session.scalars(select(Image).where(Image.id.in_(real_ids)))}
    return [Pair(row, drawn[row.synthetic_image_id], real[row.image_id]) for row in rows]


def delete(session: Session, who: Identity, audit: Audit) -> None:
    """Delete it with its pairs; the set that it made stays."""
    note(session, who, "delete", audit)
    session.delete(audit)
