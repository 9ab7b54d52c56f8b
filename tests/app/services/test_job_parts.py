"""A sampling in parts: a job for each part and one that joins them; they fail, are tried again, stopped and cancelled together."""

import threading

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import leases, states
from app.core.db import Database
from app.core.errors import BadInputError, ConflictError
from app.services import jobs, studies
from app.services.identity import Identity
from app.services.studies import cancelling
from models import PARTS, Checkpoint, Job, JobKind, JobNeed, JobState, Queue, StudyStep, db_now
from models.specs import SampleSpec
from tests import factories
from tests.app.services.test_studies import spec_of

SUCCEEDED, FAILED, CANCELLED, WAITING, QUEUED, RUNNING, PAUSED = (
    JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.WAITING, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED,
)  # fmt: skip


@pytest.fixture
def checkpoint(database: Database, who: Identity) -> Checkpoint:
    with database.write() as session:
        return factories.checkpoint(session, who, factories.dataset_with_version(session, who))


@pytest.fixture
def session(database: Database, checkpoint: Checkpoint):
    with database.write() as session:
        yield session


@pytest.fixture
def whole(session: Session, who: Identity, checkpoint: Checkpoint) -> Job:
    """32 images of two classes in three parts."""
    return jobs.submit(session, who, spec(checkpoint))


@pytest.fixture
def parts(session: Session, whole: Job) -> list[Job]:
    return list(jobs.family(session, whole).parts)


def spec(checkpoint: Checkpoint, **options) -> SampleSpec:
    return SampleSpec(checkpoint_id=checkpoint.id, **{"per_class": 16, "num_parts": 3, **options})


def run(session: Session, job: Job) -> None:
    states.move(session, job, RUNNING, message="Started.")
    job.attempt += 1


def end(session: Session, job: Job, state: JobState, **values) -> None:
    if job.state == QUEUED:
        run(session, job)
    states.move(session, job, state, message="ended", **values)


def fail(session: Session, job: Job, why: str) -> None:
    end(session, job, FAILED, error={"code": "conflict", "detail": why})


def states_of(*found: Job) -> list[JobState]:
    return [job.state for job in found]


class TestASamplingInParts:
    def test_is_a_job_for_each_part_and_one_that_waits_for_them(self, session, who, whole, parts):
        assert [part.spec["part"] for part in parts] == [1, 2, 3]
        assert {part.kind for part in parts} == {JobKind.SAMPLE_PART}
        assert {part.queue for part in parts} == {Queue.GPU}
        assert {part.state for part in parts} == {QUEUED}
        assert sum(part.total for part in parts) == whole.total == 32
        assert (whole.kind, whole.state, whole.queue, whole.unit) == (JobKind.SAMPLE, WAITING, Queue.IO, "images")
        assert parts[1].title == f"Part 2 of 3 of {whole.title}"
        assert jobs.family(session, parts[1]).part_of is whole

    def test_is_queued_when_the_last_part_is_drawn(self, session, whole, parts):
        for part in parts:
            assert whole.state == WAITING
            end(session, part, SUCCEEDED, result={"drawn_sha256": "a"})
        assert whole.state == QUEUED
        assert PARTS not in whole.spec

    def test_counts_what_its_parts_have_drawn(self, session, whole, parts):
        parts[0].done, parts[2].done = 5, 3
        family = jobs.family(session, whole)
        assert (family.done(whole), family.fraction(whole)) == (8, 0.25)

    def test_that_is_asked_for_twice_with_one_key_is_one(self, session, who, checkpoint):
        first = jobs.submit(session, who, spec(checkpoint), idempotency_key="k")
        assert jobs.submit(session, who, spec(checkpoint), idempotency_key="k").id == first.id
        assert len(session.scalars(select(Job).where(Job.kind == JobKind.SAMPLE_PART)).all()) == 3

    def test_of_one_part_is_one_job(self, session, who, checkpoint):
        job = jobs.submit(session, who, spec(checkpoint, num_parts=1))
        assert (job.state, job.queue, jobs.needs(session, job)) == (QUEUED, Queue.GPU, [])

    def test_has_no_empty_part(self, session, who, checkpoint):
        with pytest.raises(BadInputError, match="32 images fill only 4 blocks of 8 images") as refused:
            jobs.submit(session, who, spec(checkpoint, num_parts=5))
        assert refused.value.errors[0]["pointer"] == "/num_parts"
        assert "at most 4" in refused.value.hint

    def test_is_folded_in_a_list_that_wants_it_so(self, session, who, whole, parts):
        assert jobs.listing(session, who, with_parts=False).items[0].id == whole.id
        assert not any(job.kind == JobKind.SAMPLE_PART for job in jobs.listing(session, who, with_parts=False).items)
        assert len(jobs.listing(session, who, kind=JobKind.SAMPLE_PART).items) == 3


def test_the_same_key_at_the_same_moment_makes_no_parts_twice(database, who, checkpoint):
    start = threading.Barrier(2)
    made = []

    def submit() -> None:
        start.wait()
        with database.write() as session:
            made.append(jobs.submit(session, who, spec(checkpoint), idempotency_key="k").id)

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 2
    assert made[0] == made[1]
    with database.read() as session:
        assert len(session.scalars(select(Job).where(Job.kind == JobKind.SAMPLE_PART)).all()) == 3


class TestAPartThatFails:
    def test_fails_the_whole_with_the_reason_and_leaves_the_others_alone(self, session, whole, parts):
        run(session, parts[0])
        fail(session, parts[1], "The disk is full.")
        assert states_of(*parts, whole) == [RUNNING, FAILED, QUEUED, FAILED]
        assert whole.error["title"] == "A part failed"
        assert whole.error["detail"] == (
            f"It waits for part 2 of 3 (job {parts[1].id}), which failed: The disk is full."
        )

    def test_is_tried_again_alone_and_the_whole_waits_again(self, session, who, whole, parts):
        end(session, parts[0], SUCCEEDED, result={"drawn_sha256": "a"})
        fail(session, parts[1], "The disk is full.")
        assert jobs.actions(parts[1]) == {"retry"}
        jobs.retry(session, who, parts[1])
        assert states_of(*parts, whole) == [SUCCEEDED, QUEUED, QUEUED, WAITING]
        assert whole.error is None
        for part in parts[1:]:
            end(session, part, SUCCEEDED, result={"drawn_sha256": "a"})
        assert whole.state == QUEUED

    def test_is_tried_again_with_the_whole_and_with_the_others_that_failed(self, session, who, whole, parts):
        end(session, parts[0], SUCCEEDED, result={"drawn_sha256": "a"})
        fail(session, parts[1], "one reason")
        fail(session, parts[2], "another reason")
        assert "retry" in jobs.actions(whole, parts)
        jobs.retry(session, who, whole)
        assert states_of(*parts, whole) == [SUCCEEDED, QUEUED, QUEUED, WAITING]

    def test_is_the_reason_as_long_as_it_is_failed(self, session, who, whole, parts):
        fail(session, parts[0], "one reason")
        fail(session, parts[2], "another reason")
        jobs.retry(session, who, parts[0])
        assert whole.state == FAILED
        assert "part 3 of 3" in whole.error["detail"]
        assert "another reason" in whole.error["detail"]

    def test_may_be_drawn_and_only_joining_failed(self, session, who, whole, parts):
        for part in parts:
            end(session, part, SUCCEEDED, result={"drawn_sha256": "a"})
        fail(session, whole, "no")
        jobs.retry(session, who, whole)
        assert states_of(*parts, whole) == [SUCCEEDED] * 3 + [QUEUED]


class TestCancelling:
    def test_the_whole_ends_its_parts_that_have_not_ended(self, session, who, whole, parts):
        end(session, parts[0], SUCCEEDED, result={"drawn_sha256": "a"})
        run(session, parts[1])
        jobs.cancel(session, who, whole)
        assert states_of(*parts, whole) == [SUCCEEDED, RUNNING, CANCELLED, CANCELLED]
        assert parts[1].cancel_requested_at is not None  # its worker ends it within seconds
        states.move(session, parts[1], CANCELLED, message="Cancelled.")
        assert whole.message == "Cancelled."

    def test_a_part_ends_the_whole_and_the_other_parts(self, session, who, whole, parts):
        jobs.cancel(session, who, parts[2])
        assert states_of(*parts, whole) == [CANCELLED] * 4

    def test_a_whole_of_which_a_part_failed_ends_those_that_still_run(self, session, who, whole, parts):
        fail(session, parts[0], "no")
        run(session, parts[1])
        assert "cancel" in jobs.actions(whole, parts)
        jobs.cancel(session, who, whole)
        assert states_of(*parts, whole) == [FAILED, RUNNING, CANCELLED, CANCELLED]
        assert parts[1].cancel_requested_at is not None

    def test_leaves_a_part_that_another_job_needs(self, session, who, whole, parts):
        other = factories.job(session, who, JobKind.SAMPLE, state=WAITING)
        session.add(JobNeed(job_id=other.id, option=PARTS, needs_id=parts[0].id))
        session.flush()
        jobs.cancel(session, who, whole)
        assert states_of(*parts, whole, other) == [QUEUED, CANCELLED, CANCELLED, CANCELLED, WAITING]

    def test_what_the_parts_need_ends_all_of_them(self, session, who):
        version = factories.dataset_with_version(session, who, name="other", num_images=200)
        study = studies.launch(session, who, spec_of(version, sampling={"num_parts": 3, "per_class": 16}))
        whole = session.get_one(Job, session.get_one(StudyStep, (study.id, "samples")).job_id)
        diffusion = session.get_one(Job, session.get_one(StudyStep, (study.id, "diffusion")).job_id)
        parts = jobs.family(session, whole).parts
        assert states_of(*parts, whole) == [WAITING] * 4
        jobs.cancel(session, who, diffusion)
        assert states_of(*parts, whole) == [CANCELLED] * 4

    def test_what_the_parts_need_fails_and_is_tried_again_with_all_of_them(self, session, who):
        version = factories.dataset_with_version(session, who, name="other", num_images=200)
        study = studies.launch(session, who, spec_of(version, sampling={"num_parts": 3, "per_class": 16}))
        whole = session.get_one(Job, session.get_one(StudyStep, (study.id, "samples")).job_id)
        diffusion = session.get_one(Job, session.get_one(StudyStep, (study.id, "diffusion")).job_id)
        parts = jobs.family(session, whole).parts
        fail(session, diffusion, "no")
        assert states_of(*parts, whole) == [FAILED] * 4
        with pytest.raises(ConflictError, match=f"job {diffusion.id}, whose result it needs, failed"):
            jobs.retry(session, who, whole)
        jobs.retry(session, who, diffusion)
        assert states_of(*parts, whole) == [WAITING] * 4
        end(session, diffusion, SUCCEEDED, result={"checkpoint_id": 7})
        assert states_of(*parts, whole) == [QUEUED] * 3 + [WAITING]
        assert {part.spec["checkpoint_id"] for part in parts} == {7}


class TestStopAndKeep:
    def test_of_the_whole_ends_every_part_early(self, session, who, whole, parts):
        end(session, parts[0], SUCCEEDED, result={"drawn_sha256": "a"})
        run(session, parts[1])
        jobs.pause(session, who, parts[2])
        assert "stop" in jobs.actions(whole, parts)
        jobs.stop_and_keep(session, who, whole)
        assert states_of(*parts, whole) == [SUCCEEDED, RUNNING, QUEUED, WAITING]
        assert parts[0].stop_requested_at is None
        assert all(job.stop_requested_at is not None for job in (parts[1], parts[2], whole))
        assert "stop" not in jobs.actions(whole, parts)

    def test_of_the_whole_is_refused_before_anything_is_drawn(self, session, who, whole, parts):
        assert "stop" not in jobs.actions(whole, parts)
        with pytest.raises(ConflictError, match="none of its parts has begun"):
            jobs.stop_and_keep(session, who, whole)

    def test_of_one_part_leaves_the_others(self, session, who, whole, parts):
        run(session, parts[0])
        jobs.stop_and_keep(session, who, parts[0])
        assert parts[0].stop_requested_at is not None
        assert all(job.stop_requested_at is None for job in (parts[1], parts[2], whole))


class TestInAStudy:
    @pytest.fixture
    def version(self, session, who):
        return factories.dataset_with_version(session, who, name="other", num_images=200)

    def launch(self, session, who, version, **sampling) -> Job:
        study = studies.launch(session, who, spec_of(version, sampling={"per_class": 16, **sampling}))
        return session.get_one(Job, session.get_one(StudyStep, (study.id, "samples")).job_id)

    def test_another_number_of_parts_is_the_same_step(self, session, who, version):
        whole = self.launch(session, who, version)
        assert self.launch(session, who, version, num_parts=3).id == whole.id
        assert self.launch(session, who, version, seed=5, num_parts=3).id != whole.id

    def test_one_of_which_a_part_was_stopped_early_is_not_used_again(self, session, who, version):
        whole = self.launch(session, who, version, num_parts=3)
        assert self.launch(session, who, version, num_parts=2).id == whole.id
        jobs.family(session, whole).parts[1].stop_requested_at = session.scalar(select(db_now()))
        session.flush()
        assert self.launch(session, who, version).id != whole.id

    def test_too_many_parts_are_refused_before_anything_is_launched(self, session, who, version):
        with pytest.raises(BadInputError, match="num_parts is 60"):
            self.launch(session, who, version, num_parts=60)

    def test_cancelling_the_study_ends_the_parts(self, session, who, version):
        whole = self.launch(session, who, version, num_parts=3)
        step = session.scalars(select(StudyStep).where(StudyStep.job_id == whole.id)).one()
        cancelling.cancel(session, who, studies.get(session, who, step.study_id))
        assert {part.state for part in jobs.family(session, whole).parts} == {CANCELLED}


def test_parts_that_end_while_the_whole_is_cancelled_leave_nobody_waiting(database, who, checkpoint):
    """A worker ends a part (locks the part, then the whole) while a person cancels: no deadlock, nothing left open."""
    for _ in range(5):
        with database.write() as session:
            whole_id = jobs.submit(session, who, spec(checkpoint)).id
            taken = leases.claim_next(session, queues=[Queue.GPU], owner="a")
            assert taken is not None
            lease = leases.Lease(taken.id, taken.attempt, "a")
        start = threading.Barrier(2)

        def finish(lease=lease, start=start) -> None:
            start.wait()
            with database.write() as session:
                leases.end(session, lease, SUCCEEDED, message="Done.", result={"drawn_sha256": "a"})

        def cancel(whole_id=whole_id, start=start) -> None:
            start.wait()
            with database.write() as session:
                jobs.cancel(session, who, jobs.get(session, who, whole_id))

        threads = [threading.Thread(target=finish), threading.Thread(target=cancel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        with database.read() as session:
            found = [*jobs.family(session, jobs.get(session, who, whole_id)).parts, jobs.get(session, who, whole_id)]
        assert found[-1].state == CANCELLED
        assert all(job.state in (CANCELLED, SUCCEEDED) or job.cancel_requested_at is not None for job in found)
        with database.write() as session:
            leases.end(session, lease, CANCELLED, message="Cancelled.")
