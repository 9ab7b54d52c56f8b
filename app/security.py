"""What every request and response goes through: cross-site checks, security headers and a request id.

Written as plain ASGI, because Starlette's BaseHTTPMiddleware buffers event streams. The cross-site rule is
Sec-Fetch-Site, then Origin = Host; a request with neither comes from a script, not from a browser, and
carries no cookie that it did not put there itself. app.main puts the Guard outside of all other middleware, so that
the answer to an error that nobody caught goes through it as well.
"""

import secrets
import threading
import time
from collections import deque
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import TooManyRequestsError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "private, no-cache",
}
DAY_S = 86_400


def comes_from_elsewhere(method: str, headers: Headers) -> bool:
    """Whether a browser sent this unsafe request on behalf of another site."""
    if method in SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class Guard:
    """Refuses cross-site requests and completes the headers of every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = request_id = secrets.token_hex(8)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _complete(MutableHeaders(scope=message), request_id, scope.get("scheme") == "https")
            await send(message)

        if comes_from_elsewhere(scope["method"], Headers(scope=scope)):
            refusal = PlainTextResponse("Refused: this request was sent by another web site.\n", status_code=403)
            await refusal(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def _complete(headers: MutableHeaders, request_id: str, over_tls: bool) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers["X-Request-ID"] = request_id
    if over_tls:
        headers.setdefault("Strict-Transport-Security", f"max-age={365 * DAY_S}")


class RateLimit:
    """At most `times` calls of `check` in `within_s` seconds for each caller, in this process."""

    def __init__(self, *, times: int, within_s: float) -> None:
        self._times = times
        self._within_s = within_s
        self._calls: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def check(self, caller: str) -> None:
        """Raises TooManyRequestsError when the caller has used up its calls."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            calls = self._calls.setdefault(caller, deque())
            if len(calls) >= self._times:
                raise TooManyRequestsError(
                    f"{self._times} attempts were made within {self._within_s:.0f} s.",
                    hint=f"Wait {self._within_s - (now - calls[0]):.0f} s, then try again.",
                )
            calls.append(now)

    def _forget(self, now: float) -> None:
        for caller, calls in list(self._calls.items()):
            while calls and now - calls[0] > self._within_s:
                calls.popleft()
            if not calls:
                del self._calls[caller]
