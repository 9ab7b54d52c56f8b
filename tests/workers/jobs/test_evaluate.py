"""Evaluation jobs: predictions that add up to the report, groups, other datasets."""

from collections import Counter

import numpy as np
import pytest
from sqlalchemy import select, update

from app.core.errors import BadInputError
from models import Classifier, DatasetVersion, Evaluation, Image, Opening, Prediction, Split
from models.specs import EvaluateSpec, TrainClassifierSpec
from tests import factories
from tests.workers.jobs.conftest import Studio
from workers.jobs.arrays import Source
from workers.jobs.evaluate import group_numbers


@pytest.fixture
def classifier(studio: Studio, dataset_id: int) -> Classifier:
    spec = TrainClassifierSpec(
        dataset_id=dataset_id, architecture="resnet10t", pretrained=False, epochs=1, input_size=32, image_size=16
    )
    return studio.made(Classifier, studio.run(spec), "classifier_id")


def test_the_report_is_what_its_predictions_add_up_to(studio: Studio, classifier: Classifier) -> None:
    made = studio.made(
        Evaluation, studio.run(EvaluateSpec(classifier_id=classifier.id, num_bootstrap=100)), "evaluation_id"
    )
    rows = studio.rows(select(Prediction).where(Prediction.evaluation_id == made.id))
    cells = Counter((row.label, row.predicted) for row in rows)
    assert made.report["confusion_matrix"] == [[cells[i, j] for j in range(2)] for i in range(2)]
    assert made.report["accuracy"]["value"] == pytest.approx(np.mean([row.label == row.predicted for row in rows]))
    assert made.num_images == len(rows) == 4
    for row in rows:
        assert sum(row.probabilities) == pytest.approx(1)
        assert row.confidence == max(row.probabilities) == row.probabilities[row.predicted]


def test_only_the_images_of_the_split_are_tested(studio: Studio, classifier: Classifier) -> None:
    spec = EvaluateSpec(classifier_id=classifier.id, split=Split.VAL, num_bootstrap=100)
    made = studio.made(Evaluation, studio.run(spec), "evaluation_id")
    tested = studio.rows(select(Image).join(Prediction).where(Prediction.evaluation_id == made.id))
    assert {image.split for image in tested} == {"val"}


def test_the_same_job_gives_the_same_report_whatever_the_batch_size(studio: Studio, classifier: Classifier) -> None:
    def report(batch_size: int) -> dict[str, object]:
        spec = EvaluateSpec(classifier_id=classifier.id, num_bootstrap=100, batch_size=batch_size)
        made: Evaluation = studio.made(Evaluation, studio.run(spec), "evaluation_id")
        return made.report

    assert report(4) == report(4)
    assert report(1)["accuracy"] == report(4)["accuracy"]


def test_patients_are_resampled_whole_where_they_are_known(studio: Studio, classifier: Classifier) -> None:
    with studio.database.write() as session:
        session.execute(update(Image).values(group="patient 1"))
        session.execute(update(DatasetVersion).values(leaks={"patients": 1, "identical": 0, "near": 0}))
    accepted = studio.run(EvaluateSpec(classifier_id=classifier.id, num_bootstrap=100, accept_leaks=True))
    made = studio.made(Evaluation, accepted, "evaluation_id")
    assert made.leaks["patients"] == made.num_images
    assert (made.report["unit"], made.report["num_groups"]) == ("group", 1)
    assert "low" in made.report["accuracy"]


def test_another_dataset_of_the_same_classes_can_be_tested_on(studio: Studio, classifier: Classifier) -> None:
    with studio.database.write() as session:
        other = factories.dataset_with_version(session, studio.who, name="other", num_images=40, storage=studio.storage)
        dataset_id, version_id = other.dataset_id, other.id
    spec = EvaluateSpec(classifier_id=classifier.id, dataset_id=dataset_id, num_bootstrap=100)
    made = studio.made(Evaluation, studio.run(spec), "evaluation_id")
    assert (made.version_id, made.num_images) == (version_id, 8)


def test_leaks_accepted_in_training_are_those_of_its_own_dataset(studio: Studio, dataset_id: int) -> None:
    learn = {"architecture": "resnet10t", "pretrained": False, "epochs": 1, "input_size": 32, "image_size": 16}
    trained = studio.run(TrainClassifierSpec(dataset_id=dataset_id, accept_leaks=True, **learn))
    made = studio.made(Classifier, trained, "classifier_id")
    with studio.database.write() as session:
        other = factories.dataset_with_version(session, studio.who, name="other", num_images=40, storage=studio.storage)
        session.execute(update(DatasetVersion).values(leaks={"patients": 1, "identical": 0, "near": 0}))
        session.execute(update(Image).values(group="patient 1"))
    own = EvaluateSpec(classifier_id=made.id, num_bootstrap=100)
    elsewhere = own.model_copy(update={"dataset_id": other.dataset_id, "split": "all"})
    assert studio.made(Evaluation, studio.run(own), "evaluation_id").leaks["patients"] == 4
    refused = studio.work(studio.submit(elsewhere))
    assert "of the same patients: a test would measure memory" in refused.error["detail"]
    accepted = studio.run(elsewhere.model_copy(update={"accept_leaks": True}))
    assert studio.made(Evaluation, accepted, "evaluation_id").leaks["patients"] == 40


class TestClassMap:
    @pytest.fixture
    def other_id(self, studio: Studio) -> int:
        """Three classes under other names; the third is nothing that the classifier knows."""
        with studio.database.write() as session:
            made = factories.dataset_with_version(
                session,
                studio.who,
                name="other",
                classes=["hoop", "blob", "dust"],
                num_images=30,
                storage=studio.storage,
            )
            return made.dataset_id

    def test_names_the_classifiers_class_of_each_class_and_leaves_out_the_rest(
        self, studio: Studio, classifier: Classifier, other_id: int
    ) -> None:
        class_map = {"blob": "disc", "hoop": "ring"}
        spec = EvaluateSpec(
            classifier_id=classifier.id, dataset_id=other_id, class_map=class_map, split="all", num_bootstrap=100,
            accept_leaks=True,  # the drawings are those that training saw
        )  # fmt: skip
        job = studio.run(spec)
        made = studio.made(Evaluation, job, "evaluation_id")
        assert (made.num_images, made.split, made.class_map, made.classes) == (20, "all", class_map, ["disc", "ring"])
        with studio.database.read() as session:
            rows = session.execute(
                select(Image.label, Prediction.label).join(Prediction, Prediction.image_id == Image.id)
            ).all()
            assert {tuple(row) for row in rows} == {(0, 1), (1, 0)}
            assert session.scalar(select(Opening.num_images)) == 20

    @pytest.mark.parametrize(("class_map", "says"), [
        ({"cat": "disc", "hoop": "ring"}, "class_map names 'cat'; dataset 'other' has 'hoop', 'blob', 'dust'"),
        ({"blob": "square", "hoop": "ring"}, "class_map names 'square'; classifier 1 has 'disc', 'ring'"),
        ({"blob": "ring", "hoop": "ring"}, "fewer than two classes"),
        ({}, "fewer than two classes"),
    ])  # fmt: skip
    def test_that_does_not_fit_is_refused_in_words(
        self, studio: Studio, classifier: Classifier, other_id: int, class_map: dict[str, str], says: str
    ) -> None:
        with pytest.raises(BadInputError, match=says):
            studio.submit(EvaluateSpec(classifier_id=classifier.id, dataset_id=other_id, class_map=class_map))


def test_a_synthetic_set_can_be_tested_on_and_no_look_at_real_images_is_counted(
    studio: Studio, classifier: Classifier, version_id: int
) -> None:
    with studio.database.write() as session:
        version = session.get_one(DatasetVersion, version_id)
        checkpoint = factories.checkpoint(session, studio.who, version)
        drawn = factories.synthetic_set(session, studio.who, checkpoint, per_class=4, storage=studio.storage)
    job = studio.run(EvaluateSpec(classifier_id=classifier.id, synthetic_set_id=drawn.id, num_bootstrap=100))
    made = studio.made(Evaluation, job, "evaluation_id")
    assert (made.split, made.synthetic_set_id, made.num_images, made.leaks) == ("synthetic", drawn.id, 8, None)
    with studio.database.read() as session:
        assert session.scalars(select(Prediction)).all() == []
        assert session.scalars(select(Opening)).all() == []


def test_a_dataset_of_other_classes_is_refused(studio: Studio, classifier: Classifier) -> None:
    with studio.database.write() as session:
        other = factories.dataset_with_version(session, studio.who, name="other", classes=["cat", "dog"])
        dataset_id = other.dataset_id
    with pytest.raises(BadInputError, match=r"has the classes 'cat', 'dog', but classifier 1 has 'disc', 'ring'"):
        studio.submit(EvaluateSpec(classifier_id=classifier.id, dataset_id=dataset_id))


def test_a_grey_classifier_refuses_colour(studio: Studio, classifier: Classifier) -> None:
    with studio.database.write() as session:
        session.execute(update(DatasetVersion).values(channels=3))
    with pytest.raises(BadInputError, match="learnt grey images"):
        studio.submit(EvaluateSpec(classifier_id=classifier.id))


class TestGroupNumbers:
    def test_are_none_where_no_patient_is_known(self) -> None:
        assert group_numbers([Source(1, 0, None, ""), Source(2, 0, None, "")]) is None

    def test_an_image_without_a_patient_stands_for_itself(self) -> None:
        numbers = group_numbers(
            [Source(1, 0, "a", ""), Source(2, 0, "a", ""), Source(3, 0, None, ""), Source(4, 0, None, "")]
        )
        assert numbers is not None
        assert numbers[0] == numbers[1]
        assert len(set(numbers.tolist())) == 3
