"""A worker process: `python -m workers --queues gpu`. People start it as `python -m app worker --queues gpu`.

Thread counts must stand in the environment before torch is imported, and torch only in a worker that computes.
"""

import argparse
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

import structlog
from celery import signals
from celery.platforms import SecurityWarning

from app.core.config import Settings
from app.core.db import Database
from app.core.logging import configure_logging
from app.core.parent import stop_with_parent
from app.core.queue import Doorbell, attach
from app.core.storage import make_storage
from app.core.sweeper import Sweeper
from models import JobKind, Queue
from workers import device
from workers.celery_app import make_celery
from workers.presence import Presence
from workers.runner import JobFunction, Runner, run_function
from workers.tasks import register

log = structlog.get_logger(__name__)


def main(arguments: list[str] | None = None, *, functions: Callable[[JobKind], JobFunction] = run_function) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Celery has its own handler, there is nothing to save
    options = _parse(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    settings = Settings()
    queues = [Queue(name) for name in options.queues.split(",")]
    configure_logging(settings, process=f"worker {options.queues}")
    if options.parent_fd is not None:
        stop_with_parent(options.parent_fd)
    return _work(settings, queues, options, functions)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description="Do jobs.")
    parser.add_argument("--queues", required=True, help=f"comma-separated: {', '.join(Queue)}")
    parser.add_argument("--name", help="name shown on the page of workers")
    parser.add_argument("--token", default="", help=argparse.SUPPRESS)  # by which its parent knows its leases
    parser.add_argument("--parent-fd", type=int, help=argparse.SUPPRESS)  # a pipe that closes when its parent dies
    return parser.parse_args(arguments)


def _work(
    settings: Settings, queues: list[Queue], options: argparse.Namespace, functions: Callable[[JobKind], JobFunction]
) -> int:
    database = Database(settings.effective_database_url)
    doorbell = Doorbell(settings)
    attach(database, doorbell)
    owner = owner_name(options.token)
    runner = Runner(
        settings=settings, database=database, storage=make_storage(settings), queues=queues, owner=owner,
        device=_device_for(queues), functions=functions,
    )  # fmt: skip
    _stop_on_signals(runner)
    found = device.measure_device() if Queue.GPU in queues else device.without_numerics()
    presence = Presence(database, name=options.name or f"{options.queues} on {owner}", queues=queues, device=found)
    sweeper = Sweeper(database, doorbell, settings)
    presence.start()
    sweeper.start()
    log.info("worker_ready", owner=owner, device=found.text, gflops=round(found.gflops, 1))
    try:
        return _consume(settings, runner, queues, owner)
    finally:
        presence.leave()
        sweeper.stop()
        doorbell.close()
        database.dispose()


def owner_name(token: str) -> str:
    """Host, process and a token of this start: no two workers ever share it."""
    return f"{socket.gethostname()}:{os.getpid()}:{token or os.urandom(4).hex()}"


def _device_for(queues: list[Queue]) -> Any:
    """How a job learns its device; asking loads torch, so a worker of the io queue alone never does."""
    return device.name_device if set(queues) - {Queue.IO} else lambda: "cpu"


def _stop_on_signals(runner: Runner) -> None:
    """TERM, for which Celery installs its handlers when it starts, tells the runner."""
    signals.worker_shutting_down.connect(lambda **_: runner.stop(), weak=False)
    signals.setup_logging.connect(lambda **_: None, weak=False)  # Celery leaves logging as it is


def _consume(settings: Settings, runner: Runner, queues: list[Queue], owner: str) -> int:
    """Wait for doorbells until told to stop; returns the exit code."""
    # Celery warns of root because of pickle; messages here are JSON, and hold one number.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    celery = make_celery(settings)
    register(celery, runner)
    worker = celery.Worker(
        hostname=owner.replace(":", "-"), pool="solo", concurrency=1, queues=[str(queue) for queue in queues], loglevel="WARNING",
        without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True,
    )  # fmt: skip
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
