"""The report as one self-contained HTML page: its style and its pictures are in it, and nothing else is ever loaded.

A page of the studio may not hold inline styles; this one may hold exactly the one whose hash stands in its own policy.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.core.errors import NotFoundError
from app.core.images import load_uint8, thumbnail_png
from app.core.storage import Storage
from app.services.studies.reporting import drawing
from app.services.studies.reporting.document import Report
from app.services.studies.reporting.values import Figure

TEMPLATES = Path(__file__).parents[4] / "templates"
SIDE_PX = 128  # of embedded pictures


@dataclass(frozen=True)
class Page:
    """policy: the Content-Security-Policy that it is to be served with."""

    html: str
    policy: str


def render(report: Report, storage: Storage, *, in_studio: bool) -> Page:
    """in_studio: with a line of links for looking at it in the studio, which a file that is kept does not need."""
    style = (TEMPLATES / "studies" / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    html = _environment().get_template("studies/report.html").render(
        report=report, style=Markup(f"<style>{style}</style>"),  # noqa: S704 - a file of ours
        policy=allowed, pixels=_pixels(report, storage), in_studio=in_studio,
        arms=[_inline(panel) for panel in drawing.arms(report.charts.arms)],
        curves=[_inline(panel) for panel in drawing.curves(report.charts.curves)],
    )  # fmt: skip
    return Page(html, f"{allowed}; frame-ancestors 'none'")


def _inline(panel: drawing.Panel) -> Markup:
    return Markup(panel.svg())  # noqa: S704 - every text in it is escaped


def _pixels(report: Report, storage: Storage) -> dict[str, str]:
    """Data URIs by hash; a file that is not in storage has none, and its place says so."""
    found: dict[str, str] = {}
    for picture in report.pictures():
        if picture.sha256 not in found:
            try:
                png = thumbnail_png(load_uint8(storage.path(picture.sha256)), SIDE_PX)
            except NotFoundError:
                continue
            found[picture.sha256] = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return found


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "figure": figure, "number": lambda value: f"{value:,}", "stamp": lambda then: f"{then:%Y-%m-%d %H:%M} UTC",
        "duration": duration, "option": option, "p": p,
    }  # fmt: skip
    environment.filters |= filters
    return environment


def figure(found: Figure | None, digits: int = 3, sign: bool = False) -> Markup:
    """A value with its interval, the reason where there is none."""
    if found is None:
        return Markup("–")
    if found.value is None:
        return Markup('<span class="missing reason">not computed{}</span>').format(
            f": {found.reason}" if found.reason else ""
        )
    form = f"{'+' if sign else ''}.{digits}f"
    value = Markup("{}").format(format(found.value, form))
    if found.low is None or found.high is None:
        return value + (
            Markup(' <span class="missing reason">(no interval: {})</span>').format(found.reason)
            if found.reason
            else ""
        )
    return value + Markup(' <span class="interval">[{}, {}]</span>').format(
        format(found.low, form), format(found.high, form)
    )


def p(value: float | None) -> str:
    return "–" if value is None else "<\u00a00.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """95 -> 1 min 35 s."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def option(value: Any) -> str:
    """An option's value on one line, as JSON writes it."""
    return json.dumps(value, ensure_ascii=False)
