"""Errors that are shown to the person who caused them: what was given, what was expected, what to do.

Each carries an HTTP status and a stable code; `app.main` renders them once, as a page or as RFC 9457 JSON,
and a job that raises one fails with the same words.
"""

from typing import ClassVar


class StudioError(Exception):
    """detail: one or two sentences. hint: what to do next. errors: [{pointer, detail}] for single fields."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad-request"
    title: ClassVar[str] = "This cannot be done"

    def __init__(self, detail: str, *, hint: str = "", errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.errors = errors or []


class BadInputError(StudioError):
    status = 422
    code = "bad-input"
    title = "The input cannot be used"


class SignInError(StudioError):
    status = 401
    code = "sign-in"
    title = "Sign in first"


class ForbiddenError(StudioError):
    status = 403
    code = "forbidden"
    title = "This is not allowed"


class NotFoundError(StudioError):
    status = 404
    code = "not-found"
    title = "There is nothing here"


class ConflictError(StudioError):
    status = 409
    code = "conflict"
    title = "This does not fit the present state"


class LockedError(StudioError):
    status = 423
    code = "locked"
    title = "This is locked"


class TooLargeError(StudioError):
    status = 413
    code = "too-large"
    title = "This is too large"


class TooManyRequestsError(StudioError):
    status = 429
    code = "too-many-requests"
    title = "Too many requests"


class DiskFullError(StudioError):
    status = 507
    code = "disk-full"
    title = "The disk is full"


class UnavailableError(StudioError):
    status = 503
    code = "unavailable"
    title = "A part of the studio cannot be reached"
