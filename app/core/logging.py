"""One way to log for web, workers and command line: structlog, as text for people or JSON for machines.

Records of the standard library's logging (uvicorn, Celery, SQLAlchemy) go through the same renderer.
"""

import logging
import sys
from typing import Any

import structlog

from app.core.config import Settings

SPEAKING = ("app", "workers", "__main__", "uvicorn", "celery.apps.worker")  # of all others, warnings only


def configure_logging(settings: Settings, *, process: str) -> None:
    """Log to standard error from now on; `process` (web, gpu worker ...) is named on every line."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(
            fmt="iso" if settings.log_format == "json" else "%H:%M:%S", utc=settings.log_format == "json"
        ),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _name(process),
                _renderer(settings),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in SPEAKING:
        logging.getLogger(name).setLevel(logging.INFO)


def _name(process: str) -> Any:
    """A processor that says which process speaks."""

    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "process": process}

    return add


def _renderer(settings: Settings) -> Any:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
