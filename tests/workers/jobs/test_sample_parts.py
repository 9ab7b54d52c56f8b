"""A sampling in parts: the same images whatever the split, parts that go on and fail by themselves, and files that are safe."""

import os
import time
from pathlib import Path

import pytest

from app.core import leftovers
from app.services import jobs
from models import Checkpoint, Job, JobState, Queue, SyntheticImage, SyntheticSet, db_now
from models.specs import SampleSpec
from tests.workers.jobs.conftest import OWNER, Studio
from tests.workers.jobs.test_sample import checkpoint as checkpoint  # a fixture
from tests.workers.jobs.test_sample import images_of
from workers.context import JobContext
from workers.runner import Runner

DAY = 86_400


def spec(checkpoint: Checkpoint, **options: object) -> SampleSpec:
    return SampleSpec(checkpoint_id=checkpoint.id, **{"per_class": 10, "num_steps": 2, "num_parts": 3, **options})


def parts_of(studio: Studio, job_id: int) -> list[Job]:
    with studio.database.read() as session:
        return list(jobs.family(session, jobs.get(session, studio.who, job_id)).parts)


def act(studio: Studio, action: str, job_id: int) -> None:
    with studio.database.write() as session:
        getattr(jobs, action)(session, studio.who, jobs.get(session, studio.who, job_id))


def facts(images: list[SyntheticImage]) -> list[tuple[int, int, int, str]]:
    return [(image.index, image.label, image.seed, image.stored_sha256) for image in images]


def set_of(studio: Studio, job: Job) -> list[SyntheticImage]:
    return images_of(studio, studio.made(SyntheticSet, job, "synthetic_set_id"))


def work_on_parts(studio: Studio) -> None:
    """Let a worker do what waits, but not join."""
    runner = Runner(
        settings=studio.settings, database=studio.database, storage=studio.storage, queues=[Queue.GPU], owner=OWNER,
        device=lambda: "cpu",
    )  # fmt: skip
    runner.run_waiting()


def break_folder(studio: Studio, job: Job) -> Path:
    """Put a file where the job's folder is to be, so that it fails as on a broken disk."""
    folder = studio.settings.jobs_dir / str(job.id)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    return folder


def test_the_set_is_the_same_whatever_the_parts_and_batches(studio: Studio, checkpoint: Checkpoint) -> None:
    whole = studio.run(spec(checkpoint, num_parts=1))
    expected = set_of(studio, whole)
    assert len({image.stored_sha256 for image in expected}) == 20
    for options in ({}, {"batch_size": 3}, {"num_parts": 4, "batch_size": 16}):
        job = studio.run(spec(checkpoint, **options))
        assert facts(set_of(studio, job)) == facts(expected), options
        made = studio.made(SyntheticSet, job, "synthetic_set_id")
        assert (made.num_images, made.counts) == (20, {"disc": 10, "ring": 10})
        assert job.result == {"synthetic_set_id": made.id, "num_images": 20}
        assert all(part.result["num_images"] == part.total for part in parts_of(studio, job.id))
    (preview,), (joined,) = studio.artifacts(whole, "preview"), studio.artifacts(job, "preview")
    assert preview.data["classes"] == joined.data["classes"]


def test_only_the_part_that_was_killed_goes_on(studio: Studio, checkpoint: Checkpoint) -> None:
    expected = facts(set_of(studio, studio.run(spec(checkpoint, num_parts=1))))
    job_id = studio.submit(spec(checkpoint, batch_size=2))
    first = parts_of(studio, job_id)[0]
    studio.kill_at(first.id, 2)
    job = studio.work(job_id)
    again, *others = parts_of(studio, job_id)
    assert (again.attempt, again.resumed_from) == (2, 2)
    assert [(part.attempt, part.resumed_from) for part in others] == [(1, None)] * 2
    assert facts(set_of(studio, job)) == expected


def test_a_part_that_fails_fails_the_whole_and_is_tried_again_alone(studio: Studio, checkpoint: Checkpoint) -> None:
    expected = facts(set_of(studio, studio.run(spec(checkpoint, num_parts=1))))
    job_id = studio.submit(spec(checkpoint))
    second = parts_of(studio, job_id)[1]
    folder = break_folder(studio, second)
    job = studio.work(job_id)
    assert [part.state for part in parts_of(studio, job_id)] == [
        JobState.SUCCEEDED, JobState.FAILED, JobState.SUCCEEDED
    ]  # fmt: skip
    assert job.state == JobState.FAILED
    assert job.error["detail"].startswith(f"It waits for part 2 of 3 (job {second.id}), which failed: ")
    folder.unlink()
    act(studio, "retry", second.id)
    job = studio.work(job_id)
    assert job.state == JobState.SUCCEEDED, job.error
    assert [part.attempt for part in parts_of(studio, job_id)] == [1, 2, 1]
    assert facts(set_of(studio, job)) == expected


def test_a_checkpoint_that_cannot_be_read_fails_all_parts_and_trying_the_whole_again_tries_them_all(
    studio: Studio, checkpoint: Checkpoint
) -> None:
    file = studio.storage.path(checkpoint.sha256)
    weights = file.read_bytes()
    file.unlink()
    file.mkdir()
    job_id = studio.submit(spec(checkpoint))
    job = studio.work(job_id)
    assert {part.state for part in parts_of(studio, job_id)} == {JobState.FAILED}
    assert "part 1 of 3" in job.error["detail"]
    file.rmdir()
    file.write_bytes(weights)
    act(studio, "retry", job_id)
    assert studio.work(job_id).state == JobState.SUCCEEDED


class TestStopAndKeep:
    def test_of_a_part_leaves_a_smaller_set_of_all_classes(self, studio: Studio, checkpoint: Checkpoint) -> None:
        def stop_at_two(context: JobContext, done: int) -> None:
            context.flags.stop = done == 2

        job_id = studio.submit(spec(checkpoint, batch_size=2, per_class=24, num_parts=2))
        studio.attempt(parts_of(studio, job_id)[0].id, stop_at_two)
        job = studio.work(job_id)
        made = studio.made(SyntheticSet, job, "synthetic_set_id")
        second = parts_of(studio, job_id)[1].total
        assert made.num_images == 2 + second < 48
        assert made.counts["disc"] > 0 < made.counts["ring"]
        assert f"Only {made.num_images} of 48 images were drawn" in studio.log(job)

    def test_of_the_whole_keeps_what_its_parts_have(self, studio: Studio, checkpoint: Checkpoint) -> None:
        job_id = studio.submit(spec(checkpoint, batch_size=2))
        first = parts_of(studio, job_id)[0]
        studio.kill_at(first.id, 4)
        act(studio, "stop_and_keep", job_id)
        job = studio.work(job_id)
        assert [part.result["num_images"] for part in parts_of(studio, job_id)] == [4, 0, 0]
        assert "kept what there was" in job.message
        assert len(set_of(studio, job)) == 4

    def test_fails_plainly_where_nothing_was_drawn(self, studio: Studio, checkpoint: Checkpoint) -> None:
        job_id = studio.submit(spec(checkpoint))
        for part in parts_of(studio, job_id):
            studio.set(part.id, stop_requested_at=db_now())
        job = studio.work(job_id)
        assert job.state == JobState.FAILED
        assert "Nothing had been drawn" in job.error["detail"]


class TestFiles:
    def make_old(self, studio: Studio) -> None:
        for file in (path for path in studio.settings.files_dir.rglob("*") if path.is_file()):
            os.utime(file, (time.time() - 10 * DAY,) * 2)

    def sweep(self, studio: Studio) -> int:
        return leftovers.sweep(studio.database, studio.storage, studio.settings).num_files

    @pytest.mark.parametrize("state", [JobState.WAITING, JobState.FAILED])
    def test_of_parts_are_safe_until_they_are_joined(
        self, studio: Studio, checkpoint: Checkpoint, state: JobState
    ) -> None:
        job_id = studio.submit(spec(checkpoint))
        folder = break_folder(studio, parts_of(studio, job_id)[2]) if state == JobState.FAILED else None
        work_on_parts(studio)
        before = studio.job(job_id).state
        if state == JobState.WAITING:
            studio.set(job_id, state=JobState.WAITING)
        assert (before, self.sweep(studio)) in ((JobState.QUEUED, 0), (JobState.FAILED, 0))
        self.make_old(studio)
        assert self.sweep(studio) == 0
        if folder is not None:
            folder.unlink()
            act(studio, "retry", job_id)
        else:
            studio.set(job_id, state=JobState.QUEUED)
        job = studio.work(job_id)
        assert job.state == JobState.SUCCEEDED, job.error
        self.make_old(studio)
        assert self.sweep(studio) == 3  # the lists of the parts, which nobody needs any more
        assert all(studio.storage.exists(image.stored_sha256) for image in set_of(studio, job))

    def test_of_parts_go_when_the_whole_was_cancelled(self, studio: Studio, checkpoint: Checkpoint) -> None:
        job_id = studio.submit(spec(checkpoint))
        work_on_parts(studio)
        act(studio, "cancel", job_id)
        self.make_old(studio)
        assert self.sweep(studio) == 20 + 3

    def test_of_parts_that_are_gone_fail_the_whole(self, studio: Studio, checkpoint: Checkpoint) -> None:
        job_id = studio.submit(spec(checkpoint))
        before = {path for path in studio.settings.files_dir.rglob("*") if path.is_file()}
        work_on_parts(studio)
        drawn = {path for path in studio.settings.files_dir.rglob("*") if path.is_file()} - before
        next(path for path in drawn if path.read_bytes().startswith(b"\x89PNG")).unlink()
        job = studio.work(job_id)
        assert job.state == JobState.FAILED
        assert "1 of 20 images of its parts are no longer in storage" in job.error["detail"]
