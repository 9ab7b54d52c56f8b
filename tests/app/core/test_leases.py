import threading

import pytest
from sqlalchemy import select, update

from app.core import journal, leases, states
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.leases import Lease
from app.services.identity import Identity
from models import NEXT_STATES, Dataset, DatasetState, Event, Job, JobKind, JobState, Queue, Worker, db_now
from tests import factories

GPU = [Queue.GPU]


def make_job(database: Database, who: Identity, kind: JobKind = JobKind.TRAIN_DIFFUSION, **values) -> int:
    with database.write() as session:
        return factories.job(session, who, kind, **values).id


def claim(database: Database, owner: str = "a", queues: list[Queue] = GPU) -> Lease | None:
    with database.write() as session:
        job = leases.claim_next(session, queues=queues, owner=owner)
        return job and Lease(job.id, job.attempt, owner)


def row(database: Database, job_id: int) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


def expire(database: Database, job_id: int, **values) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=db_now(-1), **values))


def sweep(database: Database) -> int:
    with database.write() as session:
        return len(leases.sweep(session))


class TestClaim:
    def test_takes_the_greatest_priority_then_the_oldest(self, database, who):
        first, second, urgent = (make_job(database, who, priority=p) for p in (0, 0, 5))
        assert [claim(database).job_id for _ in range(3)] == [urgent, first, second]
        assert claim(database) is None

    def test_takes_only_from_its_queues(self, database, who):
        explain = make_job(database, who, JobKind.EXPLAIN)
        assert claim(database, queues=[Queue.GPU, Queue.IO]) is None
        assert claim(database, queues=[Queue.GPU, Queue.INTERACTIVE]).job_id == explain

    def test_leaves_a_job_that_is_to_be_cancelled(self, database, who):
        job_id = make_job(database, who)
        with database.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(cancel_requested_at=db_now()))
        assert claim(database) is None

    def test_counts_the_attempt_and_sets_a_lease_of_thirty_seconds(self, database, who):
        lease = claim_of(database, who)
        job = row(database, lease.job_id)
        assert (job.state, job.attempt, job.owner) == (JobState.RUNNING, 1, "a")
        with database.read() as session:
            left = (job.lease_until - session.scalar(select(db_now()))).total_seconds()
        assert 25 < left <= 30

    def test_gives_each_job_to_one_of_many_who_ask_at_once(self, database, who):
        made = {make_job(database, who) for _ in range(24)}
        taken: list[int] = []
        start = threading.Barrier(4)

        def work(owner: str) -> None:
            start.wait()
            misses = 0
            while misses < 3:  # PostgreSQL may skip a row that another has locked
                lease = claim(database, owner)
                misses = 0 if lease else misses + 1
                taken.extend([lease.job_id] if lease else [])

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == sorted(made)


def claim_of(database: Database, who: Identity, kind: JobKind = JobKind.TRAIN_DIFFUSION) -> Lease:
    make_job(database, who, kind)
    lease = claim(database, queues=list(Queue))
    assert lease is not None
    return lease


class TestBeat:
    def test_renews_the_lease_and_writes_progress(self, database, who):
        lease = claim_of(database, who)
        expire(database, lease.job_id)
        with database.write() as session:
            assert leases.beat(session, lease, done=7)
        assert row(database, lease.job_id).done == 7
        assert sweep(database) == 0

    @pytest.mark.parametrize("change", [{"attempt": 2}, {"owner": "b"}, {"state": JobState.CANCELLED}])
    def test_tells_who_has_lost_the_lease_and_changes_nothing(self, database, who, change):
        lease = claim_of(database, who)
        with database.write() as session:
            session.execute(update(Job).where(Job.id == lease.job_id).values(**change))
        with database.write() as session:
            assert not leases.beat(session, lease, done=7)
            assert leases.wishes(session, lease) is None
            assert leases.hold(session, lease) is None
            assert not leases.end(session, lease, JobState.SUCCEEDED, message="Done.", result={"stale": 1})
        assert row(database, lease.job_id).done == 0
        assert row(database, lease.job_id).result is None


class TestSweep:
    def test_leaves_a_lease_that_has_not_run_out(self, database, who):
        lease = claim_of(database, who)
        assert sweep(database) == 0
        assert row(database, lease.job_id).state == JobState.RUNNING

    def test_puts_a_job_back_whose_worker_is_silent_and_fences_the_worker_off(self, database, who):
        lease = claim_of(database, who)
        expire(database, lease.job_id)
        assert sweep(database) == 1
        job = row(database, lease.job_id)
        assert (job.state, job.crashes, job.owner) == (JobState.QUEUED, 1, None)
        assert "not been heard of for 30 s" in job.message
        assert claim(database, "b").attempt == 2
        with database.write() as session:
            assert not leases.beat(session, lease)

    def test_gives_up_after_three_crashes_with_the_reason(self, database, who):
        job_id = make_job(database, who)
        for _ in range(3):
            assert row(database, job_id).state == JobState.QUEUED
            claim(database)
            expire(database, job_id)
            sweep(database)
        job = row(database, job_id)
        assert (job.state, job.attempt, job.error["code"]) == (JobState.FAILED, 3, "crashed")
        assert "started 3 times" in job.error["detail"]
        assert job.finished_at is not None

    def test_does_not_count_a_lease_that_was_given_back(self, database, who):
        for _ in range(4):
            lease = claim(database) or claim_of(database, who)
            with database.write() as session:
                assert leases.end(session, lease, JobState.QUEUED, message="Given back.")
        job = row(database, lease.job_id)
        assert (job.state, job.attempt, job.crashes) == (JobState.QUEUED, 4, 0)

    @pytest.mark.parametrize(
        ("asked", "state"),
        [
            ("cancel_requested_at", JobState.CANCELLED),
            ("pause_requested_at", JobState.PAUSED),
            ("stop_requested_at", JobState.QUEUED),
        ],
    )
    def test_does_what_was_asked_of_a_job_whose_worker_died(self, database, who, asked, state):
        lease = claim_of(database, who)
        expire(database, lease.job_id, **{asked: db_now()})
        sweep(database)
        assert row(database, lease.job_id).state == state

    def test_takes_a_job_from_a_worker_known_to_be_dead_at_once(self, database, who):
        lease = claim_of(database, who)
        with database.write() as session:
            assert not leases.take_from_owner(session, "somebody else", reason="it died", is_crash=True)
            assert len(leases.take_from_owner(session, "a", reason="its worker was killed", is_crash=True)) == 1
        job = row(database, lease.job_id)
        assert (job.state, job.crashes, job.message) == (JobState.QUEUED, 1, "Waiting to go on: its worker was killed.")

    def test_is_safe_in_several_at_once(self, database, who):
        claimed = [claim_of(database, who) for _ in range(10)]
        for lease in claimed:
            expire(database, lease.job_id)
        swept: list[int] = []
        threads = [threading.Thread(target=lambda: swept.append(sweep(database))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(swept) == 10
        assert all(row(database, lease.job_id).crashes == 1 for lease in claimed)

    def test_forgets_workers_gone_for_a_day(self, database):
        with database.write() as session:
            for name, age_s in (("gone", 25 * 3600), ("here", 60)):
                session.add(
                    Worker(name=name, queues=["gpu"], device="cpu", memory_bytes=1, gflops=1, seen_at=db_now(-age_s))
                )
        sweep(database)
        with database.read() as session:
            assert list(session.scalars(select(Worker.name))) == ["here"]


class TestUnrung:
    def test_names_waiting_jobs_for_which_nobody_rang_lately(self, database, who):
        old, new, never = (make_job(database, who) for _ in range(3))
        with database.write() as session:
            session.execute(update(Job).where(Job.id == old).values(rung_at=db_now(-31)))
            session.execute(update(Job).where(Job.id == new).values(rung_at=db_now(-5)))
            assert leases.unrung(session, Queue.GPU) == [old, never]
            leases.note_rung(session, [old, never])
            assert leases.unrung(session, Queue.GPU) == []


class TestMove:
    @pytest.mark.parametrize("was", JobState)
    def test_follows_the_table_of_states_and_refuses_everything_else(self, database, who, was):
        for will_be in JobState:
            job_id = make_job(database, who, state=was)
            with database.write() as session:
                job = session.get_one(Job, job_id)
                if will_be in NEXT_STATES[was]:
                    states.move(session, job, will_be, message="")
                    assert job.state == will_be
                    assert (job.finished_at is not None) == job.is_finished
                else:
                    with pytest.raises(ConflictError, match=f"is {was} and cannot become {will_be}"):
                        states.move(session, job, will_be, message="")
                    assert job.state == was

    def test_keeps_the_dataset_of_an_import_in_step(self, database, who):
        lease = claim_of(database, who, JobKind.IMPORT_DATASET)
        with database.write() as session:
            session.add(Dataset(project_id=who.project_id, name="d", job_id=lease.job_id))
        for state, expected in ((JobState.FAILED, DatasetState.FAILED), (JobState.QUEUED, DatasetState.IMPORTING)):
            with database.write() as session:
                states.move(session, session.get_one(Job, lease.job_id), state, message="")
                assert session.scalar(select(Dataset.state)) == expected


class TestJournal:
    def test_numbers_events_without_gaps_when_many_write_at_once(self, database, who):
        job_id = make_job(database, who)

        def write() -> None:
            for _ in range(10):
                with database.write() as session:
                    journal.write(
                        session, job_id, [journal.Entry("log", {"text": "a"}), journal.Entry("log", {"text": "b"})]
                    )

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with database.read() as session:
            events = list(session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.number)))
        assert [event.number for event in events] == list(range(1, 61))
        assert [event.data["text"] for event in events] == ["a", "b"] * 30
