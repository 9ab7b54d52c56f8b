"""Say in the database that this worker is there, what it computes on, and every ten seconds that it still is."""

import threading

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Database
from models import Queue, Worker, db_now
from models.job import BEAT_S
from workers.device import Device

log = structlog.get_logger(__name__)


class Presence(threading.Thread):
    def __init__(self, database: Database, *, name: str, queues: list[Queue], device: Device) -> None:
        super().__init__(name="presence", daemon=True)
        self._database = database
        self._worker = name
        self._queues = queues
        self._device = device
        self._leaving = threading.Event()

    def run(self) -> None:
        while True:
            try:
                self.announce()
            except SQLAlchemyError as error:  # the next announcement comes in ten seconds
                log.warning("presence_failed", error=str(error))
            if self._leaving.wait(BEAT_S):
                return

    def announce(self) -> None:
        """Insert or refresh this worker's row."""
        device = self._device
        values = {
            "queues": [str(queue) for queue in self._queues], "device": device.text,
            "memory_bytes": device.memory_bytes, "gflops": device.gflops, "seen_at": db_now(),
        }  # fmt: skip
        with self._database.write() as session:
            known = session.scalar(select(Worker.id).where(Worker.name == self._worker))
            if known is None:
                session.add(Worker(name=self._worker, **values))
            else:
                session.execute(update(Worker).where(Worker.id == known).values(**values))

    def leave(self) -> None:
        """Take the row away: the worker stops."""
        self._leaving.set()
        if self.is_alive():
            self.join()
        with self._database.write() as session:
            session.execute(delete(Worker).where(Worker.name == self._worker))
