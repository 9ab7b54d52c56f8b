"""A real studio on loopback: uvicorn in a thread, and a thread that does the jobs of the io queue as a worker would."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
from phantom import Studio
from PIL import Image as PillowImage

from app.core.config import Settings
from app.core.db import Database
from app.core.storage import Storage, make_storage
from app.main import create_app
from app.services import tokens
from app.services.identity import Identity
from models import Queue
from tests import factories
from tests.lab import Lab, make_lab
from workers.runner import Runner


class Served(NamedTuple):
    """A studio that answers. read_token may not change anything."""

    url: str
    token: str
    read_token: str
    database: Database
    storage: Storage
    who: Identity
    settings: Settings


@pytest.fixture(autouse=True)
def asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in this process asks after its jobs more often than it would a studio at work."""
    monkeypatch.setattr("phantom.jobs.POLL_S", (0.05, 0.5))
    monkeypatch.setattr("phantom.studies.POLL_S", 0.1)


@pytest.fixture
def import_roots() -> str:
    """PHANTOM_IMPORT_ROOTS of the studio that is served."""
    return ""


@pytest.fixture
def served(tmp_path: Path, import_roots: str, sqlite_template: Path) -> Iterator[Served]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path / "data",
        database_url=f"sqlite:///{tmp_path / 'studio.sqlite3'}",
        import_roots=import_roots,
    )
    shutil.copyfile(sqlite_template, tmp_path / "studio.sqlite3")
    database = Database(settings.database_url)
    with database.write() as session:
        who = factories.identity(session)
        _, token = tokens.create(session, who, name="test", scopes=["read", "write"], expires_in_days=None)
        _, read_token = tokens.create(session, who, name="reader", scopes=["read"], expires_in_days=None)
    with _listening(settings) as url:
        yield Served(url, token, read_token, database, make_storage(settings), who, settings)
    database.dispose()


class _listening:
    """uvicorn on a free port of loopback, in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._server = uvicorn.Server(
            uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


@pytest.fixture
def worker(served: Served) -> Iterator[Runner]:
    """Imports, and whatever else waits in the io queue, are done within a moment."""
    runner = Runner(
        settings=served.settings,
        database=served.database,
        storage=served.storage,
        queues=[Queue.IO],
        owner="test",
        device=lambda: "cpu",
    )
    thread = threading.Thread(target=_work, args=(runner,), daemon=True)
    thread.start()
    yield runner
    runner.stop()
    thread.join(timeout=30)


def _work(runner: Runner) -> None:
    while not runner.stopping:
        runner.run_waiting()
        time.sleep(0.05)


@pytest.fixture
def studio(served: Served) -> Iterator[Studio]:
    with Studio(served.url, served.token) as studio:
        yield studio


@pytest.fixture
def lab(served: Served) -> Lab:
    with served.database.write() as session:
        return make_lab(session, served.who, served.storage)


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """A function that draws a folder of two classes: draw("name", per_class=5)."""

    def make(name: str = "shapes", *, per_class: int = 10) -> Path:
        folder = tmp_path / name
        for label, kind in enumerate(("disc", "ring")):
            (folder / kind).mkdir(parents=True)
            for number in range(per_class):
                pixels = factories.drawing(label, 100 * label + number)[..., 0]
                PillowImage.fromarray(pixels).save(folder / kind / f"{number:03d}.png")
        return folder

    return make
