"""Sampling jobs: which image has which index, the same images whatever happens, provenance, resume, stop and keep."""

import io
import json
import os
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import select

from app.core import leftovers
from app.core.drawing import CLASS_STRIDE, counts_of, requested
from models import Checkpoint, JobState, SyntheticImage, SyntheticSet, db_now
from models.specs import SampleSpec, TrainDiffusionSpec
from tests.workers.jobs.conftest import TINY_NETWORK, Studio
from workers.context import JobContext

DAY = 86_400


@pytest.fixture
def checkpoint(studio: Studio, dataset_id: int) -> Checkpoint:
    spec = TrainDiffusionSpec(dataset_id=dataset_id, num_steps=4, **TINY_NETWORK)
    return studio.made(Checkpoint, studio.run(spec), "checkpoint_id")


def images_of(studio: Studio, made: SyntheticSet) -> list[SyntheticImage]:
    return studio.rows(select(SyntheticImage).where(SyntheticImage.set_id == made.id).order_by(SyntheticImage.id))


def draw(studio: Studio, checkpoint: Checkpoint, **options: object) -> list[SyntheticImage]:
    spec = SampleSpec(checkpoint_id=checkpoint.id, **{"per_class": 5, "num_steps": 3, **options})
    return images_of(studio, studio.made(SyntheticSet, studio.run(spec), "synthetic_set_id"))


def by_index(images: list[SyntheticImage]) -> dict[int, str]:
    return {image.index: image.stored_sha256 for image in images}


class TestRequested:
    def test_classes_take_turns(self) -> None:
        spec = SampleSpec(checkpoint_id=1, counts={"a": 3, "b": 1})
        asked = [(request.label, request.index) for request in requested(counts_of(spec, ["a", "b", "c"]))]
        assert asked == [(0, 0), (1, CLASS_STRIDE), (0, 1), (0, 2)]


class TestImages:
    def test_there_are_as_many_of_each_class_as_asked_for(self, studio: Studio, checkpoint: Checkpoint) -> None:
        images = draw(studio, checkpoint, per_class=None, counts={"ring": 3, "disc": 1})
        assert Counter(image.label for image in images) == {1: 3, 0: 1}

    def test_are_the_same_whatever_the_batch_size(self, studio: Studio, checkpoint: Checkpoint) -> None:
        assert by_index(draw(studio, checkpoint, batch_size=1)) == by_index(draw(studio, checkpoint, batch_size=64))

    def test_a_larger_set_begins_with_the_smaller_one(self, studio: Studio, checkpoint: Checkpoint) -> None:
        small, large = by_index(draw(studio, checkpoint, per_class=2)), by_index(draw(studio, checkpoint, per_class=4))
        assert small.items() < large.items()

    def test_differ_between_seeds_and_between_indices(self, studio: Studio, checkpoint: Checkpoint) -> None:
        def pixels(images: list[SyntheticImage]) -> set[bytes]:
            return {PillowImage.open(io.BytesIO(studio.storage.read(i.stored_sha256))).tobytes() for i in images}

        first, second = pixels(draw(studio, checkpoint, seed=1)), pixels(draw(studio, checkpoint, seed=2))
        assert len(first | second) == 20

    def test_carry_how_they_were_made(self, studio: Studio, checkpoint: Checkpoint) -> None:
        image = draw(studio, checkpoint, seed=9, guidance=2.5)[-1]
        text = PillowImage.open(io.BytesIO(studio.storage.read(image.stored_sha256))).text  # type: ignore[attr-defined]
        recipe = json.loads(text["phantom-studio"])
        assert recipe.pop("version")
        assert recipe == {
            "synthetic": True, "generator": "Phantom Studio", "checkpoint_sha256": checkpoint.sha256, "class": "ring",
            "seed": 9, "index": image.index, "guidance": 2.5, "guidance_start": 0.2,
            "guidance_stop": 0.8, "sampler": "dpm++", "num_steps": 3,
        }  # fmt: skip
        assert "Synthetic image" in text["Comment"]

    def test_are_grey_where_the_dataset_is(self, studio: Studio, checkpoint: Checkpoint) -> None:
        stored = studio.storage.read(draw(studio, checkpoint)[0].stored_sha256)
        assert PillowImage.open(io.BytesIO(stored)).mode == "L"


class TestContinued:
    """A set that continues another one takes its images over."""

    def test_is_the_set_that_would_be_drawn_at_once(self, studio: Studio, checkpoint: Checkpoint) -> None:
        first = draw(studio, checkpoint, per_class=2)
        continued = draw(studio, checkpoint, per_class=4, synthetic_set_id=first[0].set_id)
        assert by_index(continued) == by_index(draw(studio, checkpoint, per_class=4))

    def test_what_is_there_is_not_drawn_again(self, studio: Studio, checkpoint: Checkpoint) -> None:
        first = draw(studio, checkpoint, per_class=2)
        other = draw(studio, checkpoint, per_class=1, seed=1)[0]
        with studio.database.write() as session:  # a mark by which the image that is taken over is known
            session.get_one(SyntheticImage, first[0].id).stored_sha256 = other.stored_sha256
        continued = draw(studio, checkpoint, per_class=4, synthetic_set_id=first[0].set_id)
        assert by_index(continued)[0] == other.stored_sha256
        assert len(continued) == 8

    def test_what_is_lost_of_it_is_drawn(self, studio: Studio, checkpoint: Checkpoint) -> None:
        first = draw(studio, checkpoint, per_class=2)
        studio.storage.path(first[0].stored_sha256).unlink()
        assert by_index(draw(studio, checkpoint, synthetic_set_id=first[0].set_id)).items() > by_index(first).items()

    def test_its_first_images_are_shown(self, studio: Studio, checkpoint: Checkpoint) -> None:
        first = draw(studio, checkpoint, per_class=2)
        job = studio.run(
            SampleSpec(checkpoint_id=checkpoint.id, per_class=4, num_steps=3, synthetic_set_id=first[0].set_id)
        )
        (sheet,) = studio.artifacts(job, "preview")
        assert sheet.data["columns"] == 2


class TestInterrupted:
    def test_a_killed_drawing_goes_on_and_gives_the_same_images(self, studio: Studio, checkpoint: Checkpoint) -> None:
        expected = by_index(draw(studio, checkpoint, batch_size=2))
        job_id = studio.submit(SampleSpec(checkpoint_id=checkpoint.id, per_class=5, num_steps=3, batch_size=2))
        studio.kill_at(job_id, 4)
        studio.kill_at(job_id, 8)
        job = studio.work(job_id)
        assert job.resumed_from == 8
        assert "Going on after 8 images of an earlier attempt." in studio.log(job)
        assert by_index(images_of(studio, studio.made(SyntheticSet, job, "synthetic_set_id"))) == expected

    def test_a_damaged_note_costs_only_its_own_images(self, studio: Studio, checkpoint: Checkpoint) -> None:
        expected = by_index(draw(studio, checkpoint, batch_size=2))
        job_id = studio.submit(SampleSpec(checkpoint_id=checkpoint.id, per_class=5, num_steps=3, batch_size=2))
        context = studio.kill_at(job_id, 6)
        min((context.folder / "checkpoints").glob("*.json")).write_text("[[1, 2")
        job = studio.work(job_id)
        assert job.resumed_from == 4
        assert "damaged" in studio.log(job)
        assert by_index(images_of(studio, studio.made(SyntheticSet, job, "synthetic_set_id"))) == expected

    def test_stop_and_keep_keeps_what_is_drawn(self, studio: Studio, checkpoint: Checkpoint) -> None:
        def stop_at_four(context: JobContext, done: int) -> None:
            context.flags.stop = done == 4

        job_id = studio.submit(SampleSpec(checkpoint_id=checkpoint.id, per_class=5, num_steps=3, batch_size=2))
        made = studio.made(SyntheticSet, studio.attempt(job_id, stop_at_four), "synthetic_set_id")
        assert (made.num_images, made.counts) == (4, {"disc": 2, "ring": 2})

    def test_a_sweep_takes_what_a_cancelled_drawing_left_and_keeps_what_a_paused_one_has(
        self, studio: Studio, checkpoint: Checkpoint
    ) -> None:
        paused, cancelled = (drawn_in_part(studio, checkpoint, seed, num_images=4) for seed in (6, 7))
        studio.set(cancelled, state=JobState.CANCELLED, finished_at=db_now(-3 * DAY))
        for file in (path for path in studio.settings.files_dir.rglob("*") if path.is_file()):
            os.utime(file, (time.time() - 10 * DAY,) * 2)
        swept = leftovers.sweep(studio.database, studio.storage, studio.settings)
        assert swept.num_files == 4 + 2  # images, and the notes of two batches
        assert not (studio.settings.jobs_dir / str(cancelled)).exists()
        studio.set(paused, state=JobState.QUEUED)
        job = studio.work(paused)
        assert job.resumed_from == 4
        images = images_of(studio, studio.made(SyntheticSet, job, "synthetic_set_id"))
        assert all(studio.storage.exists(image.stored_sha256) for image in images)


def drawn_in_part(studio: Studio, checkpoint: Checkpoint, seed: int, *, num_images: int) -> int:
    spec = SampleSpec(checkpoint_id=checkpoint.id, per_class=5, num_steps=3, batch_size=2, seed=seed)
    job_id = studio.submit(spec)
    studio.kill_at(job_id, num_images)
    studio.set(job_id, state=JobState.PAUSED)  # or the next attempt would be at it again
    return job_id


def test_the_first_images_are_shown_at_once(studio: Studio, checkpoint: Checkpoint) -> None:
    job = studio.run(SampleSpec(checkpoint_id=checkpoint.id, per_class=3, num_steps=3))
    (preview,) = studio.artifacts(job, "preview")
    assert preview.data["columns"] == 3
    sheet = np.asarray(PillowImage.open(io.BytesIO(studio.storage.read(preview.sha256))))
    assert sheet.shape == (2 * 18 - 2, 3 * 18 - 2)
