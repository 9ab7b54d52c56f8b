"""What a running job sees of the studio: where to write, whom to tell, and when to stop.

Nothing here waits for the database while numerics run: `report` only notes what is new and looks at flags, and
a thread of the runner writes it down, keeps the lease and reads what people ask for. A job stops by an exception
out of `report`, which is a safe place: between two steps.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core import journal, leases
from app.core.config import Settings
from app.core.db import Database
from app.core.journal import Entry
from app.core.leases import Lease
from app.core.storage import Storage
from models import Artifact, Job, Metric
from models.specs import JobSpec

Recorder = Callable[[Session, Job], dict[str, Any]]
MAX_MESSAGE = 1000


class JobInterrupted(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The job must end here, for a reason that is not its own."""


class JobCancelled(JobInterrupted):
    """A person does not want it any more; keep nothing."""


class JobPaused(JobInterrupted):
    """A person will go on with it later; it has saved a checkpoint."""


class JobReleased(JobInterrupted):
    """This worker is being stopped; the job has saved a checkpoint and another worker goes on."""


class LeaseLost(JobInterrupted):
    """Somebody else has the job now; whatever this attempt writes changes nothing."""


@dataclass
class Flags:
    """What the job has been told. Each is written by one thread only, so none needs a lock."""

    lost: bool = False  # the lease
    cancel: bool = False
    release: bool = False  # the worker is being stopped
    pause: bool = False
    stop: bool = False  # and keep


class JobContext:
    def __init__(
        self,
        *,
        lease: Lease,
        project_id: int,
        spec: JobSpec,
        database: Database,
        storage: Storage,
        settings: Settings,
        device: str,
    ) -> None:
        self.job_id = lease.job_id
        self.attempt = lease.attempt
        self.project_id = project_id
        self.spec = spec
        self.database = database
        self.storage = storage
        self.settings = settings
        self.device = device
        self.folder = settings.jobs_dir / str(lease.job_id) / str(lease.attempt)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.flags = Flags()
        self._lease = lease
        self._lock = threading.Lock()
        self._progress: dict[str, Any] = {}
        self._metrics: dict[tuple[str, int], float] = {}
        self._entries: list[Entry] = []
        self._save: Callable[[], None] | None = None
        self._saving = False

    def report(
        self,
        done: int,
        total: int | None = None,
        *,
        message: str | None = None,
        rate: float | None = None,
        unit: str | None = None,
    ) -> None:
        """Say how far the job is; call it after every step. Costs nothing, and raises a JobInterrupted to end the job.

        done, total: in `unit` (steps, images, files ...). rate: units/s. What is None stays as it was.
        """
        news = {"done": done, "total": total, "message": message, "rate": rate, "unit": unit}
        with self._lock:
            self._progress.update({name: value for name, value in news.items() if value is not None})
        self.check()

    def check(self) -> None:
        """Raise a JobInterrupted if the job must end here; `report` does so, too."""
        if self._saving:
            return
        flags = self.flags
        if flags.lost:
            raise LeaseLost
        if flags.cancel:
            raise JobCancelled
        if flags.release or flags.pause:
            self._interrupt(JobReleased if flags.release else JobPaused)

    def _interrupt(self, how: type[JobInterrupted]) -> NoReturn:
        if self._save is not None:
            self._saving = True  # the callback may report
            self._save()
        raise how

    @property
    def should_stop(self) -> bool:
        """Whether a person asked to stop and keep: finish the step and end with what there is."""
        return self.flags.stop

    def on_interrupt(self, save: Callable[[], None]) -> None:
        """`save` writes a checkpoint; it is called in `report`, before the job is paused or goes to another worker."""
        self._save = save

    def checkpoint_folders(self) -> list[Path]:
        """The `checkpoints/` folders of this and earlier attempts that exist, newest attempt first."""
        attempts = sorted((int(f.name) for f in self.folder.parent.iterdir() if f.name.isdigit()), reverse=True)
        folders = [self.folder.parent / str(attempt) / "checkpoints" for attempt in attempts if attempt <= self.attempt]
        return [folder for folder in folders if folder.is_dir()]

    def resumed_from(self, done: int) -> None:
        """Say that this attempt goes on where an earlier one was: `done` in the job's unit, as that one reported it."""
        with self.database.read() as session:
            unit = session.get_one(Job, self.job_id).unit
        with self._lock:
            self._progress["resumed_from"] = done
            unit = self._progress.get("unit", unit)
        self.log(_going_on(done, unit))

    def metric(self, step: int, **values: float) -> None:
        """One point for each named curve at `step`."""
        with self._lock:
            self._metrics.update({(name, step): float(value) for name, value in values.items()})

    def log(self, text: str, level: str = "info") -> None:
        """A line in the job's log. level: info, warning or error."""
        with self._lock:
            self._entries.append(Entry("log", {"level": level, "text": text}))

    def publish(
        self,
        role: str,
        index: int,
        content: bytes | Path,
        *,
        name: str,
        media_type: str,
        data: dict[str, Any] | None = None,
    ) -> None:
        """Show a file at once, before the job ends; publishing (role, index) again replaces it.

        Raises LeaseLost if the job is somebody else's by now, DiskFullError if there is no room.
        """
        stored = self.storage.put(content)
        key = {"job_id": self.job_id, "role": role, "index": index}
        values = {
            "name": name,
            "media_type": media_type,
            "size": stored.size,
            "sha256": stored.sha256,
            "data": data or {},
        }
        entry = Entry(
            "preview" if role == "preview" else "artifact", {"role": role, "index": index, "name": name, **values}
        )
        with self.database.write() as session:
            if not leases.beat(session, self._lease):
                self.flags.lost = True
                raise LeaseLost
            _upsert(session, Artifact.__table__, [key | values], key=list(key))
            journal.write(session, self.job_id, [entry])

    def flush(self) -> bool:
        """Write down what is new and keep the lease; False if the lease is lost. The runner calls it."""
        with self._lock:
            progress, self._progress = self._progress, {}
            metrics, self._metrics = self._metrics, {}
            entries, self._entries = self._entries, []
        if progress:
            entries.append(Entry("progress", progress))
        try:
            return self._write(progress, metrics, entries)
        except BaseException:
            self._put_back(progress, metrics, [entry for entry in entries if entry.kind != "progress"])
            raise

    def _write(self, progress: dict[str, Any], metrics: dict[tuple[str, int], float], entries: list[Entry]) -> bool:
        with self.database.write() as session:
            if not leases.beat(session, self._lease, **progress):
                return False
            rows = [
                {"job_id": self.job_id, "name": name, "step": step, "value": value}
                for (name, step), value in metrics.items()
            ]
            _upsert(session, Metric.__table__, rows, key=["job_id", "name", "step"])
            if entries:
                journal.write(session, self.job_id, entries)
        return True

    def _put_back(self, progress: dict[str, Any], metrics: dict[tuple[str, int], float], entries: list[Entry]) -> None:
        """Keep what could not be written for the next time; what was said meanwhile is newer."""
        with self._lock:
            self._progress = progress | self._progress
            self._metrics = metrics | self._metrics
            self._entries = entries + self._entries

    @property
    def has_news(self) -> bool:
        return bool(self._progress or self._metrics or self._entries)


def _upsert(session: Session, table: Any, rows: list[dict[str, Any]], *, key: list[str]) -> None:
    """Insert rows, or replace those with the same `key`."""
    if not rows:
        return
    assert isinstance(table, Table)
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    changes = {name: statement.excluded[name] for name in rows[0] if name not in key}
    session.execute(statement.on_conflict_do_update(index_elements=key, set_=changes), rows)


def _going_on(done: int, unit: str) -> str:
    if unit == "steps":
        return f"Going on from the checkpoint of step {done:,}."
    return f"Going on after {done:,} {unit.removesuffix('s') if done == 1 else unit} of an earlier attempt."
