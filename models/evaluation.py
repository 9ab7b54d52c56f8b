"""Evaluations: a classifier on one split of real images, with every prediction kept; or on a synthetic set, without them."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, WithId


class Evaluation(WithId, Base):
    __tablename__ = "evaluations"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifiers.id"), index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), index=True)
    split: Mapped[str] = mapped_column(
        String(10)
    )  # train, val, test, all; synthetic: the set was tested on, not the version
    synthetic_set_id: Mapped[int | None] = mapped_column(ForeignKey("synthetic_sets.id"), index=True)
    class_map: Mapped[dict[str, Any] | None]  # {class of the dataset: class of the classifier}; None: they are the same
    classes: Mapped[list[str]]
    num_images: Mapped[int]
    leaks: Mapped[dict[str, Any] | None]  # {kind: test images that training knew}; None: not looked for
    report: Mapped[dict[str, Any]]  # as workers.ml.metrics.classification.evaluate returns it


class Prediction(Base):
    __tablename__ = "predictions"
    __table_args__ = (
        Index("ix_predictions_cell", "evaluation_id", "label", "predicted"),
        Index("ix_predictions_confidence", "evaluation_id", "confidence"),
    )

    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    label: Mapped[int]
    predicted: Mapped[int]
    confidence: Mapped[float]  # probability of the predicted class
    probabilities: Mapped[list[Any]]
