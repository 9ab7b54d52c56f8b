"""Training jobs on a tiny real network: exact resume, checkpoints, previews, stop and keep, going on from weights."""

import io
import shutil
import threading

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy.stats import norm
from sqlalchemy import update

from app.core.errors import BadInputError
from app.services import jobs
from models import Checkpoint, DatasetVersion, JobState
from models.specs import TrainDiffusionSpec
from tests.workers.jobs.conftest import TINY_NETWORK, Studio
from workers.context import JobContext
from workers.jobs import guarantee
from workers.jobs.diffusion_start import newest_checkpoint
from workers.ml.diffusion.training import Privacy, load_denoiser


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


class TestDifferentialPrivacy:
    PRIVATE = {"dp_epsilon": 8.0, "batch_size": 4}  # noqa: RUF012 - never changed

    def test_keeps_to_the_epsilon_asked_for_and_says_so(self, studio: Studio, dataset_id: int) -> None:
        made = checkpoint_of(studio, spec_of(dataset_id, **self.PRIVATE))
        assert made.guarantee is not None
        assert 7.5 < made.guarantee["epsilon"] <= 8.0
        assert (made.guarantee["unit"], made.guarantee["num_steps"], made.guarantee["max_grad_norm"]) == (
            "image",
            12,
            1.0,
        )
        num_images = 4 / made.guarantee["sampling_probability"]
        assert made.guarantee["delta"] == pytest.approx(1 / (10 * num_images))
        assert load_denoiser(studio.storage.path(made.sha256), device="cpu").metadata["guarantee"] == made.guarantee

    def test_differs_each_time_since_its_noise_is_secret(self, studio: Studio, dataset_id: int) -> None:
        first, second = (checkpoint_of(studio, spec_of(dataset_id, **self.PRIVATE)) for _ in range(2))
        assert first.sha256 != second.sha256
        assert first.guarantee == second.guarantee

    def test_has_spent_less_when_it_was_stopped_early(self, studio: Studio, dataset_id: int) -> None:
        spec = spec_of(dataset_id, **self.PRIVATE)
        privacy = guarantee.privacy_of(spec, num_images=40)
        assert privacy is not None
        spent = [guarantee.guarantee(spec, privacy, num_images=40, num_steps=steps)["epsilon"] for steps in (1, 6, 12)]
        assert spent == sorted(spent)
        assert spent[0] < spent[-1] <= 8.0

    def test_refuses_a_batch_of_everything(self, studio: Studio, dataset_id: int) -> None:
        job = studio.work(studio.submit(spec_of(dataset_id, dp_epsilon=8.0, batch_size=4096)))
        assert job.error is not None
        assert "privacy needs fewer than the 14 training images" in job.error["detail"]

    def test_does_not_begin_with_weights_that_know_the_images(self, studio: Studio, dataset_id: int) -> None:
        begun = checkpoint_of(studio, spec_of(dataset_id))
        with pytest.raises(BadInputError, match="has learnt images of this dataset"):
            studio.submit(spec_of(dataset_id, init_checkpoint_id=begun.id, **self.PRIVATE))

    def test_asks_for_less_noise_where_more_may_be_revealed(self) -> None:
        noises = []
        for epsilon in (1.0, 4.0, 16.0):
            privacy = guarantee.privacy_of(spec_of(1, dp_epsilon=epsilon, batch_size=4), num_images=400)
            assert privacy is not None
            noises.append(privacy.noise_multiplier)
        assert noises[0] > noises[1] > noises[2] > 0

    def test_the_accountant_agrees_with_the_closed_form_of_one_gaussian(self) -> None:
        """One step that takes almost every image is almost the plain Gaussian mechanism: RDP alpha / (2 sigma^2), whose best
        epsilon at delta is, by the plain conversion, 1 / (2 s^2) + sqrt(2 ln(1 / delta)) / s at most."""
        spec, sigma, delta = spec_of(1, dp_epsilon=8.0, batch_size=4000, dp_delta=1e-5), 2.0, 1e-5
        found = guarantee.guarantee(
            spec, Privacy(noise_multiplier=sigma, max_grad_norm=1.0), num_images=4001, num_steps=1
        )["epsilon"]
        assert found <= 1 / (2 * sigma**2) + (2 * np.log(1 / delta)) ** 0.5 / sigma

        # no less than what the exact Gaussian mechanism spends (Balle and Wang 2018)
        def exact_delta(epsilon: float) -> float:
            return float(
                norm.cdf(1 / (2 * sigma) - epsilon * sigma)
                - np.exp(epsilon) * norm.cdf(-1 / (2 * sigma) - epsilon * sigma)
            )

        assert exact_delta(found) <= delta
        assert exact_delta(0.8 * found) > delta
