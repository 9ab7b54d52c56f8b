"""Adds an upload to a dataset: what is new in it joins the version that is current, in a version of its own.

Most is worked out before the transaction that ends the job. If another version is current by then, the images are joined to that
one instead, within the transaction: nobody's change is lost.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import clusters, version_rows, versions
from app.core.errors import ConflictError
from app.core.fingerprints import Fingerprint as Look
from app.core.versions import LookAlike
from models import Dataset, DatasetState, DatasetVersion, Image
from models.specs import ImportSpec
from workers.context import JobContext
from workers.jobs.import_assembling import Decoded, about
from workers.jobs.import_joining import Joined, join
from workers.jobs.import_sifting import Base
from workers.jobs.looks import known_looks, look_at, record_looks

KEYS_AT_ONCE = 500


@dataclass(frozen=True)
class Compared:
    """Stored pictures that were compared with those of the upload. looks, facts: of those that nobody had looked at before."""

    keys: set[str]
    looks: dict[str, Look]
    facts: dict[str, dict[str, Any]]
    look_alikes: list[LookAlike]

    @property
    def pairs(self) -> set[tuple[str, str]]:
        return {(pair.first, pair.second) for pair in self.look_alikes}


@dataclass(frozen=True)
class Addition:
    """An upload, joined to the version that was current when that was worked out."""

    context: JobContext
    spec: ImportSpec
    dataset_id: int
    decoded: Decoded
    base: Base
    compared: Compared
    joined: Joined

    @classmethod
    def work_out(cls, context: JobContext, spec: ImportSpec, dataset_id: int, decoded: Decoded) -> "Addition":
        """Raises ConflictError if the dataset is gone, or has all of the images."""
        with context.database.read() as session:
            base = _read(session, _ready(session.get(Dataset, dataset_id), dataset_id), decoded)
            known = known_looks(session, _keys(base))
        compared = _compare(context, base, known, decoded)
        joined = join(base, decoded, compared.pairs, spec)
        context.log(f"{joined.change} to version {base.number}. " + " ".join(joined.warnings))
        return cls(context, spec, dataset_id, decoded, base, compared, joined)

    def record(self, session: Session, job_id: int) -> DatasetVersion:
        """Write the version down, which becomes the current one."""
        dataset = _ready(version_rows.locked(session, self.dataset_id), self.dataset_id)
        base, compared, joined = self._as_of_now(session, dataset)
        parent = session.get_one(DatasetVersion, base.version_id)
        told = about(self.decoded, self.spec, joined.warnings, joined.left) | {"num_added": joined.num_added}
        version = version_rows.write_version(
            session, dataset, parent=parent, entries=joined.entries, left=joined.left, classes=joined.classes,
            channels=joined.channels, change=joined.change, job_id=job_id,
            layout=parent.layout | {"warnings": joined.warnings, "additions": [*parent.layout.get("additions", []), told]},
        )  # fmt: skip
        record_looks(session, dataset.id, self.decoded.looks, self.decoded.facts, [])
        record_looks(session, dataset.id, compared.looks, compared.facts, compared.look_alikes)
        return version

    def _as_of_now(self, session: Session, dataset: Dataset) -> tuple[Base, Compared, Joined]:
        """What was worked out, if the dataset is as it was then; else worked out anew, for the images of now."""
        base = _read(session, dataset, self.decoded)
        if base == self.base:
            return self.base, self.compared, self.joined
        further = _keys(base) - self.compared.keys
        compared = self.compared
        if further:
            more = _compare_with(self.context, known_looks(session, further), further, self.decoded)
            compared = Compared(
                compared.keys | further, compared.looks | more.looks, compared.facts | more.facts,
                compared.look_alikes + more.look_alikes,
            )  # fmt: skip
        return base, compared, join(base, self.decoded, compared.pairs, self.spec)


def _ready(dataset: Dataset | None, dataset_id: int) -> Dataset:
    if dataset is None or dataset.state != DatasetState.READY:
        raise ConflictError(
            f"Dataset {dataset_id} is gone, so nothing can be added to it.",
            hint="Import the images as a dataset of their own; the upload is still there.",
        )
    return dataset


def _read(session: Session, dataset: Dataset, decoded: Decoded) -> Base:
    query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    by_number = {version.number: version for version in session.scalars(query)}
    current = by_number[dataset.current_number]
    ancestors, number = {}, current.parent_number
    while number is not None:
        ancestors[by_number[number].id] = by_number[number].classes
        number = by_number[number].parent_number
    return Base(
        version_id=current.id,
        number=current.number,
        classes=current.classes,
        channels=current.channels,
        entries=list(clusters.entries_by_id(session, current.id).values()),
        pairs=set(clusters.look_alike_keys(session, dataset.id)),
        told_apart=clusters.told_apart(session, dataset.id),
        past=_past(session, ancestors, {image.file.pixel_sha256 for image in decoded.images}),
        is_looked_through=current.leaks is not None,
    )


def _past(session: Session, classes: dict[int, list[str]], pixels: Collection[str]) -> set[tuple[str, str, str]]:
    """(path, pixels, class) of images with these pixels in versions: {version id: its classes}."""
    ordered, found = sorted(pixels), set()
    for start in range(0, len(ordered) if classes else 0, KEYS_AT_ONCE):
        query = select(Image.path, Image.pixel_sha256, Image.version_id, Image.label)
        part = query.where(Image.pixel_sha256.in_(ordered[start : start + KEYS_AT_ONCE]))
        found |= {
            (path, key, classes[version_id][label])
            for path, key, version_id, label in session.execute(part.where(Image.version_id.in_(list(classes))))
        }
    return found


def _keys(base: Base) -> set[str]:
    return {entry.stored_sha256 for entry in base.entries}


def _compare(context: JobContext, base: Base, known: dict[str, Look], decoded: Decoded) -> Compared:
    """The upload's pictures with each other and with the dataset's; all with all where the dataset was not looked through."""
    keys = _keys(base)
    new = {key: look for key, look in decoded.looks.items() if key not in keys}
    num_files = len(decoded.layout.images)
    context.report(num_files, num_files, message="Comparing with the images that are there.")
    across = _compare_with(context, known, keys, decoded)
    within = versions.look_alikes(new)
    if not base.is_looked_through or across.looks:
        within += versions.look_alikes(known | across.looks)
    return Compared(keys, across.looks, across.facts, across.look_alikes + within)


def _compare_with(context: JobContext, known: dict[str, Look], keys: set[str], decoded: Decoded) -> Compared:
    """The upload's pictures with those of `keys`, of which `known` were looked at before."""
    seen = [each for some in look_at(context.storage, keys - known.keys()) for each in some]
    looks, facts = {each.key: each.look for each in seen}, {each.key: each.facts for each in seen}
    return Compared(keys, looks, facts, versions.new_look_alikes(known | looks, decoded.looks))
