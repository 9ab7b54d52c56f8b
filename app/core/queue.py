"""Hand jobs to workers once their rows are committed.

A message that overtakes its row finds no row; a message whose row was rolled back runs work nobody asked for. So
`ring_after_commit` only notes the job on the session, and the session's own commit rings, from a thread of its own:
a broker that is down or slow costs the person who submits nothing, and the sweeper rings again later.
"""

import queue as queues
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from celery import Celery
from kombu.entity import Exchange
from kombu.entity import Queue as BrokerQueue
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from app.core import broker
from app.core.config import Settings
from app.core.db import Database
from models import Job, Queue

TASK = "workers.run"
NOTES = "rings"
DOWN_S = 1.0  # after a failure the broker is left alone so long; the sweeper rings again
log = structlog.get_logger(__name__)


class Ring(NamedTuple):
    job_id: int
    queue: Queue


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Settings of producers and workers alike. Nothing is ever acknowledged late, retried or scheduled by the broker."""
    return {
        "broker_url": broker.broker_url(settings),
        "broker_transport_options": broker.transport_options(settings),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 2,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_create_missing_queues": False,
        "task_queues": [_declare(str(name)) for name in Queue],
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.2, "interval_step": 0},
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": broker.broker_url(settings).startswith("redis"),
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_redirect_stdouts": False,
    }


def _declare(name: str) -> Any:
    make_queue: Any = BrokerQueue  # kombu has no types for its constructors
    make_exchange: Any = Exchange
    # no_ack: a worker whose broker died while it worked could not acknowledge, and Celery would then wait for that for ever.
    return make_queue(name, make_exchange(name), routing_key=name, no_ack=True)


class Doorbell:
    """Rings workers from a background thread; what cannot be rung is left to the sweeper."""

    def __init__(self, settings: Settings) -> None:
        self._app = Celery("phantom-doorbell", set_as_current=False)
        self._app.conf.update(celery_settings(settings))
        self._waiting: queues.SimpleQueue[Callable[[], None] | None] = queues.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._down_until = float("-inf")

    def ring(self, job_id: int, queue: Queue) -> None:
        """Tell the workers of `queue` that the job waits; returns at once, and never raises."""
        self._later(lambda: self._publish(job_id, queue))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything rung so far has been tried; False if that takes longer than `timeout_s`."""
        done = threading.Event()
        self._later(done.set)
        return done.wait(timeout_s)

    def close(self) -> None:
        """Try what is still to be rung for a moment, then let go of the broker."""
        self.flush(2)
        self._waiting.put(None)
        self._app.close()

    def answers(self) -> bool:
        """Whether the broker can be reached."""
        return self.num_waiting(Queue.IO) is not None

    def num_waiting(self, queue: Queue) -> int | None:
        """Messages in the broker that no worker has taken yet; None if the broker cannot be reached."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=2)
                (declared,) = [q for q in self._app.conf.task_queues if q.name == queue]
                return int(declared(connection.default_channel).queue_declare(passive=False).message_count)
        except Exception as error:  # whatever the transport raises: the broker cannot be asked
            log.warning("broker_unreachable", error=str(error))
            return None

    def _later(self, action: Callable[[], None]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="doorbell", daemon=True)
                self._thread.start()
        self._waiting.put(action)

    def _work(self) -> None:
        while action := self._waiting.get():
            action()

    def _publish(self, job_id: int, queue: Queue) -> None:
        if time.monotonic() < self._down_until:
            return  # many jobs submitted at once do not each wait for a broker that has just failed
        try:
            self._app.send_task(TASK, args=[job_id], queue=str(queue))
        except Exception as error:  # whatever the transport raises, the row is safe and will be rung again
            self._down_until = time.monotonic() + DOWN_S
            log.warning("doorbell_not_rung", job_id=job_id, queue=str(queue), error=str(error))


def ring_after_commit(session: Session, job: Job) -> None:
    """Ring for `job` when the session's transaction commits; forget it if that is rolled back."""
    session.flush()
    transaction = session.get_nested_transaction() or session.get_transaction()
    session.info.setdefault(NOTES, []).append((transaction, Ring(job.id, job.queue)))


def attach(database: Database, doorbell: Doorbell) -> None:
    """From now on the commits of `database` ring `doorbell`. Without it, jobs wait for the sweeper."""

    def after_commit(session: Session) -> None:
        if session.in_nested_transaction():
            return  # only a savepoint was released
        for _, ring in session.info.pop(NOTES, []):
            doorbell.ring(*ring)

    event.listen(database.sessions, "after_commit", after_commit)
    event.listen(database.sessions, "after_soft_rollback", _forget)


def _forget(session: Session, ended: SessionTransaction) -> None:
    notes = session.info.get(NOTES, [])
    session.info[NOTES] = [note for note in notes if ended.nested and not _is_within(note[0], ended)]


def _is_within(transaction: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while transaction is not None:
        if transaction is outer:
            return True
        transaction = transaction.parent
    return False
