"""Uploads, datasets, their versions and images."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from app.api.schemas.base import API, In, Out, file_url, named
from app.services.datasets import new_classes
from app.services.uploads import Preview
from models import (
    Dataset,
    DatasetState,
    DatasetVersion,
    Image,
    RefusedFile,
    RefusedKind,
    Split,
    Upload,
    UploadedImage,
    UploadKind,
    UploadState,
)
from models.specs import ConversionOptions, ImportSpec, LayoutOptions, Seed

Name = Annotated[str, Field(min_length=1, max_length=200)]


class UploadIn(In):
    """Announce an upload: then send its files."""

    model_config = named(kind="archive", name="brain_mri.zip")

    kind: UploadKind = Field(
        description="archive: one zip, tar, tar.gz or npz; folder: files with their paths; server: what lies on the server."
    )
    name: Annotated[
        str | None,
        Field(min_length=1, max_length=300, description="The archive's or folder's own name; not for server."),
    ] = None
    path: Annotated[
        str | None,
        Field(min_length=1, max_length=4096, description="For server only: the folder or archive, absolute."),
    ] = None

    @model_validator(mode="after")
    def names_what_comes(self) -> "UploadIn":
        needed, other = ("path", "name") if self.kind == UploadKind.SERVER else ("name", "path")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"An upload of the kind {self.kind} has a {needed}, and no {other}.")
        return self


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


class AnnouncedIn(In):
    """A file of the folder."""

    path: Annotated[str, Field(min_length=1, max_length=4096, description="In the folder, with the folder's own name.")]
    size: Annotated[int, Field(ge=0, description="Bytes.")]
    sha256: Annotated[
        str | None,
        Field(pattern="^[0-9a-f]{64}$", description="Of its content; without it the file must be sent in any case."),
    ] = None


class ListPartIn(In):
    """A part of the list of all files of a folder."""

    model_config = named(total=1, files=[{"path": "brain_mri/glioma/0001.png", "size": 8120, "sha256": "0" * 64}])

    total: Annotated[int, Field(ge=1, description="How many files the folder has, in all parts of the list.")]
    files: Annotated[list[AnnouncedIn], Field(min_length=1, max_length=1000, description="Up to 1,000 of them.")]


class ListPartOut(Out):
    """What of a part of the list is to be sent."""

    missing: list[int] = Field(description="Places in `files`, from 0; the others are there already.")
    num_files: int = Field(description="Files of the list that are there so far.")


class IgnoredOut(Out):
    path: str
    reason: str


class TableOut(Out):
    """The table whose rows name the images."""

    paths: list[str] = Field(description="The tables: several if each lists other images under the same columns.")
    num_rows: int
    file_column: str
    label_column: str | None
    label_columns: list[str] = Field(description="Instead of label_column: columns of which one is 1 in each row.")
    split_column: str | None
    columns: list[str]
    num_listed: int = Field(description="Images that have a row.")
    num_missing: int = Field(description="Files that have a row and are not among the images.")


class ColumnOut(Out):
    """A column of the table."""

    name: str
    num_values: int = Field(description="Different values.")
    examples: list[str] = Field(description="The first three; none once the upload is imported.")
    may_be_groups: bool = Field(description="It could name patients: by its name, and since values come again.")
    role: str = Field(description="file, label, split, or empty.")


class GroupsOut(Out):
    """Which images belong together."""

    by: str | None = Field(description="The column.")
    pattern: str | None
    num_groups: int
    without_group: int = Field(description="Images.")
    largest: int = Field(description="Images in the largest group.")


class PlanOut(Out):
    """What an import would make of an upload."""

    kind: Literal["folders", "table", "npz"] = Field(description="What gives the classes.")
    summary: str = Field(description="The layout that was found, in words.")
    top: str = Field(description="The folder around everything; may be empty.")
    brings_splits: bool = Field(description="The upload has train, val or test folders, or a column of splits.")
    classes: list[str]
    counts: dict[str, dict[str, int]] = Field(description="Images by class and split; `all` where no split is brought.")
    num_images: int
    empty: list[str] = Field(description="Folders that would be classes if they held images.")
    warnings: list[str]
    needs: Literal["label_by"] | None = Field(description="The option without which there is nothing to import.")
    table: TableOut | None
    columns: list[ColumnOut]
    groups: GroupsOut | None = Field(description="Null unless a column or a pattern is asked for.")
    ignored: list[IgnoredOut] = Field(description="Files that are left out, and why; the first 1,000.")
    num_ignored: int
    total_bytes: int


class PlanIn(LayoutOptions):
    """How to read the upload; the import takes the same options."""

    model_config = named(group_pattern="person_([0-9]+)")


class GroupedOut(Out):
    path: str
    group: str


class PreviewOut(PlanOut):
    """A plan as asked for. Nothing of it is kept."""

    grouped: list[GroupedOut] = Field(description="Ten images and their groups.")
    ungrouped: list[str] = Field(description="Ten images without a group.")
    new_classes: list[str] | None = Field(
        description="Those that the dataset of `dataset_id` has not; null if none is given."
    )

    @classmethod
    def of(cls, preview: Preview, target: DatasetVersion | None) -> "PreviewOut":
        """target: the version that the images would join."""
        grouped = [GroupedOut(path=path, group=group) for path, group in preview.grouped]
        new = None if target is None else new_classes(target, preview.plan["classes"])
        return cls(**preview.plan, grouped=grouped, ungrouped=preview.ungrouped, new_classes=new)


class ImportIn(LayoutOptions, ConversionOptions):
    """What to make of an upload whose plan was looked at."""

    model_config = named(name="brain-mri", seed=0)

    name: Annotated[Name | None, Field(description="Name of the new dataset.")] = None
    seed: Seed = 0
    train_percent: Annotated[int, Field(ge=1, le=98, description="Share for training, %.")] = 70
    val_percent: Annotated[int, Field(ge=1, le=98, description="Share for choosing the best epoch, %.")] = 10
    keep_layout_splits: Annotated[
        bool, Field(description="Keep train / val / test folders, or those of a column, as splits.")
    ] = True
    split_by: Annotated[
        Literal["units", "blocks"],
        Field(
            description="units: at random, patients and look-alikes together. blocks: runs of each class's file names."
        ),
    ] = "units"

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
    layout: dict[str, Any] = Field(
        description="What the importer found, and how all images were last split: split_by, seed, percent; split_anew: since the import."
    )
    manifest_sha256: str = Field(description="Covers path, label, group, split and pixels of every image.")
    parent_number: int | None = Field(description="The version that this one changes.")
    change: str = Field(description="What differs from it, in words.")
    leaks: dict[str, int] | None = Field(
        description="Patients, identical pictures and look-alikes that stand in several splits; null: not looked for."
    )
    is_current: bool = Field(description="New jobs use it.")
    created_at: dt.datetime

    @classmethod
    def of(cls, version: DatasetVersion) -> "VersionOut":
        return cls(
            id=version.id, dataset_id=version.dataset_id, number=version.number, classes=version.classes,
            channels=version.channels, num_images=version.num_images, counts=version.counts, layout=version.layout,
            manifest_sha256=version.manifest_sha256, parent_number=version.parent_number, change=version.change,
            leaks=version.leaks, is_current=version.number == version.dataset.current_number, created_at=version.created_at,
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
    version: VersionOut | None = Field(description="The current one; null until the import is done.")
    created_at: dt.datetime
    url: str

    @classmethod
    def of(cls, dataset: Dataset, version: DatasetVersion | None) -> "DatasetOut":
        return cls(
            id=dataset.id, name=dataset.name, description=dataset.description, state=DatasetState(dataset.state),
            job_id=dataset.job_id, version=VersionOut.of(version) if version else None,
            created_at=dataset.created_at, url=f"/datasets/{dataset.id}",
        )  # fmt: skip


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
    group: str | None = Field(description="Pseudonym of the patient, where known.")
    cluster: int | None = Field(description="Group of copies and look-alikes in its version.")
    conversion: str = Field(description="How the file's values became 8 bit.")
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
            id=image.id, path=image.path, label=classes[image.label], split=Split(image.split), group=image.group, cluster=image.cluster, conversion=image.conversion,
            width=image.width, height=image.height, mode=image.mode, bit_depth=image.bit_depth,
            pixel_sha256=image.pixel_sha256, url=f"{API}/images/{image.id}/content",
            thumbnail_url=file_url(image.thumbnail_sha256),
        )  # fmt: skip


class RefusedOut(Out):
    """A file that is not in the version, and why."""

    id: int
    path: str
    kind: RefusedKind = Field(
        description="ignored: not an image of a class; broken: could not be read; duplicate: in the dataset already; leaking: would stand on two sides; excluded: by a person."
    )
    reason: str

    @classmethod
    def of(cls, refused: RefusedFile) -> "RefusedOut":
        return cls(id=refused.id, path=refused.path, kind=RefusedKind(refused.kind), reason=refused.reason)


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
