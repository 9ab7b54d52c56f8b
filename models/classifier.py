"""Classifiers: CNNs trained on real, synthetic or mixed images."""

import enum
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, WithId


class TrainOn(enum.StrEnum):
    REAL = "real"
    SYNTHETIC = "synthetic"
    BOTH = "both"


class Classifier(WithId, Base):
    __tablename__ = "classifiers"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), index=True)  # validation and real images
    synthetic_set_id: Mapped[int | None] = mapped_column(ForeignKey("synthetic_sets.id"), index=True)
    name: Mapped[str] = mapped_column(String(300))
    architecture: Mapped[str] = mapped_column(String(100))
    train_on: Mapped[TrainOn] = mapped_column(String(20))
    weights_source: Mapped[str] = mapped_column(String(300))  # where training started from
    image_size: Mapped[int]  # resolution at which images are read
    input_size: Mapped[int]  # side to which they are enlarged before the network
    channels: Mapped[int]
    classes: Mapped[list[str]]
    num_train_images: Mapped[int]
    best_epoch: Mapped[int]
    val_balanced_accuracy: Mapped[float]
    num_parameters: Mapped[int] = mapped_column(BigId)
    size: Mapped[int] = mapped_column(BigId)
    sha256: Mapped[str] = mapped_column(String(64))  # storage key of the safetensors file
    spec: Mapped[dict[str, Any]]
