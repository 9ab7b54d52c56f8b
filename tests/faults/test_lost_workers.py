"""Jobs outlive the processes that do them. Jobs stand in the queue io, whose workers start without loading torch."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.core import leases
from app.core.config import Settings
from app.core.db import Database
from app.core.queue import Doorbell, ring_after_commit
from app.core.sweeper import sweep
from app.services import jobs
from app.services.identity import Identity
from models import Event, Job, JobState, Metric, Queue, db_now
from tests import factories
from tests.faults.conftest import Workers
from tests.faults.counting import spec

Wait = Callable[..., Job]
pytestmark = pytest.mark.usefixtures("broker")


def submit(database: Database, who: Identity, **options: float) -> int:
    with database.write() as session:
        job = factories.job(session, who, spec=spec(**{"seconds_per_step": 0.05, **options}))
        job.queue = Queue.IO
        ring_after_commit(session, job)
        return job.id


def kill_and_bury(database: Database, worker: subprocess.Popen[bytes], job: Job) -> None:
    """What `app up` does when a worker of its own dies."""
    worker.kill()
    worker.wait()
    with database.write() as session:
        assert leases.take_from_owner(session, str(job.owner), reason="its worker was killed", is_crash=True)


def is_at(step: int) -> Callable[[Job], bool]:
    return lambda job: job.state == JobState.RUNNING and job.done >= step


def is_finished(job: Job) -> bool:
    return job.is_finished


def messages(database: Database, job_id: int) -> list[str]:
    with database.read() as session:
        return [event.data["message"] for event in jobs.events_after(session, job_id, 0) if event.kind == "state"]


def test_a_submitted_job_is_done_once_and_leaves_nothing_behind(
    database: Database, settings: Settings, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    workers.start()
    job_id = submit(database, who, num_steps=2)
    job = wait_for(job_id, is_finished, within_s=60)
    assert (job.state, job.result) == (JobState.SUCCEEDED, {"count": 2, "started_from": 0})
    assert (job.done, job.total, job.attempt, job.owner) == (2, 2, 1, None)
    assert gone(settings.jobs_dir / str(job_id), within_s=20)  # tidied after the row says that it is done
    with database.read() as session:
        curve = session.execute(
            select(Metric.step, Metric.value).where(Metric.job_id == job_id).order_by(Metric.step)
        ).all()
    assert [tuple(point) for point in curve] == [(1, 1.0), (2, 0.5)]


def gone(folder: Path, *, within_s: float) -> bool:
    """Whether `folder` is removed before the time is over."""
    deadline = time.monotonic() + within_s
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not folder.exists()


def test_killed_twice_a_job_goes_on_from_its_last_checkpoint(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    job_id = submit(database, who, num_steps=60)
    for step in (10, 30):
        worker = workers.start()
        kill_and_bury(database, worker, wait_for(job_id, is_at(step), within_s=60))
    workers.start()
    job = wait_for(job_id, is_finished, within_s=60)
    assert (job.state, job.attempt, job.crashes) == (JobState.SUCCEEDED, 3, 2)
    assert job.result["count"] == 60
    assert 30 <= job.result["started_from"] == job.resumed_from < 60


def test_a_job_that_kills_its_worker_every_time_fails_after_three_and_its_neighbour_is_done(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    deadly = submit(database, who, num_steps=60, die_at_step=1)
    neighbour = submit(database, who, num_steps=1)
    for attempt in (1, 2, 3):
        worker = workers.start()
        job = wait_for(deadly, lambda job, attempt=attempt: job.attempt == attempt, within_s=60)
        assert worker.wait(60) == -signal.SIGABRT
        with database.write() as session:
            leases.take_from_owner(session, str(job.owner), reason="its worker died of signal 6", is_crash=True)
        # The checkpoint of step 1 is there, so the next attempt would pass over it: forget it.
        (checkpoint,) = (f for f in job_folder(workers, deadly).glob("*/checkpoints/count"))
        checkpoint.unlink()
    workers.start()
    assert wait_for(neighbour, is_finished, within_s=60).state == JobState.SUCCEEDED
    job = wait_for(deadly, is_finished, within_s=1)
    assert (job.state, job.error["code"], job.attempt) == (JobState.FAILED, "crashed", 3)
    assert "signal 6" in job.error["detail"]


def job_folder(workers: Workers, job_id: int):
    return workers.settings.jobs_dir / str(job_id)


def test_ringing_again_runs_nothing(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    workers.start()
    job_id = submit(database, who, num_steps=1)
    wait_for(job_id, is_finished, within_s=60)
    for _ in range(5):
        doorbell.ring(job_id, Queue.IO)
    later = submit(database, who, num_steps=1)  # done after the five were answered
    wait_for(later, is_finished, within_s=20)
    end = time.monotonic() + 10
    while doorbell.num_waiting(Queue.IO) and time.monotonic() < end:
        time.sleep(0.05)
    assert doorbell.num_waiting(Queue.IO) == 0
    job = wait_for(job_id, is_finished, within_s=1)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)


def test_term_saves_gives_the_job_back_uncounted_and_exits(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    job_id = submit(database, who, num_steps=60)
    first = workers.start()
    wait_for(job_id, is_at(10), within_s=60)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0
    job = wait_for(job_id, lambda job: job.state == JobState.QUEUED, within_s=1)
    assert (job.attempt, job.crashes, job.owner) == (1, 0, None)
    workers.start()
    job = wait_for(job_id, is_finished, within_s=60)
    assert (job.attempt, job.crashes, job.result["count"]) == (2, 0, 60)
    assert job.result["started_from"] >= 10


@pytest.mark.parametrize("seconds_per_step", [0.05, 20.0])
def test_cancel_is_done_within_ten_seconds_even_in_a_long_step(
    database: Database,
    settings: Settings,
    who: Identity,
    doorbell: Doorbell,
    workers: Workers,
    wait_for: Wait,
    seconds_per_step: float,
):
    workers.start()
    job_id = submit(database, who, num_steps=400, seconds_per_step=seconds_per_step)
    wait_for(job_id, lambda job: job.state == JobState.RUNNING, within_s=60)
    asked = time.monotonic()
    with database.write() as session:
        jobs.cancel(session, who, jobs.get(session, who, job_id))
    job = wait_for(job_id, is_finished, within_s=10)
    assert time.monotonic() - asked < 10
    assert (job.state, job.result, job.attempt) == (JobState.CANCELLED, None, 1)


def test_a_job_cancelled_before_it_started_never_starts(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    cancelled, other = submit(database, who, num_steps=1), submit(database, who, num_steps=1)
    with database.write() as session:
        jobs.cancel(session, who, jobs.get(session, who, cancelled))
    workers.start()
    wait_for(other, is_finished, within_s=60)
    job = wait_for(cancelled, is_finished, within_s=1)
    assert (job.state, job.attempt) == (JobState.CANCELLED, 0)


def test_stop_and_keep_ends_with_what_there_is(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    workers.start()
    job_id = submit(database, who, num_steps=2000)
    wait_for(job_id, is_at(5), within_s=60)
    with database.write() as session:
        jobs.stop_and_keep(session, who, jobs.get(session, who, job_id))
    job = wait_for(job_id, is_finished, within_s=10)
    assert job.state == JobState.SUCCEEDED
    assert 5 <= job.result["count"] < 2000
    assert "Stopped early" in job.message


def test_pause_frees_the_worker_and_resume_goes_on(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    workers.start()
    job_id = submit(database, who, num_steps=60)
    wait_for(job_id, is_at(10), within_s=60)
    with database.write() as session:
        jobs.pause(session, who, jobs.get(session, who, job_id))
    paused = wait_for(job_id, lambda job: job.state == JobState.PAUSED, within_s=10)
    assert paused.owner is None
    other = submit(database, who, num_steps=1)
    wait_for(other, is_finished, within_s=10)
    with database.write() as session:
        jobs.resume(session, who, jobs.get(session, who, job_id))
    job = wait_for(job_id, is_finished, within_s=30)
    assert (job.state, job.result["count"], job.crashes) == (JobState.SUCCEEDED, 60, 0)
    assert job.result["started_from"] >= paused.done


def test_a_worker_that_slept_through_its_lease_writes_nothing(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    sleeper = workers.start()
    job_id = submit(database, who, num_steps=60)
    owner = wait_for(job_id, is_at(10), within_s=60).owner
    sleeper.send_signal(signal.SIGSTOP)
    with database.write() as session:  # as thirty seconds later
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=db_now(-1)))
    sweep(database, doorbell)
    workers.start()
    wait_for(job_id, lambda job: job.attempt == 2, within_s=60)
    sleeper.send_signal(signal.SIGCONT)
    job = wait_for(job_id, is_finished, within_s=60)
    assert (job.state, job.attempt, job.result["count"]) == (JobState.SUCCEEDED, 2, 60)
    with database.read() as session:
        done = session.scalars(select(Event.data).where(Event.job_id == job_id, Event.kind == "state"))
        assert [data["state"] for data in done].count("succeeded") == 1
    assert f"on {owner}." in messages(database, job_id)[0]
    assert sleeper.poll() is None  # it lives, and takes the next job


def test_a_worker_ends_with_the_process_that_started_it(
    database: Database, who: Identity, doorbell: Doorbell, workers: Workers, wait_for: Wait
):
    reading, writing = os.pipe()
    worker = workers.start(parent_fd=reading)
    os.close(reading)
    wait_for(submit(database, who, num_steps=1), is_finished, within_s=60)
    assert worker.poll() is None
    os.close(writing)
    assert worker.wait(20) == 0
