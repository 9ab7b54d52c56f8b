"""Say why a job failed, in words for the person who asked for it.

No numerics are imported for it: torch's errors are recognised by name and text.
"""

import errno
from typing import Any

from pydantic import ValidationError

from app.core.errors import StudioError

FULL = {errno.ENOSPC, errno.EDQUOT}
FULL_TEXTS = (
    "No space left on device",
    "database or disk is full",
    "code: 28",
    "Disk quota exceeded",
    "could not extend file",
)
MEMORY_TEXTS = ("can't allocate memory", "CUDA out of memory", "not enough memory")


def describe(error: BaseException) -> dict[str, Any]:
    """{code, title, detail, hint} of an error that ended a job."""
    if isinstance(error, StudioError):
        return {"code": error.code, "title": error.title, "detail": error.detail, "hint": error.hint}
    if is_disk_full(error):
        return _words(
            "disk-full",
            "The disk is full",
            _first_line(error),
            "Free some disk space, then try again: the job goes on from its last checkpoint.",
        )
    if is_out_of_memory(error):
        return _words(
            "out-of-memory",
            "Memory ran out",
            _first_line(error),
            "Ask for smaller images, a smaller network or a smaller batch; `accumulation` and `gradient_checkpointing` save memory, too.",
        )
    if isinstance(error, ValidationError):
        return _words(
            "bad-input",
            "The input cannot be used",
            str(error),
            "Ask for the job again with settings that this version knows.",
        )
    return _words(
        "internal-error",
        "Something unexpected went wrong",
        f"{type(error).__name__}: {_first_line(error)}",
        "The job's log says where. Try again; if it happens again, report it with the log.",
    )


def _words(code: str, title: str, detail: str, hint: str) -> dict[str, Any]:
    return {"code": code, "title": title, "detail": detail, "hint": hint}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


def is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return not isinstance(error, MemoryError) and any(text in str(error) for text in FULL_TEXTS)


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | OSError) and (
        any(text in str(error) for text in MEMORY_TEXTS) or getattr(error, "errno", None) == errno.ENOMEM
    )
