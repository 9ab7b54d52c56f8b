"""Errors as pages: what happened, what to do, and the id under which it stands in the log."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.core.errors import StudioError
from app.pages.render import render


@dataclass(frozen=True)
class ErrorPage:
    status: int
    title: str
    detail: str
    hint: str
    errors: list[dict[str, str]]


def error_page(request: Request, error: Exception) -> Response:
    """The page for `error`; a fragment where htmx asked, which shows it among the page's messages."""
    page = _page_of(request, error)
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    if request.headers.get("hx-request"):
        response = render(request, "_error.html", page, status_code=page.status)
        response.headers.update({"HX-Retarget": "#messages", "HX-Reswap": "innerHTML"})
    elif page.status == HTTPStatus.UNAUTHORIZED:
        response = render(request, "sign_in/show.html", page, status_code=page.status)
    else:
        response = render(request, "error.html", page, status_code=page.status)
    response.headers.update(headers)
    return response


def _page_of(request: Request, error: Exception) -> ErrorPage:
    match error:
        case StudioError():
            return ErrorPage(error.status, error.title, error.detail, error.hint, error.errors)
        case RequestValidationError():
            errors = [{"pointer": "/".join(map(str, e["loc"][1:])), "detail": str(e["msg"])} for e in error.errors()]
            return ErrorPage(422, "The input cannot be used", "Some of what was sent does not fit.", "", errors)
        case HTTPException():
            return _of_status(request, error.status_code, str(error.detail))
        case _:
            return ErrorPage(
                500, "The studio made a mistake", "Something went wrong that was not foreseen.",
                "Try again; if it happens again, look into the log for the request named here.", [],
            )  # fmt: skip


def _of_status(request: Request, status: int, detail: str) -> ErrorPage:
    match status:
        case HTTPStatus.NOT_FOUND:
            return ErrorPage(404, "There is nothing here", f"No page has the address {request.url.path[:200]}.", "", [])
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return ErrorPage(
                405, "This cannot be done here", f"{request.method} does not work on this address.", "", []
            )
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return ErrorPage(413, "This is too large", "The request is larger than this address takes.", "", [])
        case _:
            return ErrorPage(status, HTTPStatus(status).phrase, detail, "", [])
