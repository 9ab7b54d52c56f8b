"""Real images: uploads, datasets, their versions and images.

A committed version never changes; everything made from images names the version it used.
"""

import datetime as dt
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
    SERVER = "server"  # a folder or archive that lies on the server, and stays there


class UploadState(enum.StrEnum):
    RECEIVING = "receiving"
    PLANNED = "planned"
    IMPORTED = "imported"
    DISCARDED = "discarded"


class Upload(WithId, Base):
    """Files on their way in: bytes under `<data dir>/uploads/<id>/`, and the plan made of them."""

    __tablename__ = "uploads"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(BigId)  # who sends it: nobody else takes its files over
    kind: Mapped[UploadKind] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(300))  # the folder's or archive's own; on the server, its path
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
    current_number: Mapped[int] = mapped_column(default=1, server_default="1")  # the version that new jobs use
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
    layout: Mapped[dict[str, Any]]  # what the importer found, and how all images were last split
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    parent_number: Mapped[int | None]  # of the version that this one changes; None: a first import
    change: Mapped[str] = mapped_column(default="", server_default="")  # what differs from the parent, in words
    leaks: Mapped[dict[str, Any] | None]  # {kind: groups whose images stand in several splits}; None: not looked for
    health: Mapped[dict[str, Any] | None]  # what check_dataset found; None: it has not ended
    card: Mapped[dict[str, Any] | None]  # what a person wrote about source, licence, consent ...
    unlocked_at: Mapped[dt.datetime | None]  # since when the test images may be looked at
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
    path: Mapped[str] = mapped_column(String(1000))  # as it was in the upload; "file#frame" where a file holds several
    label: Mapped[int]  # index into the version's classes
    split: Mapped[Split] = mapped_column(String(10))
    group: Mapped[str | None] = mapped_column(String(200))  # pseudonym of the patient, where known
    series: Mapped[str | None] = mapped_column(String(200))  # pseudonym of the DICOM series
    position: Mapped[float | None]  # within its series or file
    cluster: Mapped[int | None]  # number of the group of copies and look-alikes that it belongs to; None: it has none
    conversion: Mapped[str] = mapped_column(default="", server_default="")  # how its pixels became 8 bit, in words
    width: Mapped[int]
    height: Mapped[int]
    mode: Mapped[str] = mapped_column(String(10))  # Pillow's mode of the file: L, RGB, RGBA, P, I;16 ...
    bit_depth: Mapped[int]
    metadata_kinds: Mapped[str] = mapped_column(String(60), default="", server_default="")  # of its file: "EXIF, GPS"
    file_sha256: Mapped[str] = mapped_column(String(64))  # of the bytes uploaded
    pixel_sha256: Mapped[str] = mapped_column(String(64), index=True)  # of the decoded pixels, mode-normalised
    stored_sha256: Mapped[str] = mapped_column(
        String(64), index=True
    )  # storage key of our re-encoded PNG, metadata dropped
    thumbnail_sha256: Mapped[str] = mapped_column(String(64), index=True)  # storage key


class Fingerprint(Base):
    """What one stored picture looks like (app/core/fingerprints.py), and figures of it. Shared by all versions that hold it."""

    __tablename__ = "fingerprints"

    stored_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    perceptual_hash: Mapped[str] = mapped_column(String(16))
    mirrored_hash: Mapped[str] = mapped_column(String(16))
    tile: Mapped[str] = mapped_column(String(1400))  # 32 x 32 grey bytes, as Base64
    facts: Mapped[dict[str, Any]]  # app/core/images/facts.py


class DuplicatePair(WithId, Base):
    """Two stored pictures of a dataset that look the same. is_distinct: a person looked, and says they are not."""

    __tablename__ = "duplicate_pairs"
    __table_args__ = (
        UniqueConstraint("dataset_id", "first_sha256", "second_sha256"),
        {"sqlite_autoincrement": True},
    )

    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    first_sha256: Mapped[str] = mapped_column(String(64))  # stored_sha256, the lesser of the two
    second_sha256: Mapped[str] = mapped_column(String(64))
    mirrored: Mapped[bool]
    distance: Mapped[int]  # of the perceptual hashes, bits
    agreement: Mapped[float]  # 0 to 1
    is_distinct: Mapped[bool] = mapped_column(default=False)


class OpeningKind(enum.StrEnum):
    EVALUATION = "evaluation"
    EXPLANATION = "explanation"
    LISTING = "listing"
    UNLOCK = "unlock"


class Opening(WithId, Base):
    """One look at the locked test images of a version, by a job or by a person."""

    __tablename__ = "openings"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), index=True)
    kind: Mapped[OpeningKind] = mapped_column(String(20))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    num_images: Mapped[int]
    reason: Mapped[str] = mapped_column(default="")  # given by the person


class RefusedKind(enum.StrEnum):
    IGNORED = "ignored"  # no image of a class
    BROKEN = "broken"  # unreadable
    DUPLICATE = "duplicate"  # a test image again, or an image that was there already
    LEAKING = "leaking"  # would be a leak in every split
    EXCLUDED = "excluded"  # by a person


class RefusedFile(WithId, Base):
    """A file that was uploaded and is not in the version, with the reason."""

    __tablename__ = "refused_files"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), index=True)
    path: Mapped[str] = mapped_column(String(1000))
    kind: Mapped[RefusedKind] = mapped_column(String(20))
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
