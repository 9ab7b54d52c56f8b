"""Turn a page object into HTML.

Templates see `page`, `identity`, `nav` (the section that is open) and `request_id`. The environment is strict: a
misspelt name is an error, not an empty string.
"""

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.pages import words
from app.services.studies.reporting.rendering import figure, p
from app.services.studies.reporting.words import p_value

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "static"


@dataclass(frozen=True)
class Script:
    """How to get what is on a page from a script: lines for the client, and for curl."""

    client: str
    curl: str


def static_url(path: str) -> str:
    """The address of a static file, with a hash of its content so that browsers may keep it for ever."""
    file = STATIC / path
    return f"/static/{path}?v={_content_hash(file, file.stat().st_mtime_ns)}"


@lru_cache(maxsize=512)
def _content_hash(file: Path, _modified_ns: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def with_query(request: Request, **changes: Any) -> str:
    """The present address with some query parameters changed, or removed where the new value is None or empty."""
    query = {**request.query_params, **changes}
    kept = {name: value for name, value in query.items() if value not in (None, "")}
    return request.url.path + (f"?{urlencode(kept)}" if kept else "")


def make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.do"],
    )  # fmt: skip
    environment.globals |= {"static": static_url, "with_query": with_query, "now": lambda: dt.datetime.now(dt.UTC)}
    environment.filters |= words.FILTERS | {"figure": figure, "p": p, "p_value": p_value}
    return environment


ENVIRONMENT = make_environment()


def none_if_empty(value: Any) -> Any:
    """A filter that says "all" is sent by a form as an empty string."""
    return None if value == "" else value


def json_for_html(value: Any) -> Markup:
    """JSON that may stand inside a script element that is not run: no text in it can end that element."""
    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped here


def to_html(request: Request, template: str, page: Any) -> str:
    """The HTML of `template`; for fragments that are sent in a stream."""
    return ENVIRONMENT.get_template(template).render(
        request=request,
        page=page,
        identity=getattr(request.state, "identity", None),
        nav=request.url.path.strip("/").split("/")[0],
        request_id=getattr(request.state, "request_id", ""),
    )


def render(request: Request, template: str, page: Any, *, status_code: int = 200) -> HTMLResponse:
    """A response that shows `page` in `template`."""
    return HTMLResponse(to_html(request, template, page), status_code=status_code)
