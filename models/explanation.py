"""Explanations: what LIME says of a classifier on some images."""

from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, WithId


class Explanation(WithId, Base):
    __tablename__ = "explanations"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifiers.id"), index=True)
    classes: Mapped[list[str]]
    num_images: Mapped[int]
    spec: Mapped[dict[str, Any]]


class ExplanationItem(WithId, Base):
    """One explained image: a dataset's image or an uploaded one."""

    __tablename__ = "explanation_items"

    explanation_id: Mapped[int] = mapped_column(ForeignKey("explanations.id", ondelete="CASCADE"), index=True)
    index: Mapped[int]
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    uploaded_image_id: Mapped[int | None] = mapped_column(ForeignKey("uploaded_images.id"))
    label: Mapped[int | None]  # true class, where known
    predicted: Mapped[int]
    probabilities: Mapped[list[Any]]
    width: Mapped[int]  # of the explained picture and its segment map, pixels
    height: Mapped[int]
    picture_sha256: Mapped[str] = mapped_column(String(64), index=True)  # PNG as the classifier saw it, enlarged
    segments_sha256: Mapped[str] = mapped_column(String(64), index=True)  # 16-bit grey PNG: the segment of each pixel
    overlay_sha256: Mapped[str] = mapped_column(String(64), index=True)  # PNG: top regions of the predicted class
    weights: Mapped[
        dict[str, Any]
    ]  # {classes: [{label, intercept, score, weights: [[segment, weight], ...]}], regions: [...]}
    # Of the predicted class: {label, shares, deletion, insertion, deletion_auc, insertion_auc}. NULL: not measured.
    faithfulness: Mapped[dict[str, Any] | None]
    # Of the predicted class: {label, top_k, seeds, num_seeds, overlap, correlation, deviations}. NULL: not asked for.
    stability: Mapped[dict[str, Any] | None]
    # Of the predicted class: {label, border, corners, outside, reason}, where its weight lies, each {area, positive, absolute}.
    places: Mapped[dict[str, Any] | None]  # NULL: not measured
