"""The one Celery task: look for work. The job id in the message says who rang, not what to run."""

from typing import Any

import structlog
from celery import Celery, signals
from celery.worker.consumer import Consumer

from app.core.queue import TASK
from models.job import SWEEP_S
from workers.runner import Runner

log = structlog.get_logger(__name__)


def register(celery: Celery, runner: Runner) -> None:
    """Let `celery` call `runner` for every doorbell."""

    @celery.task(name=TASK, shared=False)  # type: ignore[untyped-decorator]
    def run(job_id: int) -> None:
        """Do waiting jobs, best first, until none is left: the rung one may have been done long since."""
        num_done = runner.run_waiting()
        if not num_done:
            log.info("nothing_to_do", rung_by=job_id)

    def look_now_and_then(sender: Consumer, **_: Any) -> None:
        """Look for work without being rung, too: a worker that has gone deaf must not let jobs wait."""
        sender.timer.call_repeatedly(SWEEP_S, runner.run_waiting)

    signals.worker_ready.connect(look_now_and_then, weak=False)
