"""Waiting for jobs: progress, cancelling, lost connections, Ctrl-C."""

import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from phantom import JobFailed, PhantomError, ProblemError, Studio, StudioUnreachable, transport
from phantom import jobs as client_jobs

from app.services import jobs as job_service
from models import Job, JobKind, JobState
from tests import factories
from tests.client.conftest import Served
from tests.lab import Lab
from workers.runner import Runner

Draw = Callable[..., Path]


def ends(served: Served, job_id: int, state: JobState, **values: object) -> None:
    """The job ends as a worker would end it."""
    with served.database.write() as session:
        job = session.get_one(Job, job_id)
        job.state = state
        for name, value in values.items():
            setattr(job, name, value)


def test_wait_returns_what_the_job_made(studio: Studio, served: Served, lab: Lab) -> None:
    timer = threading.Timer(
        0.5, ends, (served, lab.job, JobState.SUCCEEDED), {"result": {"checkpoint_id": lab.checkpoint}}
    )
    timer.start()
    checkpoint = studio.job(lab.job).wait(progress=False)
    timer.join()
    assert (type(checkpoint).__name__, checkpoint.id) == ("Checkpoint", lab.checkpoint)


def test_a_failed_job_raises_its_reason_and_hint(studio: Studio, served: Served, lab: Lab) -> None:
    error = {
        "code": "out-of-memory",
        "title": "No memory",
        "detail": "The GPU has 8 GB.",
        "hint": "Use a smaller batch.",
    }
    ends(served, lab.job, JobState.FAILED, error=error)
    with pytest.raises(JobFailed, match=r"The GPU has 8 GB\.\nUse a smaller batch\.") as raised:
        studio.job(lab.job).wait(progress=False)
    assert (raised.value.code, raised.value.job.id) == ("out-of-memory", lab.job)


def test_a_cancelled_job_raises(studio: Studio, lab: Lab) -> None:
    job = studio.sample(studio.checkpoints.get(lab.checkpoint), per_class=1).cancel()
    with pytest.raises(JobFailed, match="was cancelled") as raised:
        job.wait(progress=False)
    assert raised.value.code == "cancelled"


def test_pause_resume_and_what_does_not_fit_the_state(studio: Studio, lab: Lab) -> None:
    job = studio.sample(studio.checkpoints.get(lab.checkpoint), per_class=1)
    assert job.pause().state == "paused"
    assert job.resume().state == "queued"
    with pytest.raises(ProblemError, match="cannot be tried again") as raised:
        job.retry()
    assert raised.value.status == 409


def test_wait_gives_up_after_its_time_and_the_job_goes_on(studio: Studio, lab: Lab) -> None:
    with pytest.raises(TimeoutError, match="still running"):
        studio.job(lab.job).wait(timeout_s=0.2, progress=False)
    assert studio.job(lab.job).state == "running"


def test_events_come_in_order_and_end_with_the_job(studio: Studio, served: Served, lab: Lab) -> None:
    assert [event["data"]["text"] for event in studio.job(lab.job).events()] == ["line 1", "line 2", "line 3"]
    threading.Timer(0.5, ends, (served, lab.job, JobState.SUCCEEDED)).start()
    assert [event["number"] for event in studio.job(lab.job).events(follow=True)] == [1, 2, 3]


def test_curves_are_thinned(studio: Studio, lab: Lab) -> None:
    curve = studio.job(lab.job).metrics(max_points=10)["loss"]
    assert 5 <= len(curve) <= 10
    assert (curve[0], curve[-1]) == ((0, 1.0), (99, 0.01))


def test_progress_is_plain_lines_where_there_is_no_terminal(
    studio: Studio, worker: Runner, draw: Draw, capfd: pytest.CaptureFixture[str]
) -> None:
    studio.datasets.upload(draw(per_class=3), name="shapes")
    said = capfd.readouterr().err
    assert "Import shapes: succeeded" in said
    assert "\x1b" not in said


def test_waiting_survives_a_studio_that_is_away_for_a_while(
    served: Served, lab: Lab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client talks through a forwarder, which is taken away and comes back."""
    monkeypatch.setattr(client_jobs, "POLL_S", (0.1, 0.2))
    monkeypatch.setattr(transport, "PAUSES_S", (0.1,))
    forwarder = Forwarder(served.url)
    with Studio(f"http://127.0.0.1:{forwarder.port}", served.token) as studio:
        job = studio.job(lab.job)
        forwarder.close()
        threading.Timer(1.5, forwarder.open).start()
        threading.Timer(
            2.0, ends, (served, lab.job, JobState.SUCCEEDED), {"result": {"checkpoint_id": lab.checkpoint}}
        ).start()
        assert job.wait().id == lab.checkpoint
    forwarder.close()
    assert "cannot be reached" in capfd.readouterr().err


class Forwarder:
    """Passes connections on from a port of its own to the server, until it is closed."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self.port = 0
        self.open()

    def open(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for each in [self._socket, *self._pairs]:
            each.close()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection(self._server)
            self._pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


def test_ctrl_c_stops_waiting_and_not_the_job(
    studio: Studio, served: Served, lab: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    job = studio.job(lab.job)
    threading.Timer(0.6, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    time.sleep(0.2)
    with served.database.read() as session:
        row = job_service.get(session, served.who, lab.job)
        assert (row.state, row.cancel_requested_at) == (JobState.RUNNING, None)
    assert f"Job {lab.job} goes on" in capfd.readouterr().err


def test_no_studio_there_is_said_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudioUnreachable, match=r"No studio answers at http://127\.0\.0\.1:9"):
        Studio("http://127.0.0.1:9", "phs_x").job(1)
    monkeypatch.delenv("PHANTOM_TOKEN", raising=False)
    with pytest.raises(PhantomError, match="tokens create"):
        Studio("http://127.0.0.1:9")


def test_a_wrong_token_is_said(served: Served) -> None:
    with pytest.raises(ProblemError, match="unknown, revoked or expired"):
        Studio(served.url, "phs_wrong").job(1)


def test_jobs_are_listed_with_parts_and_tables_of_studies(studio: Studio, served: Served, lab: Lab) -> None:
    whole = studio.sample(studio.checkpoints.get(lab.checkpoint), per_class=16, num_parts=3)
    with served.database.write() as session:
        factories.job(session, served.who, JobKind.SUMMARISE_STUDY, state=JobState.SUCCEEDED, result={"study_id": 4})
    table, _, *parts = list(studio.jobs(limit=5))
    assert (table.kind, table.made()) == ("summarise_study", {"study_id": 4})
    assert [part.id for part in parts] == whole.data["parts"][::-1]
    assert {part.kind for part in parts} == {"sample_part"}
