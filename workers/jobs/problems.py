"""Turn what numerics raise into words for the person who asked.

Numerics raise ValueError for a caller's mistake; in a job the caller is a spec, so the person can mend it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from app.core.errors import BadInputError, StudioError
from workers.failures import is_out_of_memory

log = structlog.get_logger(__name__)


class OutOfMemoryError(StudioError):
    status = 507
    code = "out-of-memory"
    title = "Memory ran out"


@contextmanager
def explained(*, lower: str) -> Iterator[None]:
    """Reword ValueError, diverged training and exhausted memory. lower: what to make smaller when memory runs out."""
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        log.warning("numerics_refused", exc_info=True)  # for us: the person sees the sentence only
        raise BadInputError(str(error)) from error
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        first_line = (str(error).strip().splitlines() or ["no more is to be had"])[0][:300]
        raise OutOfMemoryError(
            f"The device has too little memory for this job: {first_line}", hint=f"Lower {lower}, then try again."
        ) from error
