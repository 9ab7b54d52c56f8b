"""What the pages of results share: lineage links, settings as rows, figures with intervals.

A spec is shown option by option with the help it was declared with, so a page never explains an option in
words of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app.pages.forms import Field, Given, make_form
from models import JobKind
from models.specs import SPEC_OF

SHOWN_ELSEWHERE = frozenset(
    {"kind", "dataset_id", "version_id", "checkpoint_id", "synthetic_set_id", "classifier_id", "name"}
)
LIGHTBOX_SIDE_PX = 768


@dataclass(frozen=True)
class Link:
    """Another page: what it is, its name, its address."""

    kind: str
    name: str
    url: str


@dataclass(frozen=True)
class Setting:
    name: str
    value: str
    help: str


@dataclass(frozen=True)
class Figure:
    """A metric with its interval; `reason` says why something is missing."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    reason: str

    @classmethod
    def of(cls, name: str, entry: Mapping[str, Any]) -> "Figure":
        return cls(name, entry.get("value"), entry.get("low"), entry.get("high"), entry.get("reason") or "")


def settings_of(spec: Mapping[str, Any], *, leave_out: frozenset[str] = SHOWN_ELSEWHERE) -> list[Setting]:
    """The options of a stored spec, in the order in which its kind declares them."""
    kind = spec.get("kind")
    fields = SPEC_OF[JobKind(kind)].model_fields if kind else {}
    names = [name for name in fields if name in spec] + [name for name in spec if name not in fields]
    return [
        Setting(name, _text(spec[name]), (fields[name].description or "") if name in fields else "")
        for name in names
        if name not in leave_out and spec[name] is not None
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(part) for part in value)
    return str(value)


def enlarged(width: int, height: int) -> tuple[int, int]:
    """A whole multiple of (width, height) that fills the lightbox: small images are shown in whole pixels."""
    factor = max(1, LIGHTBOX_SIDE_PX // max(width, height, 1))
    return width * factor, height * factor


def page_url(path: str, **query: Any) -> str:
    """`path` with the query parameters that are not None."""
    kept = {name: value for name, value in query.items() if value is not None}
    return path + (f"?{urlencode(kept)}" if kept else "")


def short_form(kind: JobKind, given: Mapping[str, str], names: Sequence[str]) -> list[Field]:
    """A few options of a kind's form, filled in with what is given."""
    form = make_form(kind, Given(given), rows={})
    return [form[name] for name in names]
