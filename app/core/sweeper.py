"""A thread that puts right what died: expired leases go back to the queue, forgotten doorbells are rung again, and
once an hour uploads that nobody goes on with are discarded.

Every process may run one; the rows decide, so several at once do no harm.
"""

import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core import leases, states
from app.core.abandoned import discard_abandoned
from app.core.config import Settings
from app.core.db import Database
from app.core.queue import Doorbell
from models import Queue
from models.job import SWEEP_S

TIDY_S = 3600.0
log = structlog.get_logger(__name__)


class Sweeper:
    def __init__(self, database: Database, doorbell: Doorbell, settings: Settings) -> None:
        self._database = database
        self._doorbell = doorbell
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _work(self) -> None:
        tidied_at = -TIDY_S
        while True:
            try:
                sweep(self._database, self._doorbell)
                if time.monotonic() - tidied_at >= TIDY_S:
                    tidied_at = time.monotonic()
                    tidy(self._database, self._settings)
            except SQLAlchemyError as error:  # the next round comes in ten seconds
                log.warning("sweep_failed", error=str(error))
            if self._stopping.wait(SWEEP_S):
                return


def sweep(database: Database, doorbell: Doorbell) -> None:
    """One round: take jobs away from silent workers, settle what nobody told that it can begin, then ring."""
    with database.read() as session:
        needed, forgotten = leases.needs_sweep(session), states.has_ready(session)
    if needed:
        with database.write() as session:
            for job in leases.sweep(session):
                log.warning("lease_expired", job_id=job.id, attempt=job.attempt, state=str(job.state))
    if forgotten:
        with database.write() as session:
            for job in states.release_ready(session):
                log.warning("waiting_job_settled", job_id=job.id, state=str(job.state))
    for queue in Queue:
        _ring_again(database, doorbell, queue)


def tidy(database: Database, settings: Settings) -> None:
    for upload_id in discard_abandoned(database, settings):
        log.info("upload_discarded", upload_id=upload_id, untouched_days=settings.upload_days)


def _ring_again(database: Database, doorbell: Doorbell, queue: Queue) -> None:
    """Ring for waiting jobs, unless as many messages already lie in the broker (the workers are busy then)."""
    with database.read() as session:
        job_ids = leases.unrung(session, queue)
    num_waiting = doorbell.num_waiting(queue) if job_ids else None
    if num_waiting is None:
        return
    for job_id in job_ids[num_waiting:]:
        doorbell.ring(job_id, queue)
    with database.write() as session:
        leases.note_rung(session, job_ids)
