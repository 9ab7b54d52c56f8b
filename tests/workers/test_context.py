import pytest
from sqlalchemy import select, update

from app.core import leases
from app.core.leases import Lease
from app.services import jobs
from models import Artifact, Job, JobState, Metric, Queue
from models.specs import job_spec_adapter
from tests import factories
from tests.faults.counting import spec
from workers.context import JobCancelled, JobContext, JobPaused, JobReleased, LeaseLost


@pytest.fixture
def context(settings, database, storage, who) -> JobContext:
    with database.write() as session:
        factories.job(session, who, spec=spec(num_steps=3, seconds_per_step=0.01))
    with database.write() as session:
        job = leases.claim_next(session, queues=[Queue.GPU], owner="a")
    return JobContext(
        lease=Lease(job.id, job.attempt, "a"), project_id=job.project_id, spec=job_spec_adapter.validate_python(job.spec),
        database=database, storage=storage, settings=settings, device="cpu",
    )  # fmt: skip


def row(context: JobContext) -> Job:
    with context.database.read() as session:
        return session.get_one(Job, context.job_id)


def events(context: JobContext, kind: str) -> list[dict]:
    with context.database.read() as session:
        return [event.data for event in jobs.events_after(session, context.job_id, 0) if event.kind == kind]


def lose_lease(context: JobContext) -> None:
    with context.database.write() as session:
        session.execute(update(Job).where(Job.id == context.job_id).values(attempt=Job.attempt + 1))


class TestReport:
    def test_writes_nothing_itself_and_all_at_the_next_flush(self, context):
        for step in range(1, 1001):
            context.report(step, 2000, message=f"step {step}", rate=5.0, unit="steps")
        assert row(context).done == 0
        assert context.flush()
        job = row(context)
        assert (job.done, job.total, job.rate, job.message) == (1000, 2000, 5.0, "step 1000")
        assert len(events(context, "progress")) == 1

    def test_leaves_what_it_is_not_told_as_it_was(self, context):
        context.report(1, 10, rate=2.0)
        context.flush()
        context.report(2)
        context.flush()
        assert (row(context).done, row(context).total, row(context).rate) == (2, 10, 2.0)

    def test_obeys_in_the_order_lost_cancel_release_pause(self, context):
        saved = []
        context.on_interrupt(lambda: saved.append(True))
        context.flags.pause = context.flags.release = context.flags.cancel = context.flags.lost = True
        for flag, expected in (("lost", LeaseLost), ("cancel", JobCancelled)):
            with pytest.raises(expected):
                context.report(1)
            setattr(context.flags, flag, False)
        assert not saved
        with pytest.raises(JobReleased):
            context.report(1)
        assert saved == [True]

    def test_saves_before_it_pauses_and_saving_may_report(self, context):
        steps = []

        def save() -> None:
            context.report(7)
            steps.append("saved")

        context.on_interrupt(save)
        context.flags.pause = True
        with pytest.raises(JobPaused):
            context.report(6)
        assert steps == ["saved"]

    def test_stop_and_keep_raises_nothing(self, context):
        context.flags.stop = True
        context.report(1)
        assert context.should_stop


class TestFlush:
    def test_tells_when_the_lease_is_lost_and_writes_nothing(self, context):
        lose_lease(context)
        context.report(5)
        context.metric(5, loss=1.0)
        context.log("stale")
        assert not context.flush()
        assert row(context).done == 0
        assert not events(context, "log")
        with context.database.read() as session:
            assert session.scalar(select(Metric)) is None

    def test_keeps_the_order_of_log_lines_and_drops_none_when_the_database_fails(self, context):
        context.log("first")
        context.report(3)
        working, context.database = context.database, None
        with pytest.raises(AttributeError):
            context.flush()
        context.database = working
        context.log("second", level="warning")
        assert context.flush()
        assert events(context, "log") == [{"level": "info", "text": "first"}, {"level": "warning", "text": "second"}]
        assert row(context).done == 3

    def test_a_step_that_is_done_again_replaces_its_points(self, context):
        context.metric(1, loss=1.0, lr=0.1)
        context.flush()
        context.metric(1, loss=0.5)
        context.flush()
        with context.database.read() as session:
            points = session.execute(select(Metric.name, Metric.step, Metric.value).order_by(Metric.name)).all()
        assert [tuple(point) for point in points] == [("loss", 1, 0.5), ("lr", 1, 0.1)]

    @pytest.mark.parametrize(
        ("unit", "done", "words"),
        [
            ("steps", 1200, "Going on from the checkpoint of step 1,200."),
            ("images", 1200, "Going on after 1,200 images of an earlier attempt."),
            ("files", 1, "Going on after 1 file of an earlier attempt."),
        ],
    )
    def test_says_in_the_jobs_unit_where_it_went_on(self, context, unit, done, words):
        context.report(done, unit=unit)  # by an earlier attempt
        context.flush()
        context.resumed_from(done)
        context.flush()
        assert row(context).resumed_from == done
        assert events(context, "log")[0]["text"] == words

    def test_a_unit_that_was_reported_and_not_yet_written_down_counts(self, context):
        context.report(0, unit="files")
        context.resumed_from(7)
        context.flush()
        assert events(context, "log")[0]["text"] == "Going on after 7 files of an earlier attempt."


class TestPublish:
    def test_shows_a_file_at_once_and_replaces_it_under_the_same_index(self, context, storage):
        for content in (b"old", b"new"):
            context.publish("preview", 100, content, name="100.png", media_type="image/png", data={"step": 100})
        with context.database.read() as session:
            (artifact,) = session.scalars(select(Artifact))
        assert storage.read(artifact.sha256) == b"new"
        assert (artifact.role, artifact.index, artifact.size, artifact.data) == ("preview", 100, 3, {"step": 100})
        assert [event["index"] for event in events(context, "preview")] == [100, 100]

    def test_shows_nothing_once_the_lease_is_lost(self, context):
        lose_lease(context)
        with pytest.raises(LeaseLost):
            context.publish("preview", 1, b"stale", name="1.png", media_type="image/png")
        with context.database.read() as session:
            assert session.scalar(select(Artifact)) is None
        with pytest.raises(LeaseLost):
            context.report(1)


class TestCheckpointFolders:
    def test_are_those_that_exist_newest_attempt_first(self, context, settings):
        context.attempt = 11
        for attempt in (2, 9, 10, 12):
            (settings.jobs_dir / str(context.job_id) / str(attempt) / "checkpoints").mkdir(parents=True)
        assert [int(folder.parent.name) for folder in context.checkpoint_folders()] == [10, 9, 2]

    def test_the_job_has_a_folder_of_its_own_attempt(self, context, settings):
        assert context.folder == settings.jobs_dir / str(context.job_id) / "1"
        assert context.folder.is_dir()
        assert row(context).state == JobState.RUNNING
