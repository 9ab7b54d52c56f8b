"""What a spec names is checked before it becomes a job: it exists, is ready, and fits."""

from typing import Any

import pytest

from app.core.db import Database
from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.services.identity import Identity
from app.services.prepare import prepare
from models import Checkpoint, Dataset, DatasetState, DatasetVersion, Mark, SyntheticImage
from models.specs import EvaluateSpec, ExplainSpec, SampleSpec, TrainClassifierSpec, TrainDiffusionSpec
from tests import factories

LONG = "a study of brains in the year " + "x" * 140 + " of the second scanner"
SHORT = "a study of brains in the year xxxxxxxxx…f the second scanner"


@pytest.fixture
def version(database: Database, who: Identity) -> DatasetVersion:
    with database.write() as session:
        return factories.dataset_with_version(session, who)


@pytest.fixture
def checkpoint(database: Database, who: Identity, version: DatasetVersion) -> Checkpoint:
    with database.write() as session:
        return factories.checkpoint(session, who, version, spec={"kind": "train_diffusion", "fit": "crop"})


def prepared(database: Database, who: Identity, spec: Any) -> Any:
    with database.read() as session:
        return prepare(session, who, spec)[0]


def change(database: Database, version: DatasetVersion, **values: Any) -> None:
    with database.write() as session:
        row = session.get_one(DatasetVersion, version.id)
        for name, value in values.items():
            setattr(row, name, value)


class TestDatasets:
    def test_the_current_version_is_taken_and_named(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        with database.write() as session:
            newer = DatasetVersion(
                dataset_id=version.dataset_id, number=2, classes=version.classes, channels=1, num_images=1,
                counts=version.counts, layout={}, manifest_sha256="0" * 64,
            )  # fmt: skip
            session.add(newer)
            session.get_one(Dataset, version.dataset_id).current_number = 2
        spec = prepared(database, who, TrainDiffusionSpec(dataset_id=version.dataset_id))
        assert spec.version_id == newer.id
        old = prepared(database, who, TrainDiffusionSpec(dataset_id=version.dataset_id, version_id=version.id))
        assert old.version_id == version.id

    @pytest.mark.parametrize("state", [DatasetState.IMPORTING, DatasetState.FAILED])
    def test_one_that_is_not_ready_is_refused(
        self, database: Database, who: Identity, version: DatasetVersion, state: DatasetState
    ) -> None:
        with database.write() as session:
            session.get_one(DatasetVersion, version.id).dataset.state = state
        with pytest.raises(ConflictError, match=f"Dataset 'shapes' is {state}, not ready"):
            prepared(database, who, TrainDiffusionSpec(dataset_id=version.dataset_id))

    def test_a_version_of_another_dataset_is_not_found(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        with database.write() as session:
            other = factories.dataset_with_version(session, who, name="other")
        with pytest.raises(NotFoundError, match=f"has no version {other.id}"):
            prepared(database, who, TrainDiffusionSpec(dataset_id=version.dataset_id, version_id=other.id))

    def test_a_class_without_training_images_is_refused(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        change(database, version, counts={"disc": {"train": 3}, "ring": {"test": 2}})
        with pytest.raises(BadInputError, match="train split of dataset 'shapes' has no image of 'ring'"):
            prepared(database, who, TrainDiffusionSpec(dataset_id=version.dataset_id))

    def test_another_projects_dataset_does_not_exist(self, database: Database, version: DatasetVersion) -> None:
        with database.write() as session:
            stranger = factories.identity(session, "other")
        with pytest.raises(NotFoundError, match=f"There is no dataset {version.dataset_id}"):
            prepared(database, stranger, TrainDiffusionSpec(dataset_id=version.dataset_id))


class TestSample:
    def test_a_class_that_the_checkpoint_does_not_draw_is_named(
        self, database: Database, who: Identity, checkpoint: Checkpoint
    ) -> None:
        with pytest.raises(BadInputError, match=r"counts names 'cat'; checkpoint \d+ draws 'disc', 'ring'") as caught:
            prepared(database, who, SampleSpec(checkpoint_id=checkpoint.id, counts={"cat": 1, "disc": 1}))
        assert caught.value.errors[0]["pointer"] == "/counts/cat"

    def test_more_than_a_million_images_are_refused(
        self, database: Database, who: Identity, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            session.get_one(Checkpoint, checkpoint.id).classes = [f"class {i}" for i in range(11)]
        with pytest.raises(BadInputError, match="1,100,000 images are asked for"):
            prepared(database, who, SampleSpec(checkpoint_id=checkpoint.id, per_class=100_000))

    @pytest.mark.parametrize(("options", "says"), [
        ({"seed": 3}, "seed is 0 there and 3 here"),
        ({"guidance": 1.5, "sampler": "ddim"}, "guidance is 2.0 there and 1.5 here, sampler is dpm++ there"),
    ])  # fmt: skip
    def test_a_set_of_other_images_cannot_be_continued(
        self, database: Database, who: Identity, checkpoint: Checkpoint, options: dict[str, Any], says: str
    ) -> None:
        recipe = SampleSpec(checkpoint_id=checkpoint.id, per_class=4)
        with database.write() as session:
            drawn = factories.synthetic_set(session, who, checkpoint)
            drawn.spec = recipe.model_dump(mode="json")
        again = recipe.model_copy(update={"per_class": 9, "batch_size": 2, "synthetic_set_id": drawn.id})
        assert prepared(database, who, again).synthetic_set_id == drawn.id
        with pytest.raises(BadInputError, match="cannot be continued, since its images are others") as caught:
            prepared(database, who, again.model_copy(update=options))
        assert says in caught.value.detail

    def test_a_set_without_a_name_gets_one(self, database: Database, who: Identity, checkpoint: Checkpoint) -> None:
        spec = prepared(database, who, SampleSpec(checkpoint_id=checkpoint.id, per_class=5, seed=3))
        assert spec.name == f"shapes, 10 images of checkpoint {checkpoint.id}, seed 3"


class TestTrainClassifier:
    def test_takes_dataset_resolution_and_fit_from_the_synthetic_set(
        self, database: Database, who: Identity, version: DatasetVersion, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            drawn = factories.synthetic_set(session, who, checkpoint)
        spec = prepared(database, who, TrainClassifierSpec(synthetic_set_id=drawn.id))
        assert (spec.dataset_id, spec.version_id) == (version.dataset_id, version.id)
        assert (spec.image_size, spec.fit) == (16, "crop")

    def test_a_network_that_timm_does_not_know_is_refused_with_the_nearest_names(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        with pytest.raises(BadInputError, match="'vgg9' is not an architecture") as refused:
            prepared(database, who, TrainClassifierSpec(dataset_id=version.dataset_id, architecture="vgg9"))
        assert "vgg19" in refused.value.hint
        assert refused.value.errors[0]["pointer"] == "/architecture"

    def test_reads_real_images_at_the_size_of_its_input(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        spec = prepared(database, who, TrainClassifierSpec(dataset_id=version.dataset_id, input_size=64))
        assert (spec.image_size, spec.fit) == (64, "pad")

    def test_needs_real_images_to_choose_the_epoch_by(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        change(database, version, counts={name: {"train": 3} for name in version.classes})
        with pytest.raises(BadInputError, match="val split of dataset 'shapes' has no image"):
            prepared(database, who, TrainClassifierSpec(dataset_id=version.dataset_id))

    def test_needs_two_classes(self, database: Database, who: Identity, version: DatasetVersion) -> None:
        change(database, version, classes=["disc"])
        with pytest.raises(BadInputError, match="single class 'disc'"):
            prepared(database, who, TrainClassifierSpec(dataset_id=version.dataset_id))

    def test_refuses_a_set_of_other_classes(
        self, database: Database, who: Identity, version: DatasetVersion, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            drawn = factories.synthetic_set(session, who, checkpoint)
        change(database, version, classes=["ring", "disc"])
        with pytest.raises(BadInputError, match="has the classes 'ring', 'disc', but synthetic set"):
            prepared(database, who, TrainClassifierSpec(synthetic_set_id=drawn.id))

    def test_refuses_grey_images_for_a_dataset_of_colour(
        self, database: Database, who: Identity, version: DatasetVersion, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            drawn = factories.synthetic_set(session, who, checkpoint)
        change(database, version, channels=3)
        with pytest.raises(BadInputError, match="is grey, but dataset 'shapes' is colour"):
            prepared(database, who, TrainClassifierSpec(synthetic_set_id=drawn.id))

    def test_refuses_a_set_of_which_one_class_is_left(
        self, database: Database, who: Identity, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            drawn = factories.synthetic_set(session, who, checkpoint)
            session.query(SyntheticImage).filter_by(set_id=drawn.id, label=0).update({"mark": Mark.REJECTED})
        with pytest.raises(BadInputError, match="has no image left of 'disc'"):
            prepared(database, who, TrainClassifierSpec(synthetic_set_id=drawn.id))


class TestEvaluate:
    def test_tests_on_the_very_version_of_the_classifier(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        with database.write() as session:
            classifier = factories.classifier(session, who, version)
        spec = prepared(database, who, EvaluateSpec(classifier_id=classifier.id))
        assert (spec.dataset_id, spec.version_id) == (version.dataset_id, version.id)

    def test_an_empty_split_is_refused(self, database: Database, who: Identity, version: DatasetVersion) -> None:
        with database.write() as session:
            classifier = factories.classifier(session, who, version)
        change(database, version, counts={name: {"train": 3} for name in version.classes})
        with pytest.raises(BadInputError, match="test split of dataset 'shapes' has no image"):
            prepared(database, who, EvaluateSpec(classifier_id=classifier.id))


class TestExplain:
    def test_an_image_named_twice_is_explained_once(
        self, database: Database, who: Identity, version: DatasetVersion
    ) -> None:
        with database.write() as session:
            classifier = factories.classifier(session, who, version)
        spec = prepared(database, who, ExplainSpec(classifier_id=classifier.id, image_ids=[2, 1, 2]))
        assert spec.image_ids == [2, 1]

    @pytest.mark.parametrize("missing", [0, 12345, 10**30])
    def test_a_missing_image_is_named(
        self, database: Database, who: Identity, version: DatasetVersion, missing: int
    ) -> None:
        with database.write() as session:
            classifier = factories.classifier(session, who, version)
        with pytest.raises(NotFoundError, match=f"There is no image {missing}"):
            prepared(database, who, ExplainSpec(classifier_id=classifier.id, image_ids=[1, missing]))
        with pytest.raises(NotFoundError, match=f"There is no uploaded image {missing}"):
            prepared(database, who, ExplainSpec(classifier_id=classifier.id, uploaded_image_ids=[missing]))


class TestNamesMadeUp:
    """Each comes from the dataset's name; however long the chain, and however long people's names, none grows."""

    @pytest.fixture
    def specs(self, database: Database, who: Identity) -> list[Any]:
        """One for each kind that gets a title here, at the end of a chain of rows with names of 200 characters."""
        with database.write() as session:
            version = factories.dataset_with_version(session, who, name=LONG)
            checkpoint = factories.checkpoint(session, who, version, name="c" * 200)
            drawn = factories.synthetic_set(session, who, checkpoint)
            drawn.name = "s" * 200
            classifier = factories.classifier(session, who, version, name="k" * 200, synthetic_set_id=drawn.id)
        return [
            TrainDiffusionSpec(dataset_id=version.dataset_id, preset="tiny"),
            SampleSpec(checkpoint_id=checkpoint.id, per_class=2000, seed=3),
            TrainClassifierSpec(dataset_id=version.dataset_id),
            TrainClassifierSpec(synthetic_set_id=drawn.id),
            TrainClassifierSpec(synthetic_set_id=drawn.id, train_on="both", seed=7),
            EvaluateSpec(classifier_id=classifier.id),
            ExplainSpec(classifier_id=classifier.id, image_ids=[1, 2]),
        ]

    def test_say_what_is_done_with_what(self, database: Database, who: Identity, specs: list[Any]) -> None:
        with database.read() as session:
            made_up = [prepare(session, who, spec) for spec in specs]
        assert [title for _, title in made_up] == [
            f"Diffusion on {SHORT}: tiny, 32 px, 600 steps",
            f"4,000 images of {SHORT} from checkpoint 1",
            f"Classifier on {SHORT}: tf_efficientnet_lite0, real images",
            f"Classifier on {SHORT}: tf_efficientnet_lite0, synthetic set 1",
            f"Classifier on {SHORT}: tf_efficientnet_lite0, real images and synthetic set 1",
            f"Test of classifier 1 (tf_efficientnet_lite0) on {SHORT}, test split",
            "LIME of 2 images with classifier 1 (tf_efficientnet_lite0)",
        ]
        assert [spec.name for spec, _ in made_up[1:5]] == [
            f"{SHORT}, 4,000 images of checkpoint 1, seed 3",
            f"{SHORT}, tf_efficientnet_lite0 on real images, seed 0",
            f"{SHORT}, tf_efficientnet_lite0 on synthetic set 1, seed 0",
            f"{SHORT}, tf_efficientnet_lite0 on real images and synthetic set 1, seed 7",
        ]

    def test_leave_names_that_people_give_alone(self, database: Database, who: Identity, specs: list[Any]) -> None:
        named = specs[1].model_copy(update={"name": "n" * 200})
        assert prepared(database, who, named).name == "n" * 200

    def test_a_checkpoint_that_came_with_the_studio_stands_for_its_dataset(
        self, database: Database, who: Identity, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            session.get_one(Checkpoint, checkpoint.id).version_id = None
        spec = prepared(database, who, SampleSpec(checkpoint_id=checkpoint.id, per_class=1))
        assert spec.name == f"shapes, 300 steps, 2 images of checkpoint {checkpoint.id}, seed 0"
