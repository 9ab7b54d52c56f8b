"""Studies: what was asked for, how far they are, and their table."""

import datetime as dt
from typing import Any

from pydantic import Field

from app.api.schemas.base import In, Out, named
from app.services.studies import Progress, Step
from models import Arm, Study
from models.specs import ExternalTest, StudySpec


class StudyIn(StudySpec, In):
    """The form of a study; what it leaves out is filled in."""

    model_config = named(
        dataset_id=1, preset="studio", architectures=["tf_efficientnet_lite0"], seeds=[0, 1, 2], sampling={"per_class": 200},
        diffusion={"image_size": 32, "num_steps": 3000},
    )  # fmt: skip

    def spec(self) -> StudySpec:
        return StudySpec.model_validate(self.model_dump())


class StudyExtension(In):
    """What is added to a study: further values, of which those it has are left alone."""

    model_config = named(seeds=[3, 4], architectures=["resnet50"])

    architectures: list[str] = Field(default_factory=list, description="Further timm architectures.")
    seeds: list[int] = Field(default_factory=list, description="Further seeds of the classifiers.")
    sizes: list[float] = Field(
        default_factory=list, description="Further sizes; one above the largest is drawn as a further set."
    )
    arms: list[Arm] = Field(default_factory=list, description="Further arms.")
    external: dict[str, ExternalTest] = Field(default_factory=dict, description="Further datasets to test on.")


class StudyEstimateOut(Out):
    """What a study would take. Steps that are there already are not counted."""

    num_jobs: int
    num_reused: int
    seconds_low: float
    seconds_high: float
    memory_bytes: int = Field(description="Of the largest job.")
    disk_bytes: int
    basis: str


class StepOut(Out):
    """A job of the study. cell: the arm, network, size and seed that it belongs to, and what it is tested on."""

    name: str
    job_id: int
    state: str
    is_reused: bool = Field(description="The job was there before the study.")
    cell: dict[str, Any]

    @classmethod
    def of(cls, row: Step) -> "StepOut":
        return cls(
            name=row.step.name,
            job_id=row.job.id,
            state=str(row.job.state),
            is_reused=row.step.is_reused,
            cell=row.step.cell,
        )


class StudyOut(Out):
    """One question, asked by many jobs, with its answer in tables: one for each network and each set of test images."""

    id: int
    name: str
    dataset_id: int
    version_id: int
    state: str = Field(description="running; succeeded: there is a table of what could be done; failed; cancelled.")
    counts: dict[str, int] = Field(description="Jobs by state.")
    num_reused: int
    reproduces_id: int | None = Field(description="The study that this one runs again; null: none, or deleted.")
    audit_id: int | None = Field(description="The audit of its synthetic images; null: none, or not ended.")
    answer_job_id: int | None
    answer: dict[str, Any] | None = Field(description="The tables, as the newest summary made them.")
    spec: dict[str, Any]
    created_by: str
    created_at: dt.datetime
    url: str

    @classmethod
    def of(cls, row: Study, so_far: Progress, *, dataset_id: int, audit_id: int | None) -> "StudyOut":
        return cls(
            id=row.id, name=row.name, dataset_id=dataset_id, version_id=row.version_id, state=so_far.state, counts=so_far.counts,
            num_reused=so_far.num_reused, reproduces_id=row.reproduces_id, audit_id=audit_id, answer_job_id=row.answer_job_id, answer=row.answer, spec=row.spec,
            created_by=row.created_by, created_at=row.created_at, url=f"/studies/{row.id}",
        )  # fmt: skip


class StepsOut(Out):
    items: list[StepOut]
