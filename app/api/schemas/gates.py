"""The release gate of a synthetic set."""

import datetime as dt
from typing import Literal

from pydantic import Field

from app.api.schemas.audits import LightOut
from app.api.schemas.base import In, Out, named
from app.services.gates import LEAST_REASON, LONGEST_REASON, Gate
from models import Release


class ReleaseOut(Out):
    """A release that a person answers for, against the lights."""

    by: str
    at: dt.datetime
    reason: str
    lights: list[LightOut] = Field(description="As they were.")

    @classmethod
    def of(cls, row: Release) -> "ReleaseOut":
        return cls(
            by=row.created_by, at=row.created_at, reason=row.reason, lights=[LightOut(**each) for each in row.lights]
        )


class GateOut(Out):
    """Whether a synthetic set may leave the lab, and why not."""

    verdict: Literal["releasable", "not releasable", "not audited", "released by override"]
    stopped_by: list[str] = Field(description="Names of the lights that are not green.")
    lights: list[LightOut]
    audit_id: int | None = Field(description="The newest audit; null: there is none.")
    study_id: int | None = Field(description="The newest finished study that learnt the set; null: there is none.")
    override: ReleaseOut | None

    @classmethod
    def of(cls, gate: Gate) -> "GateOut":
        return cls(
            verdict=gate.verdict,
            stopped_by=gate.stopped_by, lights=[LightOut(**each) for each in gate.lights], audit_id=gate.audit_id,
            study_id=gate.study_id, override=ReleaseOut.of(gate.override) if gate.override is not None else None,
        )  # fmt: skip


class ReleaseIn(In):
    """Why a set may leave the lab although the gate stops it."""

    model_config = named(reason="Ethics board, 12 March: teaching material inside the hospital only.")

    reason: str = Field(
        min_length=LEAST_REASON, max_length=LONGEST_REASON, description="Kept in the audit trail, with your name."
    )
