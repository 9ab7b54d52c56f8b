"""Jobs: work that goes on in the studio whether or not anybody waits for it."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from phantom.errors import JobFailed, StudioUnreachable
from phantom.progress import Progress
from phantom.transport import Transport

T = TypeVar("T")
FINISHED = frozenset({"succeeded", "failed", "cancelled"})
PATIENCE_S = 300.0
POLL_S = (0.3, 2.0)


class Job(Generic[T]):
    """One job. `data` is what the studio last said of it; every property reads that, and `refresh` asks again."""

    def __init__(self, transport: Transport, data: dict[str, Any], made: Callable[[dict[str, Any]], T]) -> None:
        self._transport = transport
        self._made = made
        self.data = data

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.kind}: {self.state}>"

    @property
    def id(self) -> int:
        return int(self.data["id"])

    @property
    def kind(self) -> str:
        return str(self.data["kind"])

    @property
    def title(self) -> str:
        return str(self.data["title"])

    @property
    def state(self) -> str:
        """waiting (for other jobs), queued, running, paused, succeeded, failed or cancelled."""
        return str(self.data["state"])

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked for, with every default written out."""
        return dict(self.data["spec"])

    @property
    def url(self) -> str:
        """Its page in the browser."""
        return self._transport.url + str(self.data["url"])

    def refresh(self) -> "Job[T]":
        """Ask the studio how the job stands now."""
        self.data = self._transport.get(f"/api/v1/jobs/{self.id}")
        return self

    def wait(self, *, timeout_s: float | None = None, progress: bool = True) -> T:
        """Wait until the job has ended, with a progress bar, and return what it made.

        Ctrl-C stops waiting, not the job. A studio that cannot be reached is asked again for five minutes.

        Raises JobFailed with the reason if the job failed or was cancelled, TimeoutError after `timeout_s`.
        """
        began, pause_s = time.monotonic(), POLL_S[0]
        with Progress(self.title or self.kind, quiet=not progress) as shown:
            try:
                while not self.is_finished:
                    shown.show(self.data)
                    if timeout_s is not None and time.monotonic() - began > timeout_s:
                        raise TimeoutError(f"Job {self.id} is still {self.state} after {timeout_s:.0f} s; it goes on.")
                    time.sleep(pause_s)
                    pause_s = min(pause_s * 1.3, POLL_S[1])
                    self._refresh_patiently(shown)
            except KeyboardInterrupt:
                shown.say(f"No longer waiting. Job {self.id} goes on: {self.url}")
                raise
            shown.show(self.data)
        return self.made()

    def made(self) -> T:
        """What the finished job made; JobFailed if it failed or was cancelled."""
        if self.state == "succeeded":
            return self._made(self.data["result"] or {})
        if self.state == "cancelled":
            raise JobFailed(f"Job {self.id} was cancelled.", hint="", code="cancelled", job=self)
        if self.state != "failed":
            raise JobFailed(
                f"Job {self.id} is {self.state}: it has not ended.", hint="Call wait().", code="unfinished", job=self
            )
        error = self.data["error"] or {}
        reason = error.get("detail") or error.get("title") or "no reason was given"
        raise JobFailed(
            f"Job {self.id} ({self.kind}) failed: {reason}",
            hint=error.get("hint", ""),
            code=error.get("code", ""),
            job=self,
        )

    def _refresh_patiently(self, shown: Progress) -> None:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.refresh()
                return
            except StudioUnreachable:
                if time.monotonic() > until:
                    raise
                shown.say(f"The studio cannot be reached; job {self.id} may be going on. Trying again.")
                time.sleep(POLL_S[1])

    def cancel(self) -> "Job[T]":
        """Stop it and keep nothing."""
        return self._act("cancel")

    def stop(self) -> "Job[T]":
        """Stop it and keep what there is."""
        return self._act("stop")

    def pause(self) -> "Job[T]":
        return self._act("pause")

    def resume(self) -> "Job[T]":
        return self._act("resume")

    def retry(self) -> "Job[T]":
        """Try a failed job once more."""
        return self._act("retry")

    def _act(self, action: str) -> "Job[T]":
        self.data = self._transport.post(f"/api/v1/jobs/{self.id}/{action}")
        return self

    def metrics(self, *, max_points: int = 1000) -> dict[str, list[tuple[int, float]]]:
        """Its curves by name, each a list of (step, value)."""
        curves = self._transport.get(f"/api/v1/jobs/{self.id}/metrics", max_points=max_points)["curves"]
        return {name: [(point["step"], point["value"]) for point in points] for name, points in curves.items()}

    def events(self, *, follow: bool = False) -> Iterator[dict[str, Any]]:
        """What happened, in order: {number, kind, data, created_at}. With `follow`, until the job has ended."""
        after = 0
        while True:
            page = self._transport.get(f"/api/v1/jobs/{self.id}/events", after=after)
            yield from page["items"]
            after = page["last"]
            if not page["items"] and (page["finished"] or not follow):
                return
            if not page["items"]:
                time.sleep(1.0)
