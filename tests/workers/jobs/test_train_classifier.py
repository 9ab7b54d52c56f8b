"""Classifier jobs: what is learnt from, the resolution both arms see, exact resume, stop and keep."""

import pytest

from models import Classifier, DatasetVersion, Mark, SyntheticImage, SyntheticSet
from models.specs import TrainClassifierSpec
from tests import factories
from tests.workers.jobs.conftest import Studio
from workers.context import JobContext
from workers.ml.classification.prediction import load_classifier


def spec_of(**options: object) -> TrainClassifierSpec:
    values = {"architecture": "resnet10t", "pretrained": False, "epochs": 2, "input_size": 32, "batch_size": 4}
    return TrainClassifierSpec(**{**values, **options})


def classifier_of(studio: Studio, spec: TrainClassifierSpec) -> Classifier:
    return studio.made(Classifier, studio.run(spec), "classifier_id")


@pytest.fixture
def synthetic_set(studio: Studio, version_id: int) -> SyntheticSet:
    """Four stored images of each class, one of them rejected."""
    with studio.database.write() as session:
        version = session.get_one(DatasetVersion, version_id)
        checkpoint = factories.checkpoint(session, studio.who, version, spec={"kind": "train_diffusion", "fit": "crop"})
        made = factories.synthetic_set(session, studio.who, checkpoint, per_class=4, storage=studio.storage)
        session.query(SyntheticImage).filter_by(index=0).update({"mark": Mark.REJECTED})
        return made


class TestWhatIsLearnt:
    def test_real_images_are_those_of_the_training_split(self, studio: Studio, dataset_id: int) -> None:
        made = classifier_of(studio, spec_of(dataset_id=dataset_id))
        assert made.num_train_images == 14
        assert (made.image_size, made.train_on, made.weights_source) == (32, "real", "random weights")

    def test_synthetic_images_are_those_not_rejected(self, studio: Studio, synthetic_set: SyntheticSet) -> None:
        made = classifier_of(studio, spec_of(synthetic_set_id=synthetic_set.id))
        assert made.num_train_images == 7
        assert made.synthetic_set_id == synthetic_set.id

    def test_both_are_read_at_the_resolution_of_the_synthetic_ones(
        self, studio: Studio, synthetic_set: SyntheticSet, dataset_id: int
    ) -> None:
        made = classifier_of(studio, spec_of(dataset_id=dataset_id, synthetic_set_id=synthetic_set.id, train_on="both"))
        assert made.num_train_images == 14 + 7
        assert made.image_size == synthetic_set.image_size == 16
        assert load_classifier(studio.storage.path(made.sha256), device="cpu").metadata["fit"] == "crop"

    def test_images_per_class_caps_each_class_of_each_source(
        self, studio: Studio, synthetic_set: SyntheticSet, dataset_id: int
    ) -> None:
        spec = spec_of(dataset_id=dataset_id, synthetic_set_id=synthetic_set.id, train_on="both", images_per_class=2)
        assert classifier_of(studio, spec).num_train_images == 2 * 2 + 2 * 2

    def test_shares_take_that_part_of_each_class_of_their_source(
        self, studio: Studio, synthetic_set: SyntheticSet, dataset_id: int
    ) -> None:
        both = {"dataset_id": dataset_id, "synthetic_set_id": synthetic_set.id, "train_on": "both"}
        made = classifier_of(studio, spec_of(**both, train_share=0.3, synthetic_share=0.5))
        assert made.num_train_images == 2 * 2 + 2 * 2  # of seven and, one being rejected, three and four

    def test_steps_per_epoch_give_unequal_data_equal_work(self, studio: Studio, dataset_id: int) -> None:
        for share in (1.0, 0.3):
            job = studio.run(spec_of(dataset_id=dataset_id, train_share=share, steps_per_epoch=3))
            assert (job.done, job.total) == (6, 6)


class TestResume:
    def test_a_killed_training_ends_with_the_same_bytes(self, studio: Studio, dataset_id: int) -> None:
        spec = spec_of(dataset_id=dataset_id, epochs=3)
        expected = classifier_of(studio, spec).sha256
        job_id = studio.submit(spec)
        studio.kill_at(job_id, 6)  # an epoch has four steps: the second is under way
        job = studio.work(job_id)
        assert job.resumed_from == 4
        assert "Going on from the checkpoint of step 4." in studio.log(job)
        assert studio.made(Classifier, job, "classifier_id").sha256 == expected

    def test_a_pause_within_an_epoch_goes_on_from_its_beginning(self, studio: Studio, dataset_id: int) -> None:
        def pause_at_seven(context: JobContext, done: int) -> None:
            context.flags.pause = done == 7

        spec = spec_of(dataset_id=dataset_id, epochs=3)
        expected = classifier_of(studio, spec).sha256
        job_id = studio.submit(spec)
        studio.attempt_until(job_id, pause_at_seven)
        job = studio.work(job_id)
        assert job.resumed_from == 4
        assert studio.made(Classifier, job, "classifier_id").sha256 == expected


def test_every_epoch_is_judged_on_real_validation_images(studio: Studio, dataset_id: int) -> None:
    job = studio.run(spec_of(dataset_id=dataset_id, epochs=3))
    points = studio.metric(job, "val_balanced_accuracy")
    assert [epoch for epoch, _ in points] == [1, 2, 3]
    best = max(value for _, value in points)
    assert studio.made(Classifier, job, "classifier_id").val_balanced_accuracy == pytest.approx(best)
    assert len(studio.metric(job, "loss")) == 12


def test_stop_and_keep_keeps_the_best_epoch_so_far(studio: Studio, dataset_id: int) -> None:
    def stop_in_the_third(context: JobContext, done: int) -> None:
        context.flags.stop = done == 9  # an epoch has four steps

    job = studio.attempt(studio.submit(spec_of(dataset_id=dataset_id, epochs=50)), stop_in_the_third)
    points = studio.metric(job, "val_balanced_accuracy")
    assert [epoch for epoch, _ in points] == [1, 2]
    assert studio.made(Classifier, job, "classifier_id").val_balanced_accuracy == max(value for _, value in points)


def test_stop_before_the_first_epoch_waits_for_its_end(studio: Studio, dataset_id: int) -> None:
    def stop_at_once(context: JobContext, done: int) -> None:
        context.flags.stop = True

    job = studio.attempt(studio.submit(spec_of(dataset_id=dataset_id, epochs=50)), stop_at_once)
    assert studio.made(Classifier, job, "classifier_id").best_epoch == 1


def test_an_unknown_architecture_is_refused_with_near_ones(studio: Studio, dataset_id: int) -> None:
    """By the job itself, too: one that was asked for before names were checked, or by an older studio."""
    job_id = studio.submit(spec_of(dataset_id=dataset_id))
    studio.set(job_id, spec={**studio.job(job_id).spec, "architecture": "resnet51"})
    job = studio.work(job_id)
    assert job.error is not None
    assert job.error["code"] == "bad-input"
    assert "Did you mean" in job.error["detail"]
