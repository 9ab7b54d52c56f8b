"""Requests to one studio: token, problems as exceptions, and patience with a connection that breaks.

A request is sent again only where that is safe: reading, and whatever carries an Idempotency-Key or an offset.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2

from phantom.errors import NoToken, ProblemError, StudioUnreachable

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx2.Timeout(60.0, connect=5.0)
PAUSES_S = (0.2, 0.5, 1.0)
BUSY = frozenset({502, 503, 504})


class Transport:
    """Speaks JSON with the studio at `url`."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.url = (url or os.environ.get("PHANTOM_URL") or DEFAULT_URL).rstrip("/")
        token = token or os.environ.get("PHANTOM_TOKEN")
        if not token:
            raise NoToken(
                "There is no API token.",
                hint="Make one with `python -m app tokens create --name my-script` where the studio runs, "
                "and set it as PHANTOM_TOKEN.",
            )
        self._client = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON at `path`; parameters that are None are left out."""
        return self.send("GET", path, params=_given(params), again=True).json()

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """Send `body` as JSON. It is sent again after a broken connection only if it carries an Idempotency-Key."""
        response = self.send("POST", path, json=body, headers=headers or {}, again="Idempotency-Key" in (headers or {}))
        return response.json() if response.content else None

    def pages(self, path: str, *, limit: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, at most `limit` in all."""
        left, cursor = limit, None
        while left is None or left > 0:
            page = self.get(path, cursor=cursor, limit=min(left or 500, 500), **params)
            yield from page["items"]
            cursor = page["next_cursor"]
            left = None if left is None else left - len(page["items"])
            if cursor is None:
                return

    def send(self, method: str, path: str, *, again: bool, **options: Any) -> httpx2.Response:
        """One request; ProblemError if the studio refuses it, StudioUnreachable if none answers."""
        return self._patiently(lambda: self._client.request(method, path, **options), again=again)

    @contextmanager
    def stream(
        self, path: str, *, read_timeout_s: float = 60.0, headers: dict[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        """The response at `path`, whose body is read as it comes."""
        timeout = httpx2.Timeout(read_timeout_s, connect=5.0)
        try:
            with self._client.stream("GET", path, headers=headers or {}, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                yield _checked(response)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def _patiently(self, request: Callable[[], httpx2.Response], *, again: bool) -> httpx2.Response:
        for pause_s in (*PAUSES_S, None):
            last = pause_s is None or not again
            try:
                response = request()
            except httpx2.TransportError as error:
                if last:
                    raise self._unreachable(error) from error
            else:
                if last or response.status_code not in BUSY:
                    return _checked(response)
            time.sleep(pause_s or 0)
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, error: Exception) -> StudioUnreachable:
        return StudioUnreachable(
            f"No studio answers at {self.url} ({error or type(error).__name__}).",
            hint="Is it running (python -m app up), and is PHANTOM_URL its address?",
        )


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _checked(response: httpx2.Response) -> httpx2.Response:
    if not response.is_error:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {
            "status": response.status_code,
            "detail": f"The studio answered {response.status_code} {response.reason_phrase}.",
        }
    raise ProblemError(problem)
