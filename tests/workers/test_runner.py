import errno
import importlib.metadata
import platform
import threading
import time
from collections.abc import Callable

import pytest
import torch
from sqlalchemy import select, update

from app.core import leases
from app.core.errors import BadInputError
from app.services import jobs
from models import Event, Job, JobState, Queue, db_now
from tests import factories
from tests.faults.counting import count, spec
from workers import runner as runner_module
from workers.context import JobContext, Recorder
from workers.device import num_cores
from workers.runner import Runner

OWNER = "this worker"


@pytest.fixture
def make_runner(settings, database, storage) -> Callable[..., Runner]:
    def make(function) -> Runner:
        return Runner(
            settings=settings, database=database, storage=storage, queues=[Queue.GPU], owner=OWNER,
            device=lambda: "cpu", functions=lambda kind: function,
        )  # fmt: skip

    return make


@pytest.fixture
def job_id(database, who) -> int:
    with database.write() as session:
        return factories.job(session, who, spec=spec(num_steps=3, seconds_per_step=0.01)).id


def row(database, job_id: int) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


def done(context: JobContext, spec) -> Recorder:
    return lambda session, job: {"answer": 42}


class TestRunner:
    def test_notes_what_a_job_that_succeeded_ran_with(self, database, make_runner, job_id):
        make_runner(done).run_waiting()
        ran_with = row(database, job_id).ran_with
        assert ran_with["device"] == f"cpu ({num_cores()} cores)"
        assert ran_with["threads"] == str(torch.get_num_threads())
        assert ran_with["torch"] == importlib.metadata.version("torch")
        assert ran_with["Python"] == platform.python_version()

    def test_one_that_failed_ran_with_nothing_that_anybody_rests_on(self, database, make_runner, job_id):
        def fail(context: JobContext, spec) -> Recorder:
            raise BadInputError("no")

        make_runner(fail).run_waiting()
        assert row(database, job_id).ran_with is None

    def test_records_what_a_job_made_in_the_transaction_that_ends_it(self, database, make_runner, job_id):
        seen: list[JobState] = []

        def run(context: JobContext, spec) -> Recorder:
            def record(session, job):
                seen.append(row(database, job.id).state)  # another session: what everybody else sees
                return {"answer": 42}

            return record

        assert make_runner(run).run_waiting() == 1
        job = row(database, job_id)
        assert seen == [JobState.RUNNING]
        assert (job.state, job.result, job.message) == (JobState.SUCCEEDED, {"answer": 42}, "Done.")
        assert job.finished_at >= job.started_at

    def test_does_all_that_waits_best_first_and_then_nothing(self, database, who, make_runner):
        order = []
        with database.write() as session:
            made = [
                factories.job(session, who, spec=spec(num_steps=1, seconds_per_step=0.01), priority=p).id
                for p in (0, 2, 1)
            ]

        def run(context: JobContext, spec) -> Recorder:
            order.append(context.job_id)
            return done(context, spec)

        runner = make_runner(run)
        assert runner.run_waiting() == 3
        assert order == [made[1], made[2], made[0]]
        assert runner.run_waiting() == 0

    @pytest.mark.parametrize(
        ("error", "code", "words"),
        [
            (BadInputError("There are no images.", hint="Import some."), "bad-input", "There are no images."),
            (OSError(errno.ENOSPC, "No space left on device"), "disk-full", "No space left"),
            (MemoryError("16 GB"), "out-of-memory", "16 GB"),
            (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), "out-of-memory", "9 GiB"),
            (ZeroDivisionError("division by zero"), "internal-error", "ZeroDivisionError: division by zero"),
        ],
    )
    def test_says_why_a_job_failed_and_does_not_try_again(self, database, make_runner, job_id, error, code, words):
        def run(context: JobContext, spec) -> Recorder:
            raise error

        assert make_runner(run).run_waiting() == 1
        job = row(database, job_id)
        assert (job.state, job.attempt, job.crashes, job.error["code"]) == (JobState.FAILED, 1, 0, code)
        assert words in job.error["detail"]
        assert job.error["hint"]

    def test_keeps_the_traceback_of_an_unexpected_error_in_the_log(self, database, make_runner, job_id):
        def run(context: JobContext, spec) -> Recorder:
            raise ZeroDivisionError

        make_runner(run).run_waiting()
        with database.read() as session:
            (entry,) = [event.data for event in jobs.events_after(session, job_id, 0) if event.kind == "log"]
        assert entry["level"] == "error"
        assert "test_runner.py" in entry["text"]

    def test_an_error_while_recording_leaves_no_half_of_it(self, database, make_runner, job_id):
        def record(session, job):
            factories.identity(session, "half")
            raise BadInputError("No.")

        make_runner(lambda context, spec: record).run_waiting()
        assert row(database, job_id).state == JobState.FAILED
        with database.read() as session:
            from models import Project

            assert session.scalar(select(Project).where(Project.name == "half")) is None

    def test_a_spec_of_another_version_fails_with_what_is_wrong_in_it(self, database, who, make_runner):
        with database.write() as session:
            job_id = factories.job(
                session, who, spec={"kind": "sample", "checkpoint_id": 1, "per_class": 1, "old": 1}
            ).id
        make_runner(done).run_waiting()
        job = row(database, job_id)
        assert job.error["code"] == "bad-input"
        assert "old" in job.error["detail"]

    def test_writes_nothing_after_the_lease_was_taken_away(self, database, make_runner, job_id):
        def run(context: JobContext, spec) -> Recorder:
            with database.write() as session:
                leases.take_from_owner(session, OWNER, reason="thought dead", is_crash=True)
                leases.claim_next(session, queues=[Queue.GPU], owner="another")
            return done(context, spec)

        make_runner(run).run_waiting()
        job = row(database, job_id)
        assert (job.state, job.owner, job.attempt, job.result) == (JobState.RUNNING, "another", 2, None)

    def test_a_cancel_after_the_last_step_still_counts(self, database, make_runner, job_id):
        def run(context: JobContext, spec) -> Recorder:
            with database.write() as session:
                session.execute(update(Job).where(Job.id == job_id).values(cancel_requested_at=db_now()))
            return done(context, spec)

        make_runner(run).run_waiting()
        job = row(database, job_id)
        assert (job.state, job.result) == (JobState.CANCELLED, None)

    def test_stopping_gives_back_and_takes_no_other(self, database, who, make_runner, job_id):
        with database.write() as session:
            other = factories.job(session, who, spec=spec(num_steps=1, seconds_per_step=0.01)).id

        def run(context: JobContext, spec) -> Recorder:
            runner.stop()
            return count(context, spec)

        runner = make_runner(run)
        assert runner.run_waiting() == 1
        job = row(database, job_id)
        assert (job.state, job.attempt, job.crashes) == (JobState.QUEUED, 1, 0)
        assert row(database, other).attempt == 0
        assert make_runner(count).run_waiting() == 2
        assert row(database, job_id).result == {"count": 3, "started_from": 1}

    def test_beats_while_the_job_is_busy(self, database, make_runner, job_id, monkeypatch):
        monkeypatch.setattr(runner_module, "BEAT_S", 0.2)

        def run(context: JobContext, spec) -> Recorder:
            before = row(database, job_id).lease_until
            end = time.monotonic() + 10
            while row(database, job_id).lease_until <= before and time.monotonic() < end:
                time.sleep(0.05)
            assert row(database, job_id).lease_until > before
            return done(context, spec)

        make_runner(run).run_waiting()
        assert row(database, job_id).state == JobState.SUCCEEDED

    def test_leaves_no_thread_behind(self, database, make_runner, job_id):
        make_runner(done).run_waiting()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("heart")]

    def test_every_state_on_the_way_is_an_event(self, database, make_runner, job_id):
        make_runner(count).run_waiting()
        with database.read() as session:
            events = session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.number))
            states = [event.data["state"] for event in events if event.kind == "state"]
        assert states == ["running", "succeeded"]
