"""How fast a job goes, and whether something that is nice to have may take its time now."""

import time
from collections import deque

WINDOW_S = 10.0
COSTLY_SHARE = 0.1


class Pace:
    """Units a second over the last ten seconds; what a job did before it was resumed does not count."""

    def __init__(self, done: int) -> None:
        self._points: deque[tuple[float, int]] = deque([(time.monotonic(), done)])

    def tick(self, done: int) -> float:
        """Note that `done` units are done now; returns units/s."""
        now = time.monotonic()
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[1][0] > WINDOW_S:
            self._points.popleft()
        then, before = self._points[0]
        return (done - before) / max(now - then, 1e-6)


class Allowance:
    """Lets something happen again once it costs no more than a tenth of the time since it last did."""

    def __init__(self) -> None:
        self._cost_s = 0.0
        self._ended = time.monotonic()
        self._begun = self._ended

    @property
    def is_affordable(self) -> bool:
        return (time.monotonic() - self._ended) * COSTLY_SHARE >= self._cost_s * (1 - COSTLY_SHARE)

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._ended = time.monotonic()
        self._cost_s = self._ended - self._begun
