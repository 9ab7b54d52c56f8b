"""The groups of copies and look-alikes of a version that is there already, found anew from the pairs that are known."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import versions
from app.core.versions import Entry
from models import DatasetVersion, DuplicatePair, Image

COLUMNS = [getattr(Image, field) for field in Entry._fields]
ROWS_AT_ONCE = 2000


def entries_by_id(session: Session, version_id: int) -> dict[int, Entry]:
    """All images of a version, by their ids, ascending."""
    rows = session.execute(select(Image.id, *COLUMNS).where(Image.version_id == version_id).order_by(Image.id))
    return {row[0]: Entry(*row[1:]) for row in rows}


def look_alike_keys(session: Session, dataset_id: int) -> list[tuple[str, str]]:
    """The pairs of stored pictures that look the same and that nobody has told apart."""
    query = select(DuplicatePair.first_sha256, DuplicatePair.second_sha256).where(
        DuplicatePair.dataset_id == dataset_id, DuplicatePair.is_distinct.is_(False)
    )
    return [(first, second) for first, second in session.execute(query)]


def told_apart(session: Session, dataset_id: int) -> set[tuple[str, str]]:
    """The pairs of stored pictures that look the same, and of which a person says that they are not."""
    query = select(DuplicatePair.first_sha256, DuplicatePair.second_sha256).where(
        DuplicatePair.dataset_id == dataset_id, DuplicatePair.is_distinct
    )
    return {(first, second) for first, second in session.execute(query)}


def cluster_anew(session: Session, version: DatasetVersion) -> None:
    """Give every image of the version its cluster, and the version its leaks, by the pairs as they are now."""
    before = entries_by_id(session, version.id)
    pairs = look_alike_keys(session, version.dataset_id)
    after = versions.with_clusters(list(before.values()), pairs)
    changed = [
        {"id": image_id, "cluster": new.cluster}
        for (image_id, old), new in zip(before.items(), after, strict=True)
        if new.cluster != old.cluster
    ]
    for start in range(0, len(changed), ROWS_AT_ONCE):
        session.execute(update(Image), changed[start : start + ROWS_AT_ONCE])
    version.leaks = versions.leaks(after)
    session.flush()
    session.expire_all()  # images that are loaded know their old clusters
