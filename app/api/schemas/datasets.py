"""Uploads, datasets, their versions and images."""

import datetime as dt
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from app.api.schemas.base import API, In, Out, file_url, named
from models import (
    Dataset,
    DatasetState,
    DatasetVersion,
    Image,
    RefusedFile,
    Split,
    Upload,
    UploadedImage,
    UploadKind,
    UploadState,
)
from models.specs import ImportSpec, Seed

Name = Annotated[str, Field(min_length=1, max_length=200)]


class UploadIn(In):
    """Announce an upload: then send its files."""

    model_config = named(kind="archive", name="brain_mri.zip")

    kind: UploadKind = Field(description="archive: one zip, tar or tar.gz; folder: files with their paths.")
    name: Annotated[str, Field(min_length=1, max_length=300, description="The archive's or folder's own name.")]


class UploadOut(Out):
    """Files on their way in."""

    id: int
    kind: UploadKind
    name: str
    state: UploadState
    num_files: int
    num_bytes: int
    created_at: dt.datetime

    @classmethod
    def of(cls, upload: Upload) -> "UploadOut":
        return cls(
            id=upload.id, kind=UploadKind(upload.kind), name=upload.name, state=UploadState(upload.state),
            num_files=upload.num_files, num_bytes=upload.num_bytes, created_at=upload.created_at,
        )  # fmt: skip


class IgnoredOut(Out):
    path: str
    reason: str


class PlanOut(Out):
    """What an import would make of an upload."""

    summary: str = Field(description="The layout that was found, in words.")
    top: str = Field(description="The folder around everything; may be empty.")
    brings_splits: bool = Field(description="The upload has train, val or test folders.")
    classes: list[str]
    counts: dict[str, dict[str, int]] = Field(description="Images by class and split; `all` where no split is brought.")
    num_images: int
    empty: list[str] = Field(description="Folders that would be classes if they held images.")
    warnings: list[str]
    ignored: list[IgnoredOut] = Field(description="Files that are left out, and why; the first 1,000.")
    num_ignored: int
    total_bytes: int


class ImportIn(In):
    """What to make of an upload whose plan was looked at."""

    model_config = named(name="brain-mri", seed=0)

    name: Name
    seed: Seed = 0
    train_percent: Annotated[int, Field(ge=1, le=98, description="Share for training, %.")] = 70
    val_percent: Annotated[int, Field(ge=1, le=98, description="Share for choosing the best epoch, %.")] = 10
    keep_layout_splits: Annotated[bool, Field(description="Keep train / val / test folders as splits.")] = True

    @model_validator(mode="after")
    def makes_a_spec(self) -> "ImportIn":
        try:
            ImportSpec(upload_id=0, **self.model_dump())
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        return self

    def spec(self, upload: Upload) -> ImportSpec:
        return ImportSpec(upload_id=upload.id, **self.model_dump())


class VersionOut(Out):
    """A frozen list of images."""

    id: int
    dataset_id: int
    number: int
    classes: list[str]
    channels: int = Field(description="1: every image is grey; 3: at least one has colour.")
    num_images: int
    counts: dict[str, dict[str, int]] = Field(description="Images by class and split.")
    layout: dict[str, Any] = Field(description="What the importer found, and how it split.")
    manifest_sha256: str = Field(description="Covers path, label, group, split and pixels of every image.")
    created_at: dt.datetime

    @classmethod
    def of(cls, version: DatasetVersion) -> "VersionOut":
        return cls(
            id=version.id, dataset_id=version.dataset_id, number=version.number, classes=version.classes,
            channels=version.channels, num_images=version.num_images, counts=version.counts, layout=version.layout,
            manifest_sha256=version.manifest_sha256, created_at=version.created_at,
        )  # fmt: skip


class VersionsOut(Out):
    items: list[VersionOut]


class DatasetOut(Out):
    """Labelled images under one name."""

    id: int
    name: str
    description: str
    state: DatasetState
    job_id: int | None = Field(description="The import.")
    version: VersionOut | None = Field(description="The newest; null until the import is done.")
    created_at: dt.datetime
    url: str

    @classmethod
    def of(cls, dataset: Dataset, version: DatasetVersion | None) -> "DatasetOut":
        return cls(
            id=dataset.id, name=dataset.name, description=dataset.description, state=DatasetState(dataset.state),
            job_id=dataset.job_id, version=VersionOut.of(version) if version else None,
            created_at=dataset.created_at, url=f"/datasets/{dataset.id}",
        )  # fmt: skip


class SideOut(Out):
    """The least and the greatest, pixels."""

    min: int
    max: int


class SizesOut(Out):
    width: SideOut
    height: SideOut


class DuplicatesOut(Out):
    """Images whose pixels are equal to an earlier one's."""

    images: int
    groups: int
    across_splits: int = Field(description="Groups that span splits.")
    across_classes: int = Field(description="Groups that span classes.")


class HealthOut(Out):
    """What was measured of a version's images."""

    num_images: int
    counts: dict[str, dict[str, int]]
    class_balance: dict[str, float] = Field(description="Each class's share of the images.")
    sizes: SizesOut
    modes: dict[str, int] = Field(description="Images by Pillow's mode of the file.")
    bit_depths: dict[str, int]
    duplicates: DuplicatesOut
    refused: dict[str, int] = Field(description="Files left out, by kind.")


class DatasetChange(In):
    """What to change; leave out what stays."""

    model_config = named(name="brain-mri-2026")

    name: Name | None = None
    description: Annotated[str | None, Field(max_length=5000)] = None


class ImageOut(Out):
    """One real image."""

    id: int
    path: str = Field(description="As it was in the upload.")
    label: str
    split: Split
    group: str | None = Field(description="Patient, where known.")
    width: int
    height: int
    mode: str
    bit_depth: int
    pixel_sha256: str
    url: str
    thumbnail_url: str

    @classmethod
    def of(cls, image: Image, classes: list[str]) -> "ImageOut":
        return cls(
            id=image.id, path=image.path, label=classes[image.label], split=Split(image.split), group=image.group,
            width=image.width, height=image.height, mode=image.mode, bit_depth=image.bit_depth,
            pixel_sha256=image.pixel_sha256, url=f"{API}/images/{image.id}/content",
            thumbnail_url=file_url(image.thumbnail_sha256),
        )  # fmt: skip


class RefusedOut(Out):
    """A file that is not in the version, and why."""

    id: int
    path: str
    kind: str = Field(description="ignored: not an image of a class; broken: could not be read.")
    reason: str

    @classmethod
    def of(cls, refused: RefusedFile) -> "RefusedOut":
        return cls(id=refused.id, path=refused.path, kind=refused.kind, reason=refused.reason)


class UploadedImageOut(Out):
    """A single image that belongs to no dataset, to be explained."""

    id: int
    name: str
    width: int
    height: int
    url: str
    thumbnail_url: str
    created_at: dt.datetime

    @classmethod
    def of(cls, image: UploadedImage) -> "UploadedImageOut":
        return cls(
            id=image.id, name=image.name, width=image.width, height=image.height, url=file_url(image.stored_sha256),
            thumbnail_url=file_url(image.thumbnail_sha256), created_at=image.created_at,
        )  # fmt: skip
