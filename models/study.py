"""Studies: one question, asked by many jobs, with its answer in one table."""

import enum
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, WithId


class Arm(enum.StrEnum):
    """What the classifiers of one row of the table learn from."""

    REAL = "real"  # the whole real training split
    REAL_EQUAL = "real_equal"  # exactly the real images that the diffusion network saw
    SYNTHETIC = "synthetic"
    REAL_PLUS_SYNTHETIC = "real_plus_synthetic"
    REAL_AUGMENTED = "real_augmented"  # real_equal with traditional augmentation
    SYNTHETIC_TEST = "synthetic_test"  # real_equal, tested on the synthetic images: are their labels faithful?


class Study(WithId, Base):
    __tablename__ = "studies"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), index=True)
    name: Mapped[str] = mapped_column(String(300))
    created_by: Mapped[str] = mapped_column(String(200))
    spec: Mapped[dict[str, Any]]  # StudySpec, complete
    answer: Mapped[dict[str, Any] | None]  # the table with its statistics, as the newest summary made it
    answer_job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    # The study that this one runs again; None as well once that is deleted.
    reproduces_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id", ondelete="SET NULL"), index=True)


class StudyStep(Base):
    """A job that a study needs. The same job may serve several studies."""

    __tablename__ = "study_steps"

    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)  # train/synthetic/resnet50/size 1/seed 0
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    position: Mapped[int]
    is_reused: Mapped[bool]  # the job was there before
    cell: Mapped[dict[str, Any]]  # {arm, architecture, size, seed, tested_on} as far as it belongs to one
