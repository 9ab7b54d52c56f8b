"""What every part of a report is made of: figures as they were stored, links, and pictures without their pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A figure as it was stored; `reason` says why something of it is missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def figure(entry: Mapping[str, Any]) -> Figure:
    """Of an entry {value, low, high, reason} of a report, of which any may be missing."""
    return Figure(entry.get("value"), entry.get("low"), entry.get("high"), entry.get("reason") or "")


@dataclass(frozen=True)
class Link:
    text: str
    path: str


@dataclass(frozen=True)
class Picture:
    """A stored PNG. is_real: it shows a patient. path: the page that it is from."""

    sha256: str
    alt: str
    caption: str
    path: str
    is_real: bool
