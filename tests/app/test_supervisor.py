"""The whole studio in one command, as a person starts it: real processes, a real Valkey, a real training."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from app import supervisor
from app.core import broker
from app.core.config import Settings
from app.core.db import Database
from app.core.queue import ring_after_commit
from app.core.storage import make_storage
from app.services import identity, jobs
from models import Job, JobState
from models.specs import TrainDiffusionSpec
from tests import factories
from workers.__main__ import owner_name

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)  # torch takes its time to load on a busy machine
LINK = re.compile(r"http://127\.0\.0\.1:(\d+)(/sign-in\S+)")


class Studio(NamedTuple):
    process: subprocess.Popen[bytes]
    settings: Settings
    port: int
    path: str  # of the one-time link
    log: Path
    started_within_s: float


def wait_until(condition: Callable[[], object], within_s: float, log: Path) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s} s:\n{log.read_text()[-5000:]}"
        time.sleep(0.1)


def start(folder: Path) -> Studio:
    log = folder / "studio.log"
    begun = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "up", "--data-dir", str(folder), "--port", "0"],
            cwd=ROOT,
            stdout=file,
            stderr=file,
        )
    wait_until(lambda: LINK.search(log.read_text()) or process.poll() is not None, 60, log)
    found = LINK.search(log.read_text())
    assert found, log.read_text()
    settings = Settings(_env_file=None, data_dir=folder)
    return Studio(process, settings, int(found[1]), found[2], log, time.monotonic() - begun)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = start(tmp_path)
    yield studio
    if studio.process.poll() is None:
        studio.process.terminate()
    studio.process.wait(60)


def child(studio: Studio, words: str) -> psutil.Process:
    found = [p for p in psutil.Process(studio.process.pid).children() if words in " ".join(p.cmdline())]
    assert len(found) == 1, (words, found)
    return found[0]


def has_children(studio: Studio, number: int) -> bool:
    return len(psutil.Process(studio.process.pid).children()) == number


def get(studio: Studio, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", studio.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_one_command_starts_everything_and_ctrl_c_stops_it_all(studio):
    assert get(studio, "/healthz") == 200
    assert get(studio, studio.path) in (200, 303)
    assert get(studio, studio.path) == 401  # once only
    wait_until(lambda: has_children(studio, 5), 30, studio.log)  # broker, web, three workers
    web = child(studio, "app web")
    assert web.memory_info().rss < 200e6
    assert not [region.path for region in web.memory_maps() if "torch" in region.path]
    children = psutil.Process(studio.process.pid).children(recursive=True)
    studio.process.send_signal(signal.SIGINT)
    assert studio.process.wait(60) == 0
    assert not [process for process in children if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert "has stopped" in studio.log.read_text()


def test_a_second_studio_on_the_same_folder_says_where_the_first_is(studio, tmp_path):
    second = subprocess.run(
        [sys.executable, "-m", "app", "up", "--data-dir", str(tmp_path), "--port", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert second.returncode == 1
    assert f"already runs on {tmp_path}" in second.stderr
    assert f"http://127.0.0.1:{studio.port}" in second.stderr


def submit_training(studio: Studio, num_steps: int) -> tuple[Database, identity.Identity, int]:
    database = Database(studio.settings.effective_database_url)
    with database.write() as session:
        who = identity.system(session)
        version = factories.dataset_with_version(session, who, num_images=20, storage=make_storage(studio.settings))
        spec = TrainDiffusionSpec(
            dataset_id=version.dataset_id, preset="tiny", image_size=32, num_steps=num_steps, batch_size=4, block_channels=[8, 8],
            checkpoint_every=5, preview_every=10_000, seed=3,
        )  # fmt: skip
        job = jobs.submit(session, who, spec)
        ring_after_commit(session, job)
        return database, who, job.id


def wait_for_job(database: Database, job_id: int, condition: Callable[[Job], bool], within_s: float, log: Path) -> Job:
    seen: list[Job] = []

    def look() -> bool:
        with database.read() as session:
            seen.append(session.get_one(Job, job_id))
        return condition(seen[-1])

    wait_until(look, within_s, log)
    return seen[-1]


def test_a_killed_worker_is_replaced_and_its_training_goes_on_within_seconds(studio):
    database, _, job_id = submit_training(studio, num_steps=2000)
    wait_for_job(database, job_id, lambda job: job.done >= 10, 90, studio.log)
    worker = child(studio, "--queues gpu")
    worker.kill()
    wait_for_job(database, job_id, lambda job: job.attempt == 2 and (job.resumed_from or 0) >= 10, 60, studio.log)
    with database.read() as session:
        events = [event.data["message"] for event in jobs.events_after(session, job_id, 0) if event.kind == "state"]
    assert "Waiting to go on: its worker was killed (signal 9), as the system does when memory runs out." in events
    database.dispose()


def test_ctrl_c_leaves_a_running_job_that_goes_on_at_the_next_start(studio, tmp_path):
    database, who, job_id = submit_training(studio, num_steps=2000)
    wait_for_job(database, job_id, lambda job: job.done >= 10, 90, studio.log)
    studio.process.send_signal(signal.SIGINT)
    assert studio.process.wait(60) == 0
    job = wait_for_job(database, job_id, lambda job: job.state == JobState.QUEUED, 1, studio.log)
    assert (job.attempt, job.crashes) == (1, 0)
    again = start(tmp_path)
    job = wait_for_job(database, job_id, lambda job: job.attempt == 2 and job.resumed_from is not None, 90, again.log)
    assert job.resumed_from >= 10
    with database.write() as session:
        jobs.stop_and_keep(session, who, jobs.get(session, who, job_id))
    job = wait_for_job(database, job_id, lambda job: job.is_finished, 30, again.log)
    assert job.state == JobState.SUCCEEDED, job.error
    again.process.terminate()
    assert again.process.wait(60) == 0
    database.dispose()


def test_a_killed_broker_and_a_killed_web_process_are_replaced(studio):
    wait_until(lambda: has_children(studio, 5), 30, studio.log)
    killed = [child(studio, words) for words in ("valkey-server", "app web")]
    for process in killed:
        process.kill()
    wait_until(lambda: not any(process.is_running() for process in killed) and has_children(studio, 5), 30, studio.log)
    assert get(studio, "/healthz") == 200  # the listening socket was kept, so nobody was refused
    assert broker.answers(broker.socket_path(studio.settings))


def test_the_supervisor_knows_a_worker_by_the_name_under_which_it_holds_leases(monkeypatch):
    made = supervisor.Child("w", [], {}, queues="gpu", token="abc")
    made.process = subprocess.Popen([sys.executable, "-c", "pass"])
    made.process.wait()
    monkeypatch.setattr(os, "getpid", lambda: made.process.pid)
    assert owner_name("abc") == made.owner


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "was killed (signal 9)"), (-11, "died of signal 11 (SIGSEGV)"), (3, "ended with exit code 3")],
)
def test_how_it_ended_is_said_in_words(code, words):
    assert supervisor.how_it_ended(code).startswith(words)
