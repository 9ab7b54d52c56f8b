"""Real images: uploads, datasets, their versions and images.

A committed version never changes; everything made from images names the version it used.
"""

import enum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, BigId, WithId


class Split(enum.StrEnum):
    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class UploadKind(enum.StrEnum):
    ARCHIVE = "archive"
    FOLDER = "folder"


class UploadState(enum.StrEnum):
    RECEIVING = "receiving"
    PLANNED = "planned"
    IMPORTED = "imported"
    DISCARDED = "discarded"


class Upload(WithId, Base):
    """Files on their way in: bytes under `<data dir>/uploads/<id>/`, and the plan made of them."""

    __tablename__ = "uploads"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    kind: Mapped[UploadKind] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(300))  # the folder's or archive's own name
    state: Mapped[UploadState] = mapped_column(String(20), default=UploadState.RECEIVING)
    num_files: Mapped[int] = mapped_column(default=0)
    num_bytes: Mapped[int] = mapped_column(BigId, default=0)
    plan: Mapped[dict[str, Any] | None]


class DatasetState(enum.StrEnum):
    IMPORTING = "importing"
    READY = "ready"
    FAILED = "failed"


class Dataset(WithId, Base):
    __tablename__ = "datasets"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        {"sqlite_autoincrement": True},
    )

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(default="")
    state: Mapped[DatasetState] = mapped_column(String(20), default=DatasetState.IMPORTING)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))  # the import
    versions: Mapped[list["DatasetVersion"]] = relationship(
        back_populates="dataset", order_by="DatasetVersion.number", cascade="all, delete-orphan"
    )


class DatasetVersion(WithId, Base):
    """A frozen list of images. `manifest_sha256` covers (path, label, group, split, pixel hash) of every image."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        {"sqlite_autoincrement": True},
    )

    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    number: Mapped[int]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    classes: Mapped[list[str]]
    channels: Mapped[int]  # 1: every image is grey, 3: at least one has colour
    num_images: Mapped[int]
    counts: Mapped[dict[str, Any]]  # {class: {split: number}}
    layout: Mapped[dict[str, Any]]  # what the importer found, and the split's seed and shares
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    dataset: Mapped[Dataset] = relationship(back_populates="versions")


class Image(WithId, Base):
    __tablename__ = "images"
    __table_args__ = (
        Index("ix_images_version_split_label", "version_id", "split", "label", "id"),
        Index("ix_images_version_label", "version_id", "label", "id"),
        Index("ix_images_version_id", "version_id", "id"),
        {"sqlite_autoincrement": True},
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(String(1000))  # as it was in the upload
    label: Mapped[int]  # index into the version's classes
    split: Mapped[Split] = mapped_column(String(10))
    group: Mapped[str | None] = mapped_column(String(200))  # patient, where known
    width: Mapped[int]
    height: Mapped[int]
    mode: Mapped[str] = mapped_column(String(10))  # Pillow's mode of the file: L, RGB, RGBA, P, I;16 ...
    bit_depth: Mapped[int]
    file_sha256: Mapped[str] = mapped_column(String(64))  # of the bytes uploaded
    pixel_sha256: Mapped[str] = mapped_column(String(64), index=True)  # of the decoded pixels, mode-normalised
    stored_sha256: Mapped[str] = mapped_column(
        String(64), index=True
    )  # storage key of our re-encoded PNG, metadata dropped
    thumbnail_sha256: Mapped[str] = mapped_column(String(64), index=True)  # storage key


class RefusedFile(WithId, Base):
    """A file that was uploaded and is not in the version, with the reason."""

    __tablename__ = "refused_files"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), index=True)
    path: Mapped[str] = mapped_column(String(1000))
    kind: Mapped[str] = mapped_column(
        String(20)
    )  # "ignored": no image of a class; "broken": unreadable; "duplicate": a test image again
    reason: Mapped[str]


class UploadedImage(WithId, Base):
    """A single image that belongs to no dataset, uploaded to be explained."""

    __tablename__ = "uploaded_images"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(String(300))
    width: Mapped[int]
    height: Mapped[int]
    stored_sha256: Mapped[str] = mapped_column(String(64), index=True)
    thumbnail_sha256: Mapped[str] = mapped_column(String(64), index=True)
