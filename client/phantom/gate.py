"""The release gate: whether a synthetic set may leave the lab, and why not."""

from __future__ import annotations

from typing import Any, NamedTuple


class Light(NamedTuple):
    """One light of the release gate. state: green, red, or grey where nobody knows; the sentence says why."""

    name: str
    state: str
    sentence: str


class Override(NamedTuple):
    """A release against the lights: who, when (ISO 8601), and why."""

    by: str
    at: str
    reason: str


class Gate:
    """Whether a synthetic set may leave the lab. `data` is what the studio says of it, complete."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<Gate: {self.verdict}; {', '.join(f'{light.name} {light.state}' for light in self.lights)}>"

    @property
    def verdict(self) -> str:
        """releasable, not releasable, not audited, or released by override."""
        return str(self.data["verdict"])

    @property
    def is_releasable(self) -> bool:
        """All four lights are green. A release by override is none."""
        return self.verdict == "releasable"

    @property
    def lights(self) -> list[Light]:
        return [Light(each["name"], each["state"], each["sentence"]) for each in self.data["lights"]]

    @property
    def stopped_by(self) -> list[str]:
        """Names of the lights that are not green."""
        return list(self.data["stopped_by"])

    @property
    def override(self) -> Override | None:
        """The release that somebody answers for; None: there is none."""
        found = self.data["override"]
        return Override(found["by"], found["at"], found["reason"]) if found is not None else None
