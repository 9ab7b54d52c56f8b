"""The images of an audit: synthetic ones, the real ones that the network learnt, and unseen ones held out from it.

Held out are validation images. Test images take no part: they may decide nothing, and what an audit drops is a decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Checkpoint, DatasetVersion, Image, Split, SyntheticSet
from models.specs import AuditSpec
from workers.context import JobContext
from workers.jobs.arrays import LabelledImages, Source, load_images, real_sources, synthetic_sources
from workers.jobs.evaluate import group_numbers
from workers.jobs.known import trainings_of
from workers.jobs.subsets import share_by_groups
from workers.ml.images import Uint8Images
from workers.ml.privacy.audit import RealImages
from workers.ml.privacy.calibration import MIN_HELD_OUT

IDS_AT_ONCE = 500
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Chosen:
    """What is compared with what, before a pixel is read. was_learnt: the set's network has learnt `train`."""

    synthetic_set: SyntheticSet
    checkpoint: Checkpoint
    leaks: dict[str, int] | None
    synthetic: list[Source]
    train: list[Source]
    held_out: list[Source]
    clusters: dict[int, int]  # {image: number of its known look-alikes}
    was_learnt: bool
    notes: list[str]


@dataclass(frozen=True)
class Loaded:
    """Pixels at the set's resolution. clusters, groups: (N,) numbers of look-alikes, and of all that are not independent."""

    images: LabelledImages
    clusters: NDArray[np.int64]
    groups: NDArray[np.int64] | None

    @property
    def uint8(self) -> Uint8Images:
        return self.images.images_uint8

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.images.labels

    def __len__(self) -> int:
        return len(self.images.labels)

    def real(self) -> RealImages:
        return RealImages(self.uint8, self.clusters, self.groups)


def choose(session: Session, spec: AuditSpec) -> Chosen:
    """The rows that the audit is of; the spec is complete."""
    assert spec.version_id is not None, "prepare() fills it in"
    made = session.get_one(SyntheticSet, spec.synthetic_set_id)
    checkpoint = session.get_one(Checkpoint, made.checkpoint_id)
    version = session.get_one(DatasetVersion, spec.version_id)
    was_learnt = checkpoint.version_id == version.id
    train, notes = (
        learnt_by(session, checkpoint)
        if was_learnt
        else (real_sources(session, version_id=version.id, split=Split.TRAIN), [])
    )
    if not was_learnt:
        notes = ["The network that drew the images learnt other ones than those they are compared with."]
    locked = {source.key for source in real_sources(session, version_id=version.id, split=Split.TEST)}
    if any(source.key in locked for source in train):
        notes.append(
            f"{sum(source.key in locked for source in train):,} images that were learnt earlier are test images now: they stay locked, and copies of them "
            "are not searched for."
        )
        train = [source for source in train if source.key not in locked]
    known = {source.key for source in train}
    validation = real_sources(session, version_id=version.id, split=Split.VAL)
    held_out = [source for source in validation if source.key not in known]
    if len(held_out) < len(validation):
        notes.append(f"{len(validation) - len(held_out):,} validation images were learnt earlier, and left out.")
    if len(held_out) < MIN_HELD_OUT:
        notes.append(
            f"The validation split has {len(held_out):,} images that nobody trained on; at least {MIN_HELD_OUT} are needed to say what "
            "is nearer than chance. Test images stay locked and take no part: split the dataset with a larger validation part."
        )
    return Chosen(
        made, checkpoint, version.leaks, synthetic_sources(session, set_id=made.id), train, held_out,
        look_alikes(session, [*train, *held_out]), was_learnt, notes,
    )  # fmt: skip


def learnt_by(session: Session, last: Checkpoint) -> tuple[list[Source], list[str]]:
    """What the checkpoint's training has learnt, and before it those that it went on from; each picture once."""
    found: dict[str, Source] = {}
    notes: list[str] = []
    trainings = trainings_of(session, last)
    for checkpoint in trainings.checkpoints:
        if checkpoint.version_id is None:
            notes.append(f"Training went on from checkpoint {checkpoint.id}, whose images are not here.")
            break
        sources = real_sources(session, version_id=checkpoint.version_id, split=Split.TRAIN)
        for source in share_by_groups(sources, float(checkpoint.spec.get("train_share", 1))):
            found.setdefault(source.key, source)
    if trainings.deleted is not None:
        notes.append(
            f"Training went on from checkpoint {trainings.deleted}, which was deleted: what it learnt is not searched."
        )
    return list(found.values()), notes


def look_alikes(session: Session, sources: Sequence[Source]) -> dict[int, int]:
    """A number for each image: equal for known look-alikes of one version, its own where there are none."""
    ids = [source.id for source in sources]
    names: dict[Any, int] = {}
    numbers: dict[int, int] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        query = select(Image.id, Image.version_id, Image.cluster).where(Image.id.in_(ids[start : start + IDS_AT_ONCE]))
        for row in session.execute(query.order_by(Image.id)):
            name = ("image", row.id) if row.cluster is None else (row.version_id, row.cluster)
            numbers[row.id] = names.setdefault(name, len(names))
    return numbers


def load(context: JobContext, chosen: Chosen, sources: list[Source], *, what: str) -> Loaded:
    """Pixels, as the network saw them: the set's side and channels, made square as for training."""
    made = chosen.synthetic_set
    if not sources:
        nothing = np.empty((0, made.image_size, made.image_size, made.channels), dtype=np.uint8)
        return Loaded(LabelledImages(nothing, _NONE, []), _NONE, None)
    images = load_images(
        context, sources, image_size=made.image_size, channels=made.channels, fit=chosen.checkpoint.spec.get("fit", "pad"),
        what=what,
    )  # fmt: skip
    clusters = np.array([chosen.clusters.get(source.id, -1) for source in sources], dtype=np.int64)
    return Loaded(images, clusters, group_numbers(sources))
