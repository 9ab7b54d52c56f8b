"""Jobs that need the results of others: they wait, begin, fail, wait again and are cancelled with them."""

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select, update

from app.core import leases, states
from app.core.config import Settings
from app.core.db import Database
from app.core.leases import Lease
from app.core.queue import Doorbell
from app.core.submission import add_waiting_job
from app.core.sweeper import sweep
from app.services import jobs
from app.services.identity import Identity
from models import AuditEvent, Event, Job, JobKind, JobNeed, JobState, Queue
from tests import factories

SUCCEEDED, FAILED, CANCELLED, WAITING, QUEUED = (
    JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.WAITING, JobState.QUEUED,
)  # fmt: skip


@pytest.fixture
def chain(database: Database, who: Identity) -> dict[str, int]:
    """A training, the sampling that needs it, and a classifier that needs that."""
    with database.write() as session:
        train = factories.job(session, who)
        sample = waiting(session, who, JobKind.SAMPLE, {"per_class": 2, "name": "set"}, checkpoint_id=train)
        learn = waiting(
            session, who, JobKind.TRAIN_CLASSIFIER, {"dataset_id": 1, "name": "net"}, synthetic_set_id=sample
        )
        return {"train": train.id, "sample": sample.id, "learn": learn.id}


def waiting(session, who: Identity, kind: JobKind, draft: dict, **needs) -> Job:
    return add_waiting_job(
        session, kind, draft, needs, project_id=who.project_id, created_by=who.name, title=f"a {kind} job"
    )


def end(database: Database, job_id: int, state: JobState, **values) -> None:
    """The job ends as a worker or person would end it."""
    with database.write() as session:
        job = session.get_one(Job, job_id)
        if job.state == QUEUED and state != CANCELLED:
            states.move(session, job, JobState.RUNNING, message="Started.")
        states.move(session, job, state, message="ended", **values)


def retry(database: Database, who: Identity, job_id: int) -> None:
    with database.write() as session:
        jobs.retry(session, who, session.get_one(Job, job_id))


def job_states(database: Database, ids: dict[str, int]) -> dict[str, JobState]:
    with database.read() as session:
        return {name: session.get_one(Job, job_id).state for name, job_id in ids.items()}


def row(database: Database, job_id: int) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


class TestAJobThatNeedsAnother:
    def test_waits_and_no_worker_takes_it(self, database, chain):
        assert job_states(database, chain) == {"train": QUEUED, "sample": WAITING, "learn": WAITING}
        with database.write() as session:
            taken = leases.claim_next(session, queues=list(Queue), owner="a")
            assert taken is not None
            assert taken.id == chain["train"]
            assert leases.claim_next(session, queues=list(Queue), owner="a") is None

    def test_begins_when_that_succeeds_with_its_result_in_the_spec(self, database, chain):
        end(database, chain["train"], SUCCEEDED, result={"checkpoint_id": 7})
        assert job_states(database, chain) == {"train": SUCCEEDED, "sample": QUEUED, "learn": WAITING}
        spec = row(database, chain["sample"]).spec
        assert (spec["checkpoint_id"], spec["per_class"], spec["num_steps"]) == (7, 2, 25)  # complete, with defaults
        end(database, chain["sample"], SUCCEEDED, result={"synthetic_set_id": 9})
        assert row(database, chain["learn"]).state == QUEUED
        assert row(database, chain["learn"]).spec["train_on"] == "synthetic"

    def test_begins_at_once_if_that_has_succeeded_already(self, database, who):
        with database.write() as session:
            train = factories.job(session, who, state=SUCCEEDED, result={"checkpoint_id": 3})
            sample = waiting(session, who, JobKind.SAMPLE, {"per_class": 2, "name": "set"}, checkpoint_id=train)
            assert (sample.state, sample.spec["checkpoint_id"]) == (QUEUED, 3)

    def test_fails_at_once_if_that_has_failed_already(self, database, who):
        with database.write() as session:
            train = factories.job(session, who, state=FAILED, error={"code": "x", "detail": "No space."})
            sample = waiting(session, who, JobKind.SAMPLE, {"per_class": 2, "name": "set"}, checkpoint_id=train)
            assert sample.state == FAILED
            assert "failed: No space." in sample.error["detail"]

    def test_is_told_in_its_events_and_in_the_audit_trail(self, database, chain):
        with database.read() as session:
            first = session.scalars(select(Event).where(Event.job_id == chain["sample"])).one()
            assert first.data == {"state": "waiting", "message": "Waiting for what it needs."}
            subjects = session.scalars(select(AuditEvent.subject).where(AuditEvent.action == "jobs.submit")).all()
            assert f"job {chain['sample']}" in subjects

    def test_fails_with_a_reason_if_the_result_does_not_fit(self, database, chain):
        end(database, chain["train"], SUCCEEDED, result={"something_else": 7})
        job = row(database, chain["sample"])
        assert job.state == FAILED
        assert job.error["detail"].startswith("checkpoint_id: ")
        assert row(database, chain["learn"]).error["code"] == states.INPUT_FAILED


class TestOneThatFails:
    def test_fails_all_that_wait_for_it_and_says_why(self, database, chain):
        end(database, chain["train"], FAILED, error={"code": "bad-input", "detail": "The disk is full."})
        assert set(job_states(database, chain).values()) == {FAILED}
        for name in ("sample", "learn"):
            error = row(database, chain[name]).error
            assert error["code"] == states.INPUT_FAILED
            assert "The disk is full." in error["detail"]

    def test_lets_them_wait_again_when_it_is_tried_again(self, database, who, chain):
        end(database, chain["train"], FAILED, error={"code": "bad-input", "detail": "The disk is full."})
        retry(database, who, chain["train"])
        assert job_states(database, chain) == {"train": QUEUED, "sample": WAITING, "learn": WAITING}
        assert row(database, chain["learn"]).error is None
        end(database, chain["train"], SUCCEEDED, result={"checkpoint_id": 7})
        assert row(database, chain["sample"]).state == QUEUED

    def test_is_the_one_to_try_again(self, database, who, chain):
        end(database, chain["train"], FAILED)
        assert "retry" not in jobs.actions(row(database, chain["sample"]))
        assert "retry" in jobs.actions(row(database, chain["train"]))
        with pytest.raises(Exception, match=f"never began: job {chain['train']}, whose result it needs, failed"):
            retry(database, who, chain["sample"])

    def test_leaves_alone_what_failed_for_a_reason_of_its_own(self, database, who, chain):
        end(database, chain["train"], SUCCEEDED, result={"checkpoint_id": 7})
        end(database, chain["sample"], FAILED, error={"code": "bad-input", "detail": "no"})
        retry(database, who, chain["sample"])
        assert job_states(database, chain) == {"train": SUCCEEDED, "sample": QUEUED, "learn": WAITING}


class TestOneThatIsCancelled:
    def test_cancels_all_that_wait_for_it(self, database, who, chain):
        with database.write() as session:
            jobs.cancel(session, who, session.get_one(Job, chain["train"]))
        assert set(job_states(database, chain).values()) == {CANCELLED}
        assert row(database, chain["learn"]).message.startswith(f"Cancelled: job {chain['sample']}")

    def test_may_be_one_that_waits_itself(self, database, who, chain):
        with database.write() as session:
            jobs.cancel(session, who, session.get_one(Job, chain["sample"]))
        assert job_states(database, chain) == {"train": QUEUED, "sample": CANCELLED, "learn": CANCELLED}

    def test_does_not_touch_what_has_begun(self, database, who, chain):
        end(database, chain["train"], SUCCEEDED, result={"checkpoint_id": 7})
        end(database, chain["sample"], CANCELLED)
        assert job_states(database, chain) == {"train": SUCCEEDED, "sample": CANCELLED, "learn": CANCELLED}


class TestAJobThatNeedsSeveral:
    @pytest.fixture
    def fan(self, database: Database, who: Identity) -> dict[str, int]:
        with database.write() as session:
            parts = {f"part{k}": factories.job(session, who, JobKind.SAMPLE) for k in range(3)}
            last = waiting(
                session, who, JobKind.EXPLAIN, {"image_ids": [], "classifier_id": 1}, image_ids=[*parts.values()]
            )
            return {**{name: part.id for name, part in parts.items()}, "last": last.id}

    def test_gets_their_results_in_order_and_not_before_the_last(self, database, fan):
        for place, name in enumerate(("part2", "part0", "part1")):
            assert row(database, fan["last"]).state == WAITING, place
            end(database, fan[name], SUCCEEDED, result={"image_id": 10 + int(name[-1])})
        assert row(database, fan["last"]).state == QUEUED
        assert row(database, fan["last"]).spec["image_ids"] == [10, 11, 12]

    def test_only_the_part_that_failed_is_tried_again(self, database, who, fan):
        end(database, fan["part0"], SUCCEEDED, result={"image_id": 1})
        end(database, fan["part1"], FAILED)
        end(database, fan["part2"], FAILED)
        assert row(database, fan["last"]).state == FAILED
        retry(database, who, fan["part1"])
        assert row(database, fan["last"]).state == FAILED  # another part still has not been tried again
        retry(database, who, fan["part2"])
        assert row(database, fan["last"]).state == WAITING
        for name in ("part1", "part2"):
            end(database, fan[name], SUCCEEDED, result={"image_id": 2})
        assert row(database, fan["last"]).state == QUEUED

    def test_waits_for_the_end_only_where_the_need_is_soft(self, database, who):
        with database.write() as session:
            parts = [factories.job(session, who, JobKind.EVALUATE) for _ in range(3)]
            last = add_waiting_job(
                session, JobKind.EXPLAIN, {"classifier_id": 1}, {"image_ids": parts}, soft={"image_ids"},
                project_id=who.project_id, created_by=who.name, title="what is there",
            )  # fmt: skip
        end(database, parts[0].id, FAILED)
        end(database, parts[1].id, CANCELLED)
        assert row(database, last.id).state == WAITING
        end(database, parts[2].id, SUCCEEDED, result={"image_id": 5})
        assert row(database, last.id).state == QUEUED
        assert row(database, last.id).spec["image_ids"] == [5]

    def test_is_cancelled_with_one_although_another_failed_before(self, database, fan):
        end(database, fan["part0"], FAILED)
        end(database, fan["part1"], CANCELLED)
        assert row(database, fan["last"]).state == CANCELLED

    def test_begins_once_when_all_end_at_the_same_moment(self, database, who, fan):
        start = threading.Barrier(3)

        def finish(job_id: int) -> None:
            start.wait()
            end(database, job_id, SUCCEEDED, result={"image_id": job_id})

        run_all([lambda job_id=fan[f"part{k}"]: finish(job_id) for k in range(3)])
        assert row(database, fan["last"]).state == QUEUED
        with database.read() as session:
            told = session.scalars(select(Event.data).where(Event.job_id == fan["last"])).all()
        assert [data["state"] for data in told] == ["waiting", "queued"]


def run_all(actions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)


class TestTheSweeper:
    @pytest.fixture
    def doorbell(self, settings: Settings) -> Iterator[Doorbell]:
        """Of a studio whose broker is down."""
        doorbell = Doorbell(settings)
        yield doorbell
        doorbell.close()

    def test_begins_what_nobody_told(self, database, who, chain, doorbell):
        with database.write() as session:
            session.execute(
                update(Job).where(Job.id == chain["train"]).values(state=SUCCEEDED, result={"checkpoint_id": 7})
            )
        sweep(database, doorbell)
        assert row(database, chain["sample"]).state == QUEUED

    def test_leaves_what_still_waits(self, database, chain, doorbell):
        sweep(database, doorbell)
        assert row(database, chain["sample"]).state == WAITING


def test_needs_go_with_their_jobs(database, chain):
    with database.write() as session:
        session.delete(session.get_one(Job, chain["learn"]))
        session.flush()
        assert session.scalars(select(JobNeed.job_id)).all() == [chain["sample"]]


def test_a_lease_given_up_for_another_try_does_not_disturb_what_waits(database, chain):
    with database.write() as session:
        job = leases.claim_next(session, queues=[Queue.GPU], owner="a")
        leases.end(session, Lease(job.id, job.attempt, "a"), QUEUED, message="given back")
    assert job_states(database, chain) == {"train": QUEUED, "sample": WAITING, "learn": WAITING}
