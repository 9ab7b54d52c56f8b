"""Estimates: counted work agrees with the real networks, and finished jobs correct the guess."""

import datetime as dt
import importlib
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from app.core.db import Database
from app.services import costs
from app.services.audit_costs import AuditSize, audit_core_s
from app.services.estimates import START_S, Estimate, estimate
from app.services.identity import Identity
from models import DatasetVersion, JobKind, JobState, SyntheticSet, Worker, db_now
from models.specs import (
    AuditSpec,
    EvaluateSpec,
    ExplainSpec,
    ImportSpec,
    JobSpec,
    SampleSpec,
    TrainClassifierSpec,
    TrainDiffusionSpec,
)
from tests import factories


@pytest.mark.parametrize(
    ("preset", "size", "channels"), [("tiny", 32, 1), ("small", 64, 3), ("base", 64, 1), ("large", 128, 3)]
)
def test_the_unet_is_counted_as_it_is(preset: str, size: int, channels: int) -> None:
    from workers.jobs.diffusion_start import network_config
    from workers.ml.networks import build_unet

    spec = TrainDiffusionSpec(dataset_id=1, preset=preset, image_size=size)
    counted = costs.unet(spec, channels=channels, num_classes=3)
    with torch.device("meta"):
        network = build_unet(config=network_config(spec, channels=channels, num_classes=3))
        flops = FlopCounterMode(display=False)
        with flops:
            network(
                torch.zeros(1, channels, size, size), torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
            )
    assert counted.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert counted.macs == pytest.approx(flops.get_total_flops() / 2, rel=0.01)


@pytest.mark.parametrize("architecture", ["resnet18", "tf_efficientnet_lite0", "mobilenetv2_100", "densenet121"])
def test_cnns_are_counted_nearly(architecture: str) -> None:
    import workers.ml  # noqa: F401 - mends torchvision, without which timm cannot be imported

    timm = importlib.import_module("timm")
    with torch.device("meta"):
        network = timm.create_model(architecture).eval()
        flops = FlopCounterMode(display=False)
        with flops:
            network(torch.zeros(1, 3, 96, 96))
    counted = costs.cnn(architecture, input_size=96)
    assert counted.parameters == pytest.approx(sum(p.numel() for p in network.parameters()), rel=0.05)
    assert counted.macs == pytest.approx(flops.get_total_flops() / 2, rel=0.1)


@pytest.fixture
def version(database: Database, who: Identity) -> DatasetVersion:
    with database.write() as session:
        return factories.dataset_with_version(session, who)


def of(database: Database, spec: JobSpec) -> Estimate:
    with database.read() as session:
        return estimate(session, spec)


def add_worker(database: Database, gflops: float, seconds_ago: float = 0) -> None:
    with database.write() as session:
        session.add(
            Worker(
                name=f"w{gflops}",
                queues=["gpu"],
                device="a device",
                memory_bytes=1,
                gflops=gflops,
                seen_at=db_now(-seconds_ago),
            )
        )


class TestTrainDiffusion:
    def test_twice_the_steps_take_nearly_twice_as_long(self, database: Database, version: DatasetVersion) -> None:
        once, twice = (
            of(database, TrainDiffusionSpec(dataset_id=version.dataset_id, num_steps=n)) for n in (50_000, 100_000)
        )
        assert twice.seconds_low == pytest.approx(2 * once.seconds_low, rel=0.02)
        assert once.seconds_low < once.seconds_high

    def test_looking_for_copies_takes_time_too(self, database: Database, version: DatasetVersion) -> None:
        # 100 checks of 32 images, 24 passes each, beside 1,000 steps of 32 images, 3 passes each: 1.8 times the work.
        plain = TrainDiffusionSpec(dataset_id=version.dataset_id, num_steps=1000, batch_size=32, preview_every=10)
        watched = plain.model_copy(update={"stop_on_copies": True})
        assert of(database, watched).seconds_low == pytest.approx(1.8 * of(database, plain).seconds_low, rel=0.01)

    def test_a_faster_worker_takes_less_time(self, database: Database, version: DatasetVersion) -> None:
        spec = TrainDiffusionSpec(dataset_id=version.dataset_id, num_steps=50_000)
        slow = of(database, spec)
        add_worker(database, 40_000)
        fast = of(database, spec)
        assert fast.seconds_high < slow.seconds_low / 10
        assert "a device" in fast.basis

    def test_a_worker_not_heard_of_does_not_count(self, database: Database, version: DatasetVersion) -> None:
        spec = TrainDiffusionSpec(dataset_id=version.dataset_id)
        before = of(database, spec)
        add_worker(database, 40_000, seconds_ago=3600)
        assert of(database, spec) == before

    def test_a_finished_job_replaces_the_guess(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        # 10 steps a second were measured; 100,000 such steps take 10,000 s whatever the worker says.
        spec = TrainDiffusionSpec(dataset_id=version.dataset_id, num_steps=100_000)
        with database.write() as session:
            done = {"spec": spec.model_dump(mode="json"), "state": JobState.SUCCEEDED, "rate": 10.0}
            factories.job(session, who, JobKind.TRAIN_DIFFUSION, **done)
        found = of(database, spec)
        assert (found.seconds_low * found.seconds_high) ** 0.5 == pytest.approx(10_000, rel=0.01)
        assert found.basis == "the speed of 1 finished job of this kind"

    def test_less_memory_is_needed_with_accumulation(self, database: Database, version: DatasetVersion) -> None:
        whole, split = (
            of(database, TrainDiffusionSpec(dataset_id=version.dataset_id, preset="base", accumulation=n))
            for n in (1, 8)
        )
        assert split.memory_bytes < whole.memory_bytes

    def test_privacy_costs_time_and_the_memory_of_a_gradient_for_each_image(
        self, database: Database, version: DatasetVersion
    ) -> None:
        plain, private = (
            of(database, TrainDiffusionSpec(dataset_id=version.dataset_id, num_steps=50_000, dp_epsilon=epsilon))
            for epsilon in (None, 8.0)
        )
        assert private.seconds_low > 2 * plain.seconds_low
        assert private.memory_bytes > plain.memory_bytes + 32 * 4 * 2_000_000


def test_every_kind_has_an_estimate(database: Database, who: Identity, version: DatasetVersion) -> None:
    with database.write() as session:
        checkpoint = factories.checkpoint(session, who, version)
        drawn = factories.synthetic_set(session, who, checkpoint)
        classifier = factories.classifier(session, who, version)
    for spec in (
        ImportSpec(upload_id=1, name="a"),
        TrainDiffusionSpec(dataset_id=version.dataset_id),
        SampleSpec(checkpoint_id=checkpoint.id, per_class=10),
        TrainClassifierSpec(synthetic_set_id=drawn.id),
        EvaluateSpec(classifier_id=classifier.id),
        ExplainSpec(classifier_id=classifier.id, image_ids=[1]),
        AuditSpec(synthetic_set_id=drawn.id),
    ):
        found = of(database, spec)
        assert 0 < found.seconds_low < found.seconds_high
        assert found.memory_bytes > 0
        assert found.basis


def test_parts_of_a_sampling_share_the_workers_there_are(
    database: Database, who: Identity, version: DatasetVersion
) -> None:
    # One image a second was measured of a part: 600 s alone; 3 parts take 2 rounds on 2 workers.
    with database.write() as session:
        checkpoint = factories.checkpoint(session, who, version)
        spec = SampleSpec(checkpoint_id=checkpoint.id, per_class=300)
        part = {**spec.model_dump(mode="json", exclude={"name"}), "kind": "sample_part", "num_parts": 3, "part": 1}
        factories.job(session, who, JobKind.SAMPLE_PART, spec=part, state=JobState.SUCCEEDED, rate=1.0)
    in_parts = spec.model_copy(update={"num_parts": 3})
    alone, on_none = of(database, spec), of(database, in_parts)
    assert (alone.seconds_low * alone.seconds_high) ** 0.5 == pytest.approx(START_S + 600)
    assert on_none.seconds_low == alone.seconds_low
    add_worker(database, 10)
    add_worker(database, 20)
    on_two = of(database, in_parts)
    assert on_two.seconds_high == pytest.approx(alone.seconds_high * 2 / 3)
    assert on_two.basis.endswith("; 3 parts on 2 GPU workers, if they are free")


def test_an_explanation_takes_as_long_again_for_each_further_seed(
    database: Database, who: Identity, version: DatasetVersion
) -> None:
    # An image takes 500 copies a seed and 2 * (20 + 1) for the curves: at 0.1 images a second, 10 s for 542 copies.
    with database.write() as session:
        classifier = factories.classifier(session, who, version)
        spec = ExplainSpec(classifier_id=classifier.id, image_ids=[1])
        done = {"spec": spec.model_dump(mode="json"), "state": JobState.SUCCEEDED, "rate": 0.1}
        factories.job(session, who, JobKind.EXPLAIN, **done)
    once, thrice = (of(database, spec.model_copy(update={"stability_seeds": n})) for n in (0, 2))
    assert (once.seconds_low * once.seconds_high) ** 0.5 == pytest.approx(START_S + 10)
    assert (thrice.seconds_low * thrice.seconds_high) ** 0.5 == pytest.approx(START_S + 10 * 1542 / 542)


class TestAnAudit:
    @pytest.fixture
    def drawn(self, database: Database, who: Identity, version: DatasetVersion) -> SyntheticSet:
        with database.write() as session:
            return factories.synthetic_set(session, who, factories.checkpoint(session, who, version))

    def test_takes_what_was_measured_beside_its_networks(self) -> None:
        small = AuditSize(
            synthetic=1000, train=1000, held_out=1000, most=5000, planted=480, side=64, channels=1, num_classes=1, num_extractors=1,
            num_similar=500, has_mirrors=False,
        )  # fmt: skip
        # Six comparisons of 1,000 a side at 2.0 s, 3,480 searches by pixels at 3.2 ms and 3,000,000 pairs by features at 0.85 us, 1,500 of MS-SSIM.
        assert audit_core_s(small) == pytest.approx(6 * 2.0 + 3480 * 3.2e-3 + 3e6 * 8.5e-7 + 1500 * 4e-4)
        twice = replace(small, num_extractors=2, has_mirrors=True)
        assert audit_core_s(twice) - audit_core_s(small) == pytest.approx(6 * 2.0 + 3480 * 0.8e-3 + 3e6 * 8.5e-7)

    def test_takes_as_long_as_finished_ones_took_beside_what_was_counted(
        self, database: Database, who: Identity, drawn: SyntheticSet
    ) -> None:
        spec = AuditSpec(synthetic_set_id=drawn.id)
        before = of(database, spec)
        counted = (before.seconds_low * before.seconds_high) ** 0.5 - START_S
        began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        with database.write() as session:
            ended = began + dt.timedelta(seconds=START_S + 3 * counted)
            done = {"spec": spec.model_dump(mode="json"), "state": JobState.SUCCEEDED, "rate": 1e6}
            factories.job(session, who, JobKind.AUDIT_SET, started_at=began, finished_at=ended, **done)
        found = of(database, spec)
        assert (found.seconds_low * found.seconds_high) ** 0.5 == pytest.approx(START_S + 3 * counted, rel=1e-3)
        assert found.basis == "counted work, at the pace of 1 finished audit"


def test_what_does_not_exist_is_estimated_all_the_same(database: Database, who: Identity) -> None:
    for spec in (
        TrainDiffusionSpec(dataset_id=999),
        SampleSpec(checkpoint_id=999, per_class=1),
        EvaluateSpec(classifier_id=999),
    ):
        assert of(database, spec).seconds_high > 0


def test_an_unknown_architecture_says_so(database: Database, version: DatasetVersion) -> None:
    known = of(database, TrainClassifierSpec(dataset_id=version.dataset_id, architecture="resnet50"))
    unknown = of(database, TrainClassifierSpec(dataset_id=version.dataset_id, architecture="convnext_tiny"))
    assert "ResNet-50" in unknown.basis
    assert "ResNet-50" not in known.basis
