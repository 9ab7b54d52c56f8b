"""What can go wrong, each error with what to do about it."""

from typing import Any


class PhantomError(Exception):
    """Anything that this package raises on purpose. `hint` says what to do; it may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint


class StudioUnreachable(PhantomError):  # noqa: N818 - says what happened
    """No studio answered at PHANTOM_URL."""


class ProblemError(PhantomError):
    """The studio refused a request, and said why (an RFC 9457 problem).

    status: the HTTP status; errors: [{pointer, detail}] for single fields; request_id: finds it in the studio's log.
    """

    def __init__(self, problem: dict[str, Any]) -> None:
        self.status = int(problem.get("status", 0))
        self.title = str(problem.get("title", ""))
        self.errors: list[dict[str, str]] = list(problem.get("errors", []))
        self.request_id = str(problem.get("request_id", ""))
        super().__init__(_sentence(problem, self.errors), hint=str(problem.get("hint", "")))


class NoToken(PhantomError):  # noqa: N818 - says what happened
    """PHANTOM_TOKEN is not set, and no token was given."""


class NameTaken(PhantomError):  # noqa: N818 - says what happened
    """A dataset of this name is there already."""


class JobFailed(PhantomError):  # noqa: N818 - says what happened
    """A job ended without making what was waited for. `job` is the job; `code` the kind of failure, or "cancelled"."""

    def __init__(self, message: str, *, hint: str, code: str, job: Any) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.job = job


def _sentence(problem: dict[str, Any], errors: list[dict[str, str]]) -> str:
    """The detail, and the other fields that are wrong, one a line."""
    detail = str(problem.get("detail", "")) or str(problem.get("title", "The studio refused this."))
    rest = [f"{error['pointer']}: {error['detail']}" for error in errors if error["detail"] not in detail]
    return "\n".join([detail, *rest])
