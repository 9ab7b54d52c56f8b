"""Shapes of versions and of what can be trusted about them: changes, copies, leaks, overlaps, openings."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field

from app.api.schemas.base import In, Out, named
from app.api.schemas.datasets import ImageOut
from app.services.datasets.copies import Group, Overlap
from app.services.datasets.leaks import Leak
from app.services.datasets.openings import Lock
from app.services.datasets.revising import Difference
from models import DatasetVersion, DuplicatePair, Opening, OpeningKind


class PairOut(Out):
    """Two stored pictures that look the same."""

    first_sha256: str
    second_sha256: str
    mirrored: bool
    distance: int = Field(description="Of the perceptual hashes, of 64 bits.")
    agreement: float = Field(description="0 to 1.")

    @classmethod
    def of(cls, pair: DuplicatePair) -> "PairOut":
        return cls(
            first_sha256=pair.first_sha256, second_sha256=pair.second_sha256, mirrored=pair.mirrored,
            distance=pair.distance, agreement=pair.agreement,
        )  # fmt: skip


class GroupOut(Out):
    """Images that are the same picture, or look it."""

    number: int
    identical: bool = Field(description="All have the same pixels.")
    images: list[ImageOut]
    pairs: list[PairOut]

    @classmethod
    def of(cls, group: Group, classes: list[str]) -> "GroupOut":
        return cls(
            number=group.cluster, identical=group.is_identical, pairs=[PairOut.of(pair) for pair in group.pairs],
            images=[ImageOut.of(image, classes) for image in group.images],
        )  # fmt: skip


class DuplicatesPageOut(Out):
    """Groups of copies and look-alikes of a version."""

    exact: int = Field(description="Images whose pixels are equal to another's, beyond the first of each.")
    near: int = Field(description="Images beyond the first of each group, exact ones included.")
    num_groups: int
    across_splits: int
    across_classes: int
    items: list[GroupOut]
    next_after: int | None = Field(description="Give it as `after` to get the next groups; null at the end.")


class LeakOut(Out):
    """A patient or picture whose images stand in several splits."""

    kind: Literal["patients", "identical", "near"]
    key: str
    images: list[ImageOut]

    @classmethod
    def of(cls, leak: Leak, classes: list[str]) -> "LeakOut":
        kind: Literal["patients", "identical", "near"] = leak.kind  # type: ignore[assignment]  # from COLUMN_OF
        return cls(kind=kind, key=leak.key, images=[ImageOut.of(image, classes) for image in leak.images])


class LeaksOut(Out):
    """What stands on both sides of a split."""

    counts: dict[str, int] | None = Field(description="By kind; null while nobody has looked.")
    items: list[LeakOut] = Field(description="The first 100 of each kind.")


class OverlapIn(In):
    """Another dataset to compare with."""

    model_config = named(other_dataset_id=2)

    other_dataset_id: int
    version: Annotated[
        int | None, Field(ge=1, description="Version of this dataset; the current one if not given.")
    ] = None
    other_version: Annotated[int | None, Field(ge=1, description="Version of the other dataset.")] = None


class OverlapPairOut(Out):
    image: ImageOut = Field(description="Of this dataset.")
    other: ImageOut
    kind: Literal["identical", "near", "mirrored"]
    agreement: float


class OverlapOut(Out):
    """Images of the other dataset that are also in this one."""

    num_images: int = Field(description="Of this dataset.")
    num_other: int
    identical: int
    near: int = Field(description="Identical ones included.")
    mirrored: int = Field(description="Found as mirror images only.")
    pairs: list[OverlapPairOut] = Field(description="The first 1,000, best match each.")

    @classmethod
    def of(cls, found: Overlap, classes: list[str], other_classes: list[str]) -> "OverlapOut":
        pairs = [
            OverlapPairOut(
                image=ImageOut.of(image, classes), other=ImageOut.of(other, other_classes),
                kind=kind, agreement=agreement,
            )
            for image, other, kind, agreement in found.pairs
        ]  # fmt: skip
        return cls(
            num_images=found.num_data, num_other=found.num_other, identical=found.identical, near=found.near,
            mirrored=found.mirrored, pairs=pairs,
        )  # fmt: skip


class OpeningIn(In):
    """A look at the test images that is to be counted."""

    model_config = named(kind="listing")

    kind: Annotated[
        Literal["listing", "unlock"],
        Field(description="listing: once, by a script. unlock: from now on, for everybody; needs a reason."),
    ]
    reason: Annotated[str, Field(max_length=1000)] = ""
    version: Annotated[int | None, Field(ge=1, description="Number of the version; the current one if not given.")] = (
        None
    )
    num_images: Annotated[int | None, Field(ge=1, description="How many are looked at; all if not given.")] = None


class OpeningOut(Out):
    id: int
    version_id: int
    kind: OpeningKind
    job_id: int | None
    num_images: int
    reason: str
    created_at: dt.datetime

    @classmethod
    def of(cls, opening: Opening) -> "OpeningOut":
        return cls(
            id=opening.id, version_id=opening.version_id, kind=OpeningKind(opening.kind), job_id=opening.job_id,
            num_images=opening.num_images, reason=opening.reason, created_at=opening.created_at,
        )  # fmt: skip


class OpeningsOut(Out):
    """The lock of a dataset's test images, and each look at them."""

    is_locked: bool = Field(description="Networks have learnt from the dataset, and nobody has unlocked this version.")
    num_openings: int = Field(description="Over all versions of the dataset.")
    items: list[OpeningOut] = Field(description="The newest 200.")

    @classmethod
    def of(cls, lock: Lock, openings: list[Opening]) -> "OpeningsOut":
        return cls(
            is_locked=lock.is_locked, num_openings=lock.num_openings, items=[OpeningOut.of(each) for each in openings]
        )


class ChangedOut(Out):
    path: str
    what: Literal["added", "removed", "relabelled", "moved", "other pixels", "other group"]
    before: str
    after: str


class DifferenceOut(Out):
    """What differs between two versions of a dataset, image by image."""

    before: int
    after: int
    counts: dict[str, int]
    items: list[ChangedOut] = Field(description="The first 1,000.")

    @classmethod
    def of(cls, before: DatasetVersion, after: DatasetVersion, found: Difference) -> "DifferenceOut":
        items = [
            ChangedOut(path=each.path, what=each.what, before=each.before, after=each.after)
            for each in found.items[:1000]
        ]
        return cls(before=before.number, after=after.number, counts=found.counts, items=items)
