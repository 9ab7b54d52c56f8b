"""Audits: how near a synthetic set comes to real images, and what it gives away of those that were learnt."""

from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, WithId


class Audit(WithId, Base):
    __tablename__ = "audits"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    synthetic_set_id: Mapped[int] = mapped_column(ForeignKey("synthetic_sets.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), index=True)
    # The set without the flagged images; None: none was flagged, or they were to stay, or it was deleted.
    filtered_set_id: Mapped[int | None] = mapped_column(
        ForeignKey("synthetic_sets.id", ondelete="SET NULL"), index=True
    )
    classes: Mapped[list[str]]
    num_images: Mapped[int]  # synthetic images that nobody had rejected
    num_flagged: Mapped[int | None]  # None: there was no threshold
    report: Mapped[dict[str, Any]]  # {fidelity, privacy, images}, images told by their ids
    lights: Mapped[list[Any]]  # [{name, state, sentence}], as app.core.lights gives them
    spec: Mapped[dict[str, Any]]


class AuditPair(WithId, Base):
    """A synthetic image beside the training image that it is nearest to: every flagged one, and the nearest of the others."""

    __tablename__ = "audit_pairs"

    audit_id: Mapped[int] = mapped_column(ForeignKey("audits.id", ondelete="CASCADE"), index=True)
    synthetic_image_id: Mapped[int] = mapped_column(ForeignKey("synthetic_images.id", ondelete="CASCADE"), index=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id"), index=True)  # a training image, never a test image
    space: Mapped[str] = mapped_column(String(100))  # "pixels", or the extractor in whose features they are near
    kind: Mapped[str] = mapped_column(String(20))  # plain, or how the synthetic image is mirrored to resemble the other
    similarity: Mapped[float]  # 0 to 1, 1 for equal
    score: Mapped[float]  # robust deviations by which it is nearer than a typical held-out image
    threshold: Mapped[float]  # scores above it are flagged, in this space
    flagged: Mapped[bool]
