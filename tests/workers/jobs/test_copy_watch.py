"""A training that is to stop on copies: it stops when it copies, keeps the network from before, and is otherwise the very same training."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sqlalchemy import select

from app.core.errors import BadInputError
from app.core.images import encode_png
from models import Checkpoint, Image, JobState, Split
from models.specs import MIN_HELD_OUT_TO_STOP, TrainDiffusionSpec
from tests import factories
from tests.workers.jobs.conftest import TINY_NETWORK, Studio
from workers.context import JobCancelled, JobContext
from workers.jobs.arrays import load_images, real_sources
from workers.jobs.copy_watch import CopyWatch, begin_watch
from workers.jobs.diffusion_start import newest_checkpoint
from workers.ml.diffusion.training import (
    TrainingState,
    load_denoiser,
    load_training_state,
    network_sha256,
    new_training_state,
)
from workers.ml.networks import UNetConfig
from workers.ml.privacy.calibration import MIN_HELD_OUT, NUM_FOLDS

SIDE = 16
QUICK: dict[str, Any] = {
    **TINY_NETWORK, "block_channels": [16, 32], "batch_size": 8, "lr": 1e-2, "warmup_steps": 20, "ema_decay": 0.95,
    "checkpoint_every": 30, "previews_per_class": 1, "stop_on_copies": True, "copy_check_images": 16,
}  # fmt: skip


def fields(num: int, *, seed: int) -> NDArray[np.uint8]:
    """(num, SIDE, SIDE, 1): smooth clouds, each of its own, that a tiny network can learn by heart."""
    clouds = gaussian_filter(np.random.default_rng(seed).normal(size=(num, SIDE, SIDE, 1)), (0, 2, 2, 0))
    return np.clip(128 + 60 * clouds / clouds.std(axis=(1, 2, 3), keepdims=True), 0, 255).astype(np.uint8)


def dataset_of(studio: Studio, *, train: int, val: int, num_classes: int = 8) -> int:
    """The dataset's id: `train` images to learn from, `val` to hold out, one test image that cannot be read."""
    num = train + val + 1
    with studio.database.write() as session:
        classes = [f"class {k}" for k in range(num_classes)]
        version = factories.dataset_with_version(session, studio.who, name="clouds", num_images=num, classes=classes)
        rows = session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)).all()
        splits = [Split.TRAIN] * train + [Split.VAL] * val + [Split.TEST]
        for row, split, pixels in zip(rows, splits, fields(num, seed=0), strict=True):
            row.split = split
            if split != Split.TEST:
                row.stored_sha256 = studio.storage.put(encode_png(pixels)).sha256
        version.counts = {
            name: {s: sum(r.label == label and r.split == s for r in rows) for s in Split}
            for label, name in enumerate(classes)
        }
        return version.dataset_id


def spec_of(dataset_id: int, **options: Any) -> TrainDiffusionSpec:
    return TrainDiffusionSpec(dataset_id=dataset_id, **{**QUICK, **options})


def ema_at(studio: Studio, spec: TrainDiffusionSpec, step: int) -> str:
    """Hash of the averaged weights that a training without the option has at `step`."""
    context = studio.kill_at(studio.submit(spec), step + 1)
    path = newest_checkpoint(context)
    assert path is not None
    state, _ = load_training_state(path, device="cpu")
    assert state.step == step
    return network_sha256(state.ema)


def test_a_training_that_copies_is_stopped_and_keeps_the_very_network_from_before(studio: Studio) -> None:
    """Eight images of eight classes, learnt by heart; killed between two alarms it stops all the same."""
    spec = spec_of(dataset_of(studio, train=8, val=120), num_steps=480, preview_every=40)
    job = studio.run(spec)
    made = studio.made(Checkpoint, job, "checkpoint_id")
    watch = made.copy_watch
    above = [check["step"] for check in watch["checks"] if check["is_above"]]
    assert above == [240, 280]
    assert (watch["stopped_at"], made.num_steps, job.done) == (280, 200, 280)
    said = "Stopped at step 280 of 480: copying began. This is the network of step 200, the last check before it."
    assert watch["sentence"] == said
    assert said in studio.log(job)
    assert [step for step, _ in studio.metric(job, "copy_rate")] == [40, 80, 120, 160, 200, 240, 280]
    assert studio.metric(job, "copy_rate")[-1][1] > 0.5
    assert {value for _, value in studio.metric(job, "copy_floor")} == {watch["floor"]["value"]}
    assert 200 in [preview.index for preview in studio.artifacts(job, "preview")]  # of the network that is kept

    killed = studio.submit(spec)
    studio.kill_at(killed, 250)
    again = studio.made(Checkpoint, studio.work(killed), "checkpoint_id")
    assert (
        studio.job(killed).resumed_from == 240
    )  # the first alarm and the network from before it are in what was saved
    assert (again.sha256, again.copy_watch) == (made.sha256, watch)

    network = load_denoiser(studio.storage.path(made.sha256), device="cpu").network
    plain = spec.model_copy(update={"stop_on_copies": False, "checkpoint_every": 40})
    assert network_sha256(network) == ema_at(studio, plain, 200)


TINY: dict[str, Any] = {
    **TINY_NETWORK,
    "num_steps": 12,
    "preview_every": 4,
    "checkpoint_every": 5,
    "copy_check_images": 8,
    "dropout": 0.1,
}


class TestATrainingThatDoesNotCopy:
    def test_goes_through_with_the_very_network_that_it_has_without_the_option(self, studio: Studio) -> None:
        dataset_id = dataset_of(studio, train=60, val=30, num_classes=2)
        plain = studio.made(Checkpoint, studio.run(TrainDiffusionSpec(dataset_id=dataset_id, **TINY)), "checkpoint_id")
        job = studio.run(TrainDiffusionSpec(dataset_id=dataset_id, stop_on_copies=True, **TINY))
        made = studio.made(Checkpoint, job, "checkpoint_id")
        assert made.sha256 == plain.sha256
        assert plain.copy_watch is None
        assert (made.num_steps, made.copy_watch["stopped_at"]) == (12, None)
        assert [check["step"] for check in made.copy_watch["checks"]] == [4, 8, 12]
        assert made.copy_watch["sentence"].startswith("No copying was found: at the last check, at step 12, ")
        assert (made.copy_watch["num_train"], made.copy_watch["num_held_out"]) == (60, 30)

    def test_stopped_by_a_person_before_any_check_it_says_so(self, studio: Studio) -> None:
        dataset_id = dataset_of(studio, train=60, val=30, num_classes=2)
        job_id = studio.submit(TrainDiffusionSpec(dataset_id=dataset_id, stop_on_copies=True, **TINY))

        def stop(context: JobContext, done: int) -> None:
            context.flags.stop = done == 2

        made = studio.made(Checkpoint, studio.attempt(job_id, stop), "checkpoint_id")
        assert (made.num_steps, made.copy_watch["checks"]) == (2, [])
        assert made.copy_watch["sentence"] == "It was stopped before the first check for copies."


def watch_of(studio: Studio) -> CopyWatch:
    """Of a training that has just been killed at its second step."""
    dataset_id = dataset_of(studio, train=60, val=30, num_classes=2)
    job_id = studio.submit(TrainDiffusionSpec(dataset_id=dataset_id, stop_on_copies=True, **TINY))
    context = studio.kill_at(job_id, 2)
    assert isinstance(context.spec, TrainDiffusionSpec)
    with studio.database.read() as session:
        sources = real_sources(session, version_id=context.spec.version_id or 0, split=Split.TRAIN)
    data = load_images(context, sources, image_size=16, channels=1, fit="pad", what="images")
    return begin_watch(context, context.spec, data, classes=["a", "b"], channels=1)


def state_at(step: int) -> TrainingState:
    config = UNetConfig(
        image_size=16, channels=1, num_classes=2, block_channels=(8, 16), layers_per_block=1, attention_levels=(1,), patch_size=2,
        stem_channels=8, dropout=0.0,
    )  # fmt: skip
    state = new_training_state(config=config, lr=1e-3, weight_decay=0.0, prediction="v", seed=0, device="cpu")
    state.step = step
    return state


class TestTheWatch:
    def test_makes_a_check_again_that_an_interruption_cut_short(self, studio: Studio) -> None:
        watch, state = watch_of(studio), state_at(4)
        watch.context.flags.cancel = True
        with pytest.raises(JobCancelled):
            watch.check(state)
        assert watch.is_due(4)
        watch.context.flags.cancel = False
        watch.check(state)
        assert not watch.is_due(4)
        assert [watch.is_due(step) for step in (5, 8, 11, 12)] == [False, True, False, True]

    def test_has_no_network_to_keep_where_every_check_found_copies(self, studio: Studio) -> None:
        watch = watch_of(studio)
        watch.checks = [{"step": step, "count": 8, "n": 8, "is_above": True} for step in (4, 8)]
        assert watch.copying_began
        with pytest.raises(BadInputError, match="Every check for copies found them, the first at step 4"):
            watch.last_without(state_at(8))

    def test_says_that_a_last_alarm_was_not_confirmed(self, studio: Studio) -> None:
        watch = watch_of(studio)
        watch.checks = [
            {"step": 8, "count": 0, "n": 8, "is_above": False},
            {"step": 12, "count": 8, "n": 8, "is_above": True},
        ]
        report = watch.report(step=12)
        assert report["stopped_at"] is None
        assert (
            "at step 12, raised an alarm that no further check could confirm: 8 of 8 images drawn" in report["sentence"]
        )


class TestTooFewValidationImages:
    def test_are_refused_when_the_training_is_asked_for(self, studio: Studio) -> None:
        dataset_id = dataset_of(studio, train=60, val=24, num_classes=2)
        with pytest.raises(BadInputError, match="has 24 images; to stop on copies at least 25 are needed") as caught:
            studio.submit(spec_of(dataset_id, num_steps=10))
        assert caught.value.errors[0]["pointer"] == "/stop_on_copies"
        assert studio.submit(spec_of(dataset_id, num_steps=10, stop_on_copies=False))

    def test_are_as_many_as_a_threshold_and_its_floor_need(self) -> None:
        assert MIN_HELD_OUT_TO_STOP * (NUM_FOLDS - 1) == MIN_HELD_OUT * NUM_FOLDS

    def test_fail_the_job_before_its_first_step_where_look_alikes_leave_fewer(self, studio: Studio) -> None:
        dataset_id = dataset_of(studio, train=60, val=30, num_classes=2)
        with studio.database.write() as session:
            rows = session.scalars(select(Image).order_by(Image.id)).all()
            for number in range(10):  # each of ten validation images resembles a training image
                rows[number].cluster = rows[60 + number].cluster = number
        job = studio.work(studio.submit(spec_of(dataset_id, num_steps=10)))
        assert (job.state, job.done) == (JobState.FAILED, 0)
        assert job.error is not None
        assert "cannot be judged" in job.error["detail"]
        assert "larger validation part" in job.error["hint"]


def test_what_an_earlier_training_learnt_is_searched_too(studio: Studio) -> None:
    dataset_id = dataset_of(studio, train=60, val=30, num_classes=2)
    first = studio.run(TrainDiffusionSpec(dataset_id=dataset_id, **{**TINY, "num_steps": 2}))
    begun = studio.made(Checkpoint, first, "checkpoint_id")
    second = TrainDiffusionSpec(
        dataset_id=dataset_id, init_checkpoint_id=begun.id, train_share=0.2, stop_on_copies=True, **TINY
    )
    assert studio.made(Checkpoint, studio.run(second), "checkpoint_id").copy_watch["num_train"] == 60
