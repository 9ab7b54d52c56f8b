import datetime as dt
import threading

import pytest
from sqlalchemy import select

from app.core import journal, leases
from app.core.errors import ConflictError, NotFoundError
from app.services import jobs
from models import Artifact, AuditEvent, Job, JobKind, JobState, Metric, Queue, Worker, db_now
from models.specs import TrainDiffusionSpec
from tests import factories

ACTIONS = {
    "cancel": jobs.cancel,
    "stop": jobs.stop_and_keep,
    "pause": jobs.pause,
    "resume": jobs.resume,
    "retry": jobs.retry,
}

LEGAL = {
    JobState.WAITING: {"cancel": JobState.CANCELLED},
    JobState.QUEUED: {"cancel": JobState.CANCELLED, "pause": JobState.PAUSED},
    JobState.RUNNING: {"cancel": JobState.RUNNING, "stop": JobState.RUNNING, "pause": JobState.RUNNING},
    JobState.PAUSED: {"cancel": JobState.CANCELLED, "resume": JobState.QUEUED},
    JobState.SUCCEEDED: {},
    JobState.FAILED: {"retry": JobState.QUEUED},
    JobState.CANCELLED: {},
}


def spec(version, **options) -> TrainDiffusionSpec:
    return TrainDiffusionSpec(dataset_id=version.dataset_id, preset="tiny", image_size=32, **options)


class TestSubmit:
    def test_makes_a_waiting_job_with_its_spec_completed(self, session, who, version):
        job = jobs.submit(session, who, spec(version, seed=3))
        assert (job.state, job.queue, job.kind) == (JobState.QUEUED, Queue.GPU, JobKind.TRAIN_DIFFUSION)
        assert (job.spec["version_id"], job.spec["seed"]) == (version.id, 3)
        assert "shapes" in job.title
        assert [event.kind for event in jobs.events_after(session, job.id, 0)] == ["state"]
        audit = session.scalars(select(AuditEvent)).one()
        assert (audit.action, audit.subject, audit.actor) == ("jobs.submit", f"job {job.id}", who.name)

    def test_refuses_another_projects_dataset(self, session, who, version):
        stranger = factories.identity(session, "other")
        with pytest.raises(NotFoundError):
            jobs.submit(session, stranger, spec(version))

    def test_gives_the_first_job_when_a_request_is_sent_twice(self, session, who, version):
        first = jobs.submit(session, who, spec(version), idempotency_key="k")
        again = jobs.submit(session, who, spec(version), idempotency_key="k")
        assert again.id == first.id
        assert len(list(session.scalars(select(Job)))) == 1

    def test_refuses_a_key_used_for_something_else_and_says_what_differs(self, session, who, version):
        jobs.submit(session, who, spec(version), idempotency_key="k")
        with pytest.raises(ConflictError, match="another seed"):
            jobs.submit(session, who, spec(version, seed=1), idempotency_key="k")

    def test_keys_of_other_projects_are_other_keys(self, session, who, version):
        first = jobs.submit(session, who, spec(version), idempotency_key="k")
        stranger = factories.identity(session, "other")
        theirs = factories.dataset_with_version(session, stranger)
        assert jobs.submit(session, stranger, spec(theirs), idempotency_key="k").id != first.id

    def test_two_requests_with_one_key_at_the_same_moment_make_one_job(self, database, who):
        with database.write() as session:
            version = factories.dataset_with_version(session, who)
        start = threading.Barrier(4)
        made: list[int] = []

        def ask() -> None:
            start.wait()
            with database.write() as session:
                made.append(jobs.submit(session, who, spec(version), idempotency_key="k").id)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 4
        assert len(set(made)) == 1


class TestActions:
    @pytest.mark.parametrize("state", JobState)
    def test_do_what_the_state_allows_and_refuse_the_rest_in_words(self, session, who, state):
        for name, action in ACTIONS.items():
            job = factories.job(session, who, state=state)
            assert (name in jobs.actions(job)) == (name in LEGAL[state])
            if name in LEGAL[state]:
                assert action(session, who, job).state == LEGAL[state][name]
            else:
                with pytest.raises(ConflictError, match=f"Job {job.id} is {state} and cannot be ") as refused:
                    action(session, who, job)
                assert refused.value.hint
                assert job.state == state

    @pytest.mark.parametrize("name", ACTIONS)
    def test_refuse_another_projects_job(self, session, who, name):
        job = factories.job(session, who, state=JobState.RUNNING)
        with pytest.raises(NotFoundError):
            ACTIONS[name](session, factories.identity(session, "other"), job)

    def test_a_running_job_is_only_asked(self, session, who):
        job = factories.job(session, who, state=JobState.RUNNING)
        jobs.pause(session, who, job)
        jobs.stop_and_keep(session, who, job)
        jobs.cancel(session, who, job)
        assert None not in (job.pause_requested_at, job.stop_requested_at, job.cancel_requested_at)
        assert jobs.actions(job) == set()

    def test_cancelling_twice_is_cancelling_once(self, session, who):
        job = factories.job(session, who)
        assert jobs.cancel(session, who, jobs.cancel(session, who, job)).state == JobState.CANCELLED
        assert len(list(session.scalars(select(AuditEvent)))) == 1

    def test_nothing_can_be_asked_of_a_job_that_is_being_cancelled(self, session, who):
        job = factories.job(session, who, state=JobState.RUNNING)
        jobs.cancel(session, who, job)
        for action in (jobs.pause, jobs.stop_and_keep):
            with pytest.raises(ConflictError, match="is being cancelled"):
                action(session, who, job)

    def test_an_import_can_neither_be_paused_nor_stopped_half_way(self, session, who):
        job = factories.job(session, who, JobKind.IMPORT_DATASET, state=JobState.RUNNING)
        assert jobs.actions(job) == {"cancel"}
        for action in (jobs.pause, jobs.stop_and_keep):
            with pytest.raises(ConflictError, match="import_dataset cannot be"):
                action(session, who, job)

    def test_a_pause_that_has_not_happened_can_be_taken_back(self, session, who):
        job = factories.job(session, who, state=JobState.RUNNING)
        jobs.pause(session, who, job)
        assert "resume" in jobs.actions(job)
        jobs.resume(session, who, job)
        assert (job.state, job.pause_requested_at) == (JobState.RUNNING, None)

    def test_a_retry_begins_with_a_clean_slate(self, session, who):
        now = dt.datetime.now(dt.UTC)
        job = factories.job(
            session,
            who,
            state=JobState.FAILED,
            crashes=3,
            error={"code": "crashed"},
            finished_at=now,
            stop_requested_at=now,
        )
        jobs.retry(session, who, job)
        assert (job.crashes, job.error, job.finished_at, job.stop_requested_at) == (0, None, None, None)
        assert leases.claim_next(session, queues=[Queue.GPU], owner="a").id == job.id

    def test_decide_on_the_row_as_it_is_now_and_not_as_it_was_read(self, database, who):
        with database.write() as session:
            job = factories.job(session, who)
        with database.write() as session:
            leases.claim_next(session, queues=[Queue.GPU], owner="a")
        with database.write() as session:
            session.add(job)  # still says queued
            assert jobs.cancel(session, who, job).state == JobState.RUNNING


class TestFollowing:
    def test_lists_newest_first_by_kind_and_state_within_the_project(self, session, who):
        first = factories.job(session, who)
        second = factories.job(session, who, JobKind.SAMPLE)
        third = factories.job(session, who, state=JobState.FAILED)
        factories.job(session, factories.identity(session, "other"))
        assert [job.id for job in jobs.listing(session, who).items] == [third.id, second.id, first.id]
        assert [job.id for job in jobs.listing(session, who, kind=JobKind.SAMPLE).items] == [second.id]
        assert [job.id for job in jobs.listing(session, who, state=JobState.FAILED).items] == [third.id]
        page = jobs.listing(session, who, limit=2)
        assert [job.id for job in jobs.listing(session, who, cursor=page.next_cursor).items] == [first.id]

    def test_active_jobs_stand_in_the_order_in_which_they_are_done(self, session, who):
        states = [JobState.PAUSED, JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
        paused, queued, running, _ = (factories.job(session, who, state=state) for state in states)
        urgent = factories.job(session, who, priority=1)
        assert [job.id for job in jobs.active(session, who)] == [running.id, urgent.id, queued.id, paused.id]

    def test_counts_every_state(self, session, who):
        for state in (JobState.QUEUED, JobState.QUEUED, JobState.FAILED):
            factories.job(session, who, state=state)
        counts = jobs.counts_by_state(session, who)
        assert counts == dict.fromkeys(JobState, 0) | {JobState.QUEUED: 2, JobState.FAILED: 1}

    def test_position_counts_the_jobs_that_go_first_in_the_same_queue(self, session, who):
        first, second = factories.job(session, who), factories.job(session, who)
        factories.job(session, who, JobKind.EXPLAIN)
        urgent = factories.job(session, who, priority=9)
        assert [jobs.queue_position(session, job) for job in (urgent, first, second)] == [1, 2, 3]
        assert jobs.queue_position(session, factories.job(session, who, state=JobState.RUNNING)) is None

    def test_time_left_is_a_range_about_the_rate(self, session, who):
        job = factories.job(session, who, state=JobState.RUNNING, done=50, total=150, rate=10.0)
        low, high = jobs.time_left(job)
        assert low < 10 < high
        assert jobs.time_left(factories.job(session, who, state=JobState.RUNNING, done=50, total=150)) is None
        assert jobs.time_left(factories.job(session, who, done=50, total=150, rate=10.0)) is None

    def test_replays_events_after_a_number(self, session, who):
        job = factories.job(session, who)
        journal.write(session, job.id, [journal.Entry("log", {"text": str(i)}) for i in range(5)])
        assert [event.data["text"] for event in jobs.events_after(session, job.id, 2)] == ["2", "3", "4"]
        assert [event.number for event in jobs.events_after(session, job.id, 0, limit=2)] == [1, 2]

    def test_thins_a_curve_evenly_and_keeps_its_last_point(self, session, who):
        job = factories.job(session, who)
        session.add_all(Metric(job_id=job.id, name="loss", step=step, value=step / 10) for step in range(1, 2506))
        session.add_all(Metric(job_id=job.id, name="lr", step=step, value=1.0) for step in (1, 2, 3))
        session.flush()
        curves = jobs.metrics(session, job, max_points=1000)
        steps = [step for step, _ in curves["loss"]]
        assert steps[:3] == [1, 4, 7]
        assert steps[-1] == 2505
        assert len(steps) <= 1001
        assert curves["loss"][1] == (4, pytest.approx(0.4))
        assert curves["lr"] == [(1, 1.0), (2, 1.0), (3, 1.0)]
        assert set(jobs.metrics(session, job, names=["lr"])) == {"lr"}

    def test_previews_come_by_step(self, session, who):
        job = factories.job(session, who)
        for role, index in (("preview", 200), ("preview", 100), ("report", 0)):
            session.add(
                Artifact(
                    job_id=job.id, role=role, index=index, name="a.png", media_type="image/png", size=1, sha256="0" * 64
                )
            )
        session.flush()
        assert [artifact.index for artifact in jobs.previews(session, job)] == [100, 200]
        assert len(jobs.artifacts(session, job)) == 3

    def test_workers_are_those_heard_of_lately(self, session):
        for name, age_s in (("silent", 60), ("here", 5)):
            session.add(
                Worker(name=name, queues=["gpu"], device="cpu", memory_bytes=1, gflops=1, seen_at=db_now(-age_s))
            )
        session.flush()
        assert [worker.name for worker in jobs.workers(session)] == ["here"]


class TestLineage:
    def test_names_what_a_job_was_made_from_and_what_it_made(self, session, who, version):
        checkpoint = factories.checkpoint(session, who, version)
        synthetic_set = factories.synthetic_set(session, who, checkpoint)
        job = session.get_one(Job, synthetic_set.job_id)
        job.spec = {"kind": "sample", "checkpoint_id": checkpoint.id}
        links = [(link.kind, link.id, link.url, link.made) for link in jobs.lineage(session, job)]
        assert links == [
            ("checkpoint", checkpoint.id, f"/checkpoints/{checkpoint.id}", False),
            ("synthetic set", synthetic_set.id, f"/synthetic-sets/{synthetic_set.id}", True),
        ]

    def test_a_copy_starts_from_the_same_spec(self, session, who):
        job = factories.job(session, who)
        copied = jobs.duplicate(job)
        copied["seed"] = 9
        assert job.spec["seed"] == 0
