"""Synthetic sets: what sampling made, image by image, and releases that a person answers for."""

import datetime as dt
import enum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, WithId


class Mark(enum.StrEnum):
    """What a person said of a synthetic image. Rejected images are not used to train classifiers."""

    NONE = "none"
    STARRED = "starred"
    REJECTED = "rejected"


class SyntheticSet(WithId, Base):
    __tablename__ = "synthetic_sets"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_versions.id"), index=True)
    # The set of which an audit left copies out to make this one; None: it was drawn.
    filtered_from_id: Mapped[int | None] = mapped_column(ForeignKey("synthetic_sets.id"), index=True)
    name: Mapped[str] = mapped_column(String(300))
    image_size: Mapped[int]
    channels: Mapped[int]
    classes: Mapped[list[str]]
    num_images: Mapped[int]
    counts: Mapped[dict[str, Any]]  # {class: number}
    spec: Mapped[dict[str, Any]]


class SyntheticImage(WithId, Base):
    __tablename__ = "synthetic_images"
    __table_args__ = (
        UniqueConstraint("set_id", "index"),
        Index("ix_synthetic_images_set_label", "set_id", "label", "id"),
        {"sqlite_autoincrement": True},
    )

    set_id: Mapped[int] = mapped_column(ForeignKey("synthetic_sets.id", ondelete="CASCADE"))
    index: Mapped[int]  # k: with the set's seed it fixes the image
    label: Mapped[int]
    seed: Mapped[int] = mapped_column(BigId)
    mark: Mapped[Mark] = mapped_column(String(10), default=Mark.NONE)
    stored_sha256: Mapped[str] = mapped_column(String(64), index=True)  # storage key of the PNG, provenance inside


class Release(WithId, Base):
    """A person releases a set against its lights. What they knew and said stays, when it is withdrawn, too."""

    __tablename__ = "releases"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    synthetic_set_id: Mapped[int] = mapped_column(ForeignKey("synthetic_sets.id", ondelete="CASCADE"), index=True)
    # The audit behind the lights; None: it was deleted.
    audit_id: Mapped[int | None] = mapped_column(ForeignKey("audits.id", ondelete="SET NULL"), index=True)
    created_by: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(2000))
    lights: Mapped[list[Any]]  # as they were, [{name, state, sentence}]
    withdrawn_by: Mapped[str | None] = mapped_column(String(200))
    withdrawn_at: Mapped[dt.datetime | None]
