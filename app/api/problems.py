"""Errors of the REST API as RFC 9457 problems.

Every error below /api/v1 takes this form, also those that no route of ours raised: an unknown path, a
method that is not allowed, a body that is too large, a field that is not known.
"""

import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import StudioError
from models import JobKind

MEDIA_TYPE = "application/problem+json"
HELP = "/api/v1/docs#problem-"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_CODES = {400: "bad-request", 401: "sign-in", 403: "forbidden", 404: "not-found", 405: "method-not-allowed", 409: "conflict",
          413: "too-large", 415: "media-type", 422: "bad-input", 429: "too-many-requests"}  # fmt: skip
_HINTS = {
    404: "Look at /api/v1/docs for the paths there are.",
    405: "The Allow header names the methods that this path takes.",
    413: "Send it in smaller parts: at most 200 files or 64 MB in one request.",
    500: "Give the request_id to whoever looks after this studio; its log holds the whole error.",
}


class ProblemField(BaseModel):
    """One thing that is wrong: where, and what."""

    pointer: str = Field(
        description="Where: a JSON pointer into the body (#/image_size), or query/..., path/..., header/..."
    )
    detail: str = Field(description="What is wrong there.")


class Problem(BaseModel):
    """An error, as RFC 9457 describes one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": f"{HELP}bad-input",
                "title": "The input cannot be used",
                "status": 422,
                "detail": "image_size: image_size 33 does not fit this network; use 32 or 40.",
                "errors": [{"pointer": "#/image_size", "detail": "Input should be at most 512."}],
                "hint": "Mend the fields named in errors, then send it again.",
                "request_id": "c6ad38d6bb2f4f06",
            }
        }
    )

    type: str = Field(description="A link that says more about this kind of error.")
    title: str = Field(description="The kind of error.")
    status: int = Field(description="The HTTP status again.")
    detail: str = Field(description="What was given and what was expected.")
    errors: list[ProblemField] = Field(description="The fields that are wrong, if single fields are.")
    hint: str = Field(description="What to do about it; may be empty.")
    request_id: str = Field(description="Finds this request in the studio's log.")


def problem_response(
    request: Request,
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    hint: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """One problem; `errors` holds mappings of pointer and detail."""
    fields = [ProblemField(pointer=_fragment(error["pointer"]), detail=error["detail"]) for error in errors]
    problem = Problem(
        type=HELP + code,
        title=title,
        status=status,
        detail=detail,
        errors=fields,
        hint=hint,
        request_id=request_id(request),
    )
    return JSONResponse(problem.model_dump(), status, dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of(request: Request, error: Exception) -> JSONResponse:
    """The problem that `error` is to whoever sent `request`; what we did not foresee tells nothing but its request id."""
    match error:
        case StudioError():
            return _of_ours(request, error)
        case RequestValidationError():
            return _of_validation(request, error)
        case HTTPException():
            return _of_http(request, error)
        case _:
            return problem_response(
                request,
                status=500,
                code="internal",
                title="The studio made a mistake",
                detail="Something went wrong that was not foreseen.",
                hint=_HINTS[500],
            )


def request_id(request: Request) -> str:
    """The id under which this request stands in the log."""
    known = getattr(request.state, "request_id", None)
    return known if isinstance(known, str) else secrets.token_hex(8)


def _of_ours(request: Request, error: StudioError) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    if error.status == 429:
        headers = {"Retry-After": "60"}
    return problem_response(
        request,
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        hint=error.hint,
        errors=error.errors,
        headers=headers,
    )


def _of_http(request: Request, error: HTTPException) -> JSONResponse:
    status = error.status_code
    phrase = HTTPStatus(status).phrase
    detail = error.detail if error.detail != phrase else f"{request.method} {request.url.path}: {phrase.lower()}."
    return problem_response(
        request,
        status=status,
        code=_CODES.get(status, "error"),
        title=phrase,
        detail=str(detail),
        hint=_HINTS.get(status, ""),
        headers={"Allow": ", ".join(_allowed(request))} if status == 405 else error.headers,
    )


def _allowed(request: Request) -> list[str]:
    """Every method that some route takes on this path; each route by itself knows only its own."""
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] == Match.FULL for route in request.app.routes)
    ]


def _of_validation(request: Request, error: RequestValidationError) -> JSONResponse:
    errors = [{"pointer": _pointer(each), "detail": _said(each)} for each in error.errors()]
    first = errors[0]
    where = first["pointer"].removeprefix("#").strip("/").replace("/", ".")
    return problem_response(
        request,
        status=422,
        code="bad-input",
        title="The input cannot be used",
        detail=f"{where}: {first['detail']}" if where else first["detail"],
        hint="Mend the fields named in errors, then send it again.",
        errors=errors,
    )


def _said(error: Mapping[str, Any]) -> str:
    """Pydantic's sentence, with what it found forbidden or missing said plainly."""
    match error["type"]:
        case "extra_forbidden":
            return "This field is not known; check its spelling or leave it out."
        case "missing":
            return "This field is required."
        case "json_invalid":
            return f"The body is not JSON: {error.get('ctx', {}).get('error', 'it cannot be read')}."
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case _:
            return str(error["msg"]).rstrip(".") + "."


def _pointer(error: Mapping[str, Any]) -> str:
    """A JSON pointer for the body; `query/limit` and the like for the rest. The tag of a job's union is left out."""
    location: Sequence[str | int] = error["loc"]
    place, *rest = location or ("body",)
    if place != "body":
        return "/".join(str(part) for part in location)
    if error["type"] == "json_invalid":
        return "#"
    if rest and rest[0] in set(JobKind):
        rest = rest[1:]
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in rest)


def _fragment(pointer: str) -> str:
    return f"#{pointer}" if pointer.startswith("/") else pointer


class PlainErrors:
    """Turns errors that were sent as plain text below /api/ into problems: those that no route ever saw.

    Starlette answers a body that is too large, and app.security a request from another site, before any handler.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_plain_error(message):
                replaced = True
                await _in_place_of(message, scope)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self.app(scope, receive, send_problem)


def _is_plain_error(message: Message) -> bool:
    return message["status"] >= 400 and Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")


def _in_place_of(message: Message, scope: Scope) -> JSONResponse:
    """The problem that says what the plain response would have said, with its other headers."""
    kept = {
        name: value
        for name, value in Headers(raw=message["headers"]).items()
        if not name.startswith("content-t") and name != "content-length"
    }
    request = Request({**scope, "state": {"request_id": kept.get("x-request-id")}})
    status = message["status"]
    if status == 403:
        detail, hint = (
            "This request was sent by another web site.",
            "Send it from a page of the studio, or from a script with an API token.",
        )
    else:
        detail, hint = (
            f"{request.method} {request.url.path}: {HTTPStatus(status).phrase.lower()}.",
            _HINTS.get(status, ""),
        )
    return problem_response(
        request,
        status=status,
        code=_CODES.get(status, "error"),
        title=HTTPStatus(status).phrase,
        detail=detail,
        hint=hint,
        headers=kept,
    )
