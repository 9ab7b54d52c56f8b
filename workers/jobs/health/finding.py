"""One thing to know of a dataset, and the words that findings are written in."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["serious", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "note")
MOST_IDS = 50
MANY = 0.01  # of the images


@dataclass(frozen=True)
class Finding:
    """One thing to know of a dataset. link: below /datasets/{id}, where there is more of it. image_ids: the first."""

    kind: str
    severity: Severity
    title: str
    meaning: str
    action: str
    count: int
    image_ids: list[int] = field(default_factory=list)
    link: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"image_ids": self.image_ids[:MOST_IDS]}


def grade(value: float, limits: Mapping[str, float]) -> Severity | None:
    """The worst severity whose limit the value reaches."""
    return next((severity for severity in SEVERITIES if severity in limits and value >= limits[severity]), None)


def counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def often(number: int, total: int) -> Severity:
    """A warning from one image in a hundred on."""
    return "warning" if number >= MANY * total else "note"
