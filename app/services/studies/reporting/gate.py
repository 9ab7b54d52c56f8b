"""The release gate of the images that the study's classifiers learn. The one place of the report that asks for it."""

from sqlalchemy.orm import Session

from app.core.lights import NAMES
from app.services import gates
from app.services.studies.reporting.document import Gate, Light
from app.services.studies.reporting.words import listed
from models import SyntheticSet

MISSING = "There is no synthetic set: none was drawn, it was deleted, or its sampling has not ended."


def gate(session: Session, learnt: SyntheticSet | None) -> Gate:
    if learnt is None:
        return Gate(missing=MISSING)
    found = gates.gate_of_set(session, learnt)
    lights = [Light(NAMES[each["name"]], each["state"], each["sentence"]) for each in found.lights]
    override = found.override
    released = (
        f"Released by {override.created_by} against the lights: {override.reason}" if override is not None else ""
    )
    stopped = [NAMES[name].lower() for name in found.stopped_by]
    return Gate(
        found.verdict, f"Stopped by {listed(stopped)}." if stopped else "All four lights are green.", released, lights,
        f"/synthetic-sets/{learnt.id}",
    )  # fmt: skip
