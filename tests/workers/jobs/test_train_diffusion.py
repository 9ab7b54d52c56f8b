"""Training jobs on a tiny real network: exact resume, checkpoints, previews, stop and keep, going on from weights."""

import io
import shutil
import threading

import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import update

from app.core.errors import BadInputError
from app.services import jobs
from models import Checkpoint, DatasetVersion, JobState
from models.specs import TrainDiffusionSpec
from tests.workers.jobs.conftest import TINY_NETWORK, Studio
from workers.context import JobContext
from workers.jobs.train_diffusion import newest_checkpoint
from workers.ml.diffusion.training import load_denoiser


def spec_of(dataset_id: int, **options: object) -> TrainDiffusionSpec:
    values = {
        "num_steps": 12,
        "checkpoint_every": 4,
        "preview_every": 4,
        "previews_per_class": 2,
        **TINY_NETWORK,
        **options,
    }
    return TrainDiffusionSpec(dataset_id=dataset_id, **values)


def checkpoint_of(studio: Studio, spec: TrainDiffusionSpec) -> Checkpoint:
    return studio.made(Checkpoint, studio.run(spec), "checkpoint_id")


class TestTheResult:
    def test_is_a_network_that_can_be_loaded(self, studio: Studio, dataset_id: int) -> None:
        made = checkpoint_of(studio, spec_of(dataset_id))
        denoiser = load_denoiser(studio.storage.path(made.sha256), device="cpu")
        assert denoiser.metadata["classes"] == made.classes == ["disc", "ring"]
        assert (made.image_size, made.channels, made.num_steps) == (16, 1, 12)
        assert made.num_parameters == sum(p.numel() for p in denoiser.network.parameters())
        assert made.size == studio.storage.path(made.sha256).stat().st_size

    def test_has_the_same_bytes_when_made_again(self, studio: Studio, dataset_id: int) -> None:
        assert checkpoint_of(studio, spec_of(dataset_id)).sha256 == checkpoint_of(studio, spec_of(dataset_id)).sha256

    def test_does_not_depend_on_when_it_was_looked_at(self, studio: Studio, dataset_id: int) -> None:
        seldom = checkpoint_of(studio, spec_of(dataset_id, preview_every=12, checkpoint_every=12))
        assert seldom.sha256 == checkpoint_of(studio, spec_of(dataset_id, preview_every=1, checkpoint_every=1)).sha256

    def test_depends_on_the_seed(self, studio: Studio, dataset_id: int) -> None:
        assert (
            checkpoint_of(studio, spec_of(dataset_id)).sha256
            != checkpoint_of(studio, spec_of(dataset_id, seed=1)).sha256
        )


class TestResume:
    @pytest.mark.parametrize("dropout", [0.0, 0.2])
    def test_a_killed_training_ends_with_the_same_bytes(self, studio: Studio, dataset_id: int, dropout: float) -> None:
        spec = spec_of(dataset_id, dropout=dropout)
        expected = checkpoint_of(studio, spec).sha256
        job_id = studio.submit(spec)
        studio.kill_at(job_id, 6)
        studio.kill_at(job_id, 9)
        job = studio.work(job_id)
        assert job.resumed_from == 8
        assert "Going on from the checkpoint of step 8." in studio.log(job)
        assert studio.made(Checkpoint, job, "checkpoint_id").sha256 == expected

    def test_a_paused_training_goes_on_from_the_very_step(self, studio: Studio, dataset_id: int) -> None:
        spec = spec_of(dataset_id)
        expected = checkpoint_of(studio, spec).sha256

        def pause_at_seven(context: JobContext, done: int) -> None:
            context.flags.pause = done == 7

        job_id = studio.submit(spec)
        studio.attempt_until(job_id, pause_at_seven)
        job = studio.work(job_id)
        assert job.resumed_from == 7
        assert studio.made(Checkpoint, job, "checkpoint_id").sha256 == expected

    def test_a_damaged_checkpoint_is_passed_over_and_the_log_says_so(self, studio: Studio, dataset_id: int) -> None:
        spec = spec_of(dataset_id)
        expected = checkpoint_of(studio, spec).sha256
        job_id = studio.submit(spec)
        context = studio.kill_at(job_id, 9)
        newest = newest_checkpoint(context)
        assert newest is not None
        assert newest.name.endswith("8")
        (newest / "network.safetensors").write_bytes(b"torn")
        job = studio.work(job_id)
        assert job.resumed_from == 4
        assert "Passed over a checkpoint of attempt 1" in studio.log(job)
        assert studio.made(Checkpoint, job, "checkpoint_id").sha256 == expected

    def test_only_the_last_two_checkpoints_are_kept(self, studio: Studio, dataset_id: int) -> None:
        context = studio.kill_at(studio.submit(spec_of(dataset_id, num_steps=40)), 17)
        names = sorted(path.name for path in (context.folder / "checkpoints").iterdir())
        assert [int(name.split("-")[1]) for name in names] == [12, 16]

    def test_without_any_checkpoint_it_begins_anew(self, studio: Studio, dataset_id: int) -> None:
        spec = spec_of(dataset_id)
        expected = checkpoint_of(studio, spec).sha256
        job_id = studio.submit(spec)
        context = studio.kill_at(job_id, 9)
        shutil.rmtree(context.folder)
        job = studio.work(job_id)
        assert job.resumed_from is None
        assert studio.made(Checkpoint, job, "checkpoint_id").sha256 == expected


class TestPreviews:
    def test_show_every_class_from_the_first_step_to_the_last(self, studio: Studio, dataset_id: int) -> None:
        job = studio.run(spec_of(dataset_id))
        previews = studio.artifacts(job, "preview")
        assert previews[0].index == 0
        assert previews[-1].index == 12
        assert previews[0].data == {"step": 0, "classes": ["disc", "ring"], "columns": 2, "cell": 16, "gap": 2}
        sheet = np.asarray(PillowImage.open(io.BytesIO(studio.storage.read(previews[-1].sha256))))
        assert sheet.shape == (2 * 16 + 2, 2 * 16 + 2)

    def test_cost_no_more_than_a_tenth_of_the_time(self, studio: Studio, dataset_id: int) -> None:
        # A preview costs far more than a step of this network, so most of those asked for are left out.
        job = studio.run(spec_of(dataset_id, num_steps=30, preview_every=1, previews_per_class=16))
        assert 2 <= len(studio.artifacts(job, "preview")) < 15


def test_the_loss_curve_has_a_point_for_every_step(studio: Studio, dataset_id: int) -> None:
    job = studio.run(spec_of(dataset_id))
    assert [step for step, _ in studio.metric(job, "loss")] == list(range(1, 13))
    assert studio.metric(job, "lr")[0][1] > 0
    assert all(value > 0 for _, value in studio.metric(job, "images_per_s"))


def test_stop_and_keep_makes_a_checkpoint_of_the_steps_done(studio: Studio, dataset_id: int) -> None:
    job_id = studio.submit(spec_of(dataset_id, num_steps=1_000_000, warmup_steps=1))
    over = threading.Event()

    def ask_to_stop_once_it_runs() -> None:
        while not over.wait(0.2):
            if studio.job(job_id).done > 5:
                with studio.database.write() as session:
                    jobs.stop_and_keep(session, studio.who, jobs.get(session, studio.who, job_id))
                return

    person = threading.Thread(target=ask_to_stop_once_it_runs)
    person.start()
    job = studio.work(job_id)
    over.set()
    person.join()
    assert job.state == JobState.SUCCEEDED, job.error
    assert 5 < studio.made(Checkpoint, job, "checkpoint_id").num_steps < 1_000_000


class TestGoingOnFromWeights:
    def test_begins_where_the_other_training_ended(self, studio: Studio, dataset_id: int) -> None:
        first = studio.run(spec_of(dataset_id, num_steps=60))
        begun = studio.made(Checkpoint, first, "checkpoint_id")
        second = studio.run(spec_of(dataset_id, num_steps=5, init_checkpoint_id=begun.id, lr=1e-6))
        first_loss = np.mean([loss for _, loss in studio.metric(first, "loss")[:5]])
        assert np.mean([loss for _, loss in studio.metric(second, "loss")]) < 0.85 * first_loss

    def test_refuses_another_network(self, studio: Studio, dataset_id: int) -> None:
        begun = checkpoint_of(studio, spec_of(dataset_id))
        with pytest.raises(BadInputError, match=r"block_channels is \[8, 16\] there and \[8, 24\] here"):
            studio.submit(spec_of(dataset_id, init_checkpoint_id=begun.id, block_channels=[8, 24]))

    def test_refuses_other_classes(self, studio: Studio, dataset_id: int) -> None:
        begun = checkpoint_of(studio, spec_of(dataset_id))
        with studio.database.write() as session:
            session.execute(update(DatasetVersion).values(classes=["ring", "disc"]))
        with pytest.raises(BadInputError, match="has the classes 'ring', 'disc', but checkpoint"):
            studio.submit(spec_of(dataset_id, init_checkpoint_id=begun.id))


def test_bf16_on_a_cpu_is_refused_in_words(studio: Studio, dataset_id: int) -> None:
    job = studio.work(studio.submit(spec_of(dataset_id, precision="bf16")))
    assert job.error is not None
    assert job.error["code"] == "bad-input"
    assert "choose auto or fp32" in job.error["detail"]
