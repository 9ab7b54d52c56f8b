"""The release gate as pages show it: the verdict in a sentence, and the lights."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core import lights as rules
from app.core.lights import NAMES, OVERRIDDEN, RED, RELEASABLE
from app.services.gates import Gate
from models import Release


@dataclass(frozen=True)
class Light:
    name: str
    state: str
    sentence: str


@dataclass(frozen=True)
class ShownGate:
    """look: good, bad, warn or unknown; colours only repeat what the verdict says."""

    verdict: str
    look: str
    sentence: str
    lights: list[Light]
    audit_id: int | None
    study_id: int | None
    override: Release | None
    may_be_overridden: bool


def lights_of(found: Sequence[rules.Light]) -> list[Light]:
    return [Light(NAMES[each["name"]], each["state"], each["sentence"]) for each in found]


def shown_gate(gate: Gate) -> ShownGate:
    return ShownGate(
        gate.verdict, _look(gate), _sentence(gate), lights_of(gate.lights), gate.audit_id, gate.study_id, gate.override,
        may_be_overridden=gate.verdict == rules.NOT_RELEASABLE,
    )  # fmt: skip


def _look(gate: Gate) -> str:
    if gate.verdict == RELEASABLE:
        return "good"
    if gate.verdict == OVERRIDDEN:
        return "warn"
    return "bad" if any(light["state"] == RED for light in gate.lights) else "unknown"


def _sentence(gate: Gate) -> str:
    stopped = "The gate is stopped by " + ", ".join(
        f"{NAMES[light['name']].lower()} ({light['state']})"
        for light in gate.lights
        if light["name"] in gate.stopped_by
    )
    match gate.verdict:
        case rules.RELEASABLE:
            return "All four lights are green."
        case rules.NOT_AUDITED:
            return "Nobody has looked for copies, or attacked the network that drew these images."
        case rules.OVERRIDDEN:
            return f"{stopped}." if gate.stopped_by else "All four lights are green now."
        case _:
            return f"{stopped}."
