"""Show how far a job is: a bar on a terminal; elsewhere a plain line now and then, fit for a log file."""

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

LINE_EVERY_S = 15.0


class Progress:
    """Use as a context; call show() with each answer about the job. Writes to stderr, so stdout stays for results."""

    def __init__(self, title: str, *, quiet: bool) -> None:
        self._title = title
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._bar: RichProgress | None = None
        self._last_line = ""
        self._last_at = float("-inf")
        self._last_state = ""

    def __enter__(self) -> "Progress":
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar(self._console)
            self._task = self._bar.add_task(self._title, total=None, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, job: dict[str, Any]) -> None:
        """job: as the REST API gives it."""
        if self._quiet:
            return
        note = _note(job)
        if self._bar is not None:
            done = job["total"] if job["state"] == "succeeded" else job["done"]
            self._bar.update(self._task, total=job["total"], completed=done, note=note)
            return
        now = time.monotonic()
        if job["state"] != self._last_state or now - self._last_at >= LINE_EVERY_S:
            self._last_state, self._last_at = job["state"], now
            self.say(f"{self._title}: {note}")

    def count(self, note: str, done: int, total: int) -> None:
        """Something that the script itself does: `done` of `total`; note: in words."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.update(self._task, total=total, completed=done, note=note)
        elif done == total or time.monotonic() - self._last_at >= LINE_EVERY_S:
            self._last_at = time.monotonic()
            self.say(f"{self._title}: {note}")

    def say(self, line: str) -> None:
        """A line of its own, unless it was the last one."""
        if not self._quiet and line != self._last_line:
            self._last_line = line
            self._console.print(line, markup=False, soft_wrap=True)


def _bar(console: Console) -> RichProgress:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    return RichProgress(*columns, TextColumn("{task.fields[note]}", markup=False), console=console)


def _note(job: dict[str, Any]) -> str:
    """State, count and time left: `running, 120 of 300 steps, 50 to 70 s left`."""
    parts = [str(job["state"])]
    before = (job.get("queue_position") or 1) - 1
    if job["state"] == "queued" and before:
        parts.append(f"{before} before it")
    if job["total"] and job["state"] == "running":
        parts.append(f"{job['done']} of {job['total']} {job['unit']}")
    if job.get("time_left") and job["state"] == "running":
        parts.append(_left(job["time_left"]["low_s"], job["time_left"]["high_s"]))
    return ", ".join(parts)


def _left(low_s: float, high_s: float) -> str:
    if high_s < 120:
        return f"{low_s:.0f} to {high_s:.0f} s left"
    if high_s < 7200:
        return f"{low_s / 60:.0f} to {high_s / 60:.0f} min left"
    return f"{low_s / 3600:.1f} to {high_s / 3600:.1f} h left"
