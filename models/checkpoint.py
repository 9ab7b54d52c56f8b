"""Checkpoints: diffusion networks that can draw."""

from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, WithId


class Checkpoint(WithId, Base):
    __tablename__ = "checkpoints"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"), index=True)  # None: came with the studio
    version_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_versions.id"), index=True)
    name: Mapped[str] = mapped_column(String(300))
    image_size: Mapped[int]
    channels: Mapped[int]
    classes: Mapped[list[str]]
    num_steps: Mapped[int]  # trained so far
    num_parameters: Mapped[int] = mapped_column(BigId)
    size: Mapped[int] = mapped_column(BigId)
    sha256: Mapped[str] = mapped_column(String(64))  # storage key of the safetensors file
    spec: Mapped[dict[str, Any]]
    # Differential privacy: {unit, epsilon, delta, noise_multiplier, max_grad_norm, ...}. NULL: training gave none.
    guarantee: Mapped[dict[str, Any] | None]
    # What stop_on_copies found: {sentence, stopped_at, checks, floor, ...}. NULL: it was not asked for.
    copy_watch: Mapped[dict[str, Any] | None]
