"""Copies and look-alikes within a dataset, and images of one dataset that are also in another."""

from typing import NamedTuple

from sqlalchemy import distinct, func, select, update
from sqlalchemy.orm import Session

from app.core import clusters
from app.core import versions as core
from app.core.errors import ConflictError, NotFoundError
from app.core.fingerprints import Fingerprint as Look
from app.core.version_rows import locked
from app.services.identity import Identity
from app.services.rows import note
from models import DatasetVersion, DuplicatePair, Fingerprint, Image

IDS_AT_ONCE = 500


class Group(NamedTuple):
    """Images of a version that are the same picture, or look it. classes, splits: that it spans."""

    cluster: int
    images: list[Image]
    pairs: list[DuplicatePair]

    @property
    def is_identical(self) -> bool:
        return len({image.pixel_sha256 for image in self.images}) == 1

    @property
    def splits(self) -> set[str]:
        return {str(image.split) for image in self.images}

    @property
    def labels(self) -> set[int]:
        return {image.label for image in self.images}


class Tally(NamedTuple):
    """exact, near: images beyond the first of each group (near includes exact); groups of near; those that span."""

    exact: int
    near: int
    groups: int
    across_splits: int
    across_classes: int


def tally(session: Session, version: DatasetVersion) -> Tally:
    mine = Image.version_id == version.id
    num_distinct = session.scalar(select(func.count(distinct(Image.pixel_sha256))).where(mine)) or 0
    spans = session.execute(
        select(func.count(), func.count(distinct(Image.split)), func.count(distinct(Image.label)))
        .where(mine, Image.cluster.is_not(None))
        .group_by(Image.cluster)
    ).all()
    return Tally(
        exact=version.num_images - num_distinct,
        near=sum(number - 1 for number, _, _ in spans),
        groups=len(spans),
        across_splits=sum(splits > 1 for _, splits, _ in spans),
        across_classes=sum(labels > 1 for _, _, labels in spans),
    )


def groups(
    session: Session, version: DatasetVersion, *, span: str | None = None, after: int = 0, limit: int = 20
) -> list[Group]:
    """Groups by number, those after `after`; span: "splits" or "classes" for those that span several."""
    query = (
        select(Image.cluster)
        .where(Image.version_id == version.id, Image.cluster > after)
        .group_by(Image.cluster)
        .order_by(Image.cluster)
        .limit(limit)
    )
    if span is not None:
        column = {"splits": Image.split, "classes": Image.label}[span]
        query = query.having(func.count(distinct(column)) > 1)
    numbers = [number for number in session.scalars(query) if number is not None]
    return [group(session, version, number) for number in numbers]


def group(session: Session, version: DatasetVersion, cluster: int) -> Group:
    """One group of a version; NotFoundError if there is none of this number."""
    query = select(Image).where(Image.version_id == version.id, Image.cluster == cluster).order_by(Image.id)
    images = list(session.scalars(query))
    if not images:
        raise NotFoundError(f"Version {version.number} has no group {cluster}.", hint="It may have been mended.")
    keys = {image.stored_sha256 for image in images}
    pairs = select(DuplicatePair).where(
        DuplicatePair.dataset_id == version.dataset_id,
        DuplicatePair.first_sha256.in_(keys), DuplicatePair.second_sha256.in_(keys),
    )  # fmt: skip
    return Group(cluster, images, list(session.scalars(pairs)))


def tell_apart(session: Session, who: Identity, version: DatasetVersion, cluster: int) -> int:
    """Remember that the look-alikes of a group are different pictures; clusters and leaks of all versions follow.

    Returns the number of pairs told apart. ConflictError where all have identical pixels.
    """
    locked(session, version.dataset_id)
    found = group(session, version, cluster)
    near = [pair.id for pair in found.pairs]
    if not near:
        raise ConflictError("These images have identical pixels.", hint="Exclude all but one of them instead.")
    session.execute(update(DuplicatePair).where(DuplicatePair.id.in_(near)).values(is_distinct=True))
    note(session, who, f"tell apart (group {cluster})", version.dataset)
    for each in version.dataset.versions:
        clusters.cluster_anew(session, each)
    return len(near)


class Overlap(NamedTuple):
    """Images of `other` that are also in `data`. near includes identical; mirrored: those found only as mirror images.

    pairs: (image of data, image of other, what: identical, near or mirrored, agreement), the best of each image of other.
    """

    num_data: int
    num_other: int
    identical: int
    near: int
    mirrored: int
    pairs: list[tuple[Image, Image, str, float]]


def overlap(session: Session, data: DatasetVersion, other: DatasetVersion, *, most_pairs: int = 1000) -> Overlap:
    """Compare two versions picture by picture. ConflictError while one of them has no fingerprints yet."""
    data_images, other_images = _images(session, data), _images(session, other)
    data_looks, other_looks = looks(session, data), looks(session, other)
    found = core.known_images(
        [(image.pixel_sha256, image.stored_sha256) for image in data_images],
        [(image.pixel_sha256, image.stored_sha256) for image in other_images],
        data_looks, other_looks,
    )  # fmt: skip
    kinds = [match.kind for match in found]
    pairs = [(data_images[match.known], other_images[match.image], match.kind, match.agreement) for match in found]
    return Overlap(
        num_data=len(data_images),
        num_other=len(other_images),
        identical=kinds.count("identical"),
        near=kinds.count("identical") + kinds.count("near"),
        mirrored=kinds.count("mirrored"),
        pairs=pairs[:most_pairs],
    )


def _images(session: Session, version: DatasetVersion) -> list[Image]:
    return list(session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)))


def looks(session: Session, version: DatasetVersion) -> dict[str, Look]:
    """The fingerprints of a version's pictures, by storage key."""
    query = (
        select(Fingerprint.stored_sha256, Fingerprint.perceptual_hash, Fingerprint.mirrored_hash, Fingerprint.tile)
        .join(Image, Image.stored_sha256 == Fingerprint.stored_sha256)
        .where(Image.version_id == version.id)
        .distinct()
    )
    found = {key: Look(plain, mirrored, tile) for key, plain, mirrored, tile in session.execute(query)}
    if not found:
        raise ConflictError(
            f"Version {version.number} of dataset {version.dataset.name!r} has not been looked through yet.",
            hint="Wait for its check to end, or check it now from its health page.",
        )
    return found
