"""Explanation jobs: what is kept of each image, repeats to the bit, resume, uploaded images."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import select

from app.core.errors import NotFoundError
from app.core.images import encode_png
from models import Classifier, Explanation, ExplanationItem, Image, Split, UploadedImage
from models.specs import ExplainSpec, TrainClassifierSpec
from tests import factories
from tests.workers.jobs.conftest import Studio


@pytest.fixture
def classifier(studio: Studio, dataset_id: int) -> Classifier:
    spec = TrainClassifierSpec(
        dataset_id=dataset_id, architecture="resnet10t", pretrained=False, epochs=1, input_size=32, image_size=16
    )
    return studio.made(Classifier, studio.run(spec), "classifier_id")


def spec_of(studio: Studio, classifier: Classifier, number: int = 2, **options: object) -> ExplainSpec:
    images = studio.rows(select(Image.id).where(Image.split == Split.TEST).order_by(Image.id).limit(number))
    return ExplainSpec(classifier_id=classifier.id, image_ids=images, num_samples=60, num_segments=6, **options)


def items_of(studio: Studio, made: Explanation) -> list[ExplanationItem]:
    return studio.rows(
        select(ExplanationItem).where(ExplanationItem.explanation_id == made.id).order_by(ExplanationItem.index)
    )


def explain(studio: Studio, spec: ExplainSpec) -> list[ExplanationItem]:
    return items_of(studio, studio.made(Explanation, studio.run(spec), "explanation_id"))


def pixels(studio: Studio, key: str) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(studio.storage.read(key))))


def kept(items: list[ExplanationItem]) -> list[object]:
    return [
        (item.image_id, item.weights, item.segments_sha256, item.overlay_sha256, item.probabilities, item.faithfulness, item.stability, item.places)
        for item in items
    ]  # fmt: skip


def strongest_for(item: ExplanationItem, label: int, top_k: int) -> set[int]:
    """The top_k segments with the largest positive weights."""
    weights = sorted(item.weights["classes"][label]["weights"], key=lambda pair: -pair[1])[:top_k]
    return {segment for segment, weight in weights if weight > 0}


class TestWhatIsKept:
    def test_every_class_has_a_weight_for_every_segment(self, studio: Studio, classifier: Classifier) -> None:
        item = explain(studio, spec_of(studio, classifier))[0]
        number = item.weights["num_segments"]
        assert [model["name"] for model in item.weights["classes"]] == ["disc", "ring"]
        for model in item.weights["classes"]:
            assert sorted(segment for segment, _ in model["weights"]) == list(range(number))
        assert sorted(region["segment"] for region in item.weights["regions"]) == list(range(number))
        assert sum(region["share"] for region in item.weights["regions"]) == pytest.approx(1)

    def test_pictures_are_as_the_classifier_saw_them(self, studio: Studio, classifier: Classifier) -> None:
        item = explain(studio, spec_of(studio, classifier))[0]
        assert pixels(studio, item.picture_sha256).shape == (32, 32) == (item.height, item.width)
        assert pixels(studio, item.overlay_sha256).shape == (32, 32, 3)
        segments = pixels(studio, item.segments_sha256)
        assert segments.dtype == np.uint16 or segments.dtype == np.int32
        assert np.unique(segments).tolist() == list(range(item.weights["num_segments"]))

    def test_the_true_class_is_known_for_images_of_the_dataset(self, studio: Studio, classifier: Classifier) -> None:
        items = explain(studio, spec_of(studio, classifier))
        labels = {image.id: image.label for image in studio.rows(select(Image))}
        assert [item.label for item in items] == [labels[item.image_id] for item in items]


class TestWhereTheWeightLies:
    def test_shares_of_the_predicted_class_stand_beside_those_of_the_area(
        self, studio: Studio, classifier: Classifier
    ) -> None:
        for item in explain(studio, spec_of(studio, classifier)):
            assert item.places is not None
            assert item.places["label"] == item.predicted
            weights = dict(item.weights["classes"][item.predicted]["weights"])
            segments = pixels(studio, item.segments_sha256).astype(int)
            frame = np.ones_like(segments, dtype=bool)
            frame[3:-3, 3:-3] = False
            spoken = {segment: max(weight, 0) for segment, weight in weights.items()}
            inside = sum(weight * frame[segments == segment].mean() for segment, weight in spoken.items())
            assert item.places["border"]["area"] == pytest.approx(frame.mean())
            assert item.places["border"]["positive"] == pytest.approx(inside / sum(spoken.values()))
            assert (item.places["outside"] is None) == bool(item.places["reason"])


class TestWhetherItCanBeBelieved:
    def test_curves_of_the_predicted_class_are_always_measured(self, studio: Studio, classifier: Classifier) -> None:
        for item in explain(studio, spec_of(studio, classifier)):
            found = item.faithfulness
            assert found is not None
            assert found["label"] == item.predicted
            assert len(found["shares"]) == len(found["deletion"]) == item.weights["num_segments"] + 1
            whole = item.probabilities[item.predicted]
            assert (found["deletion"][0], found["insertion"][-1]) == (pytest.approx(whole), pytest.approx(whole))
            widths, heights = np.diff(found["shares"]), np.array(found["deletion"])
            assert found["deletion_auc"] == pytest.approx(float((widths * (heights[1:] + heights[:-1]) / 2).sum()))

    def test_the_first_step_hides_the_region_that_speaks_most_for_the_class(
        self, studio: Studio, classifier: Classifier
    ) -> None:
        (item,) = explain(studio, spec_of(studio, classifier, 1))
        weights = dict(item.weights["classes"][item.predicted]["weights"])
        shares = {region["segment"]: region["share"] for region in item.weights["regions"]}
        assert item.faithfulness is not None
        assert item.faithfulness["shares"][1] == pytest.approx(shares[max(weights, key=weights.__getitem__)])

    def test_stability_is_measured_only_where_it_is_asked_for(self, studio: Studio, classifier: Classifier) -> None:
        (item,) = explain(studio, spec_of(studio, classifier, 1))
        assert item.stability is None

    def test_stability_is_the_agreement_of_the_jobs_with_those_seeds(
        self, studio: Studio, classifier: Classifier
    ) -> None:
        (item,) = explain(studio, spec_of(studio, classifier, 1, seed=5, stability_seeds=1, top_k=2))
        (first,), (second,) = (explain(studio, spec_of(studio, classifier, 1, seed=seed)) for seed in (5, 6))
        assert item.weights == first.weights
        a, b = (strongest_for(each, item.predicted, 2) for each in (first, second))
        one, other = (
            [weight for _, weight in sorted(each.weights["classes"][item.predicted]["weights"])]
            for each in (first, second)
        )
        assert item.stability == {
            "label": item.predicted, "top_k": 2, "seeds": [5, 6], "num_seeds": 2, "overlap": len(a & b) / len(a | b),
            "correlation": pytest.approx(np.corrcoef(one, other)[0, 1]),
            "deviations": pytest.approx([abs(x - y) / 2**0.5 for x, y in zip(one, other, strict=True)]),
        }  # fmt: skip

    def test_progress_names_the_seed(self, studio: Studio, classifier: Classifier) -> None:
        messages = []
        job_id = studio.submit(spec_of(studio, classifier, 1, stability_seeds=2))
        studio.attempt(job_id, lambda context, _: messages.append(context.news.get("message", "")))
        for what in ("seed 1 of 3: 10 of 60 copies", "seed 3 of 3: 60 of 60 copies", "deletion and insertion: 10 of"):
            assert [message for message in messages if what in message], what


@pytest.mark.parametrize("stability_seeds", [0, 2])
def test_a_repeat_is_bit_identical(studio: Studio, classifier: Classifier, stability_seeds: int) -> None:
    spec = spec_of(studio, classifier, stability_seeds=stability_seeds)
    assert kept(explain(studio, spec)) == kept(explain(studio, spec))


def test_another_seed_gives_other_weights(studio: Studio, classifier: Classifier) -> None:
    first, second = (explain(studio, spec_of(studio, classifier, 1, seed=seed))[0] for seed in (1, 2))
    assert first.weights["classes"] != second.weights["classes"]


def test_a_killed_job_goes_on_with_the_next_image(studio: Studio, classifier: Classifier) -> None:
    spec = spec_of(studio, classifier, 4, stability_seeds=1)
    expected = kept(explain(studio, spec))
    job_id = studio.submit(spec)
    studio.kill_at(job_id, 3)
    job = studio.work(job_id)
    assert job.resumed_from == 2
    assert kept(items_of(studio, studio.made(Explanation, job, "explanation_id"))) == expected


def test_an_uploaded_image_has_no_true_class(studio: Studio, classifier: Classifier) -> None:
    with studio.database.write() as session:
        key = studio.storage.put(encode_png(factories.drawing(1, 99, size=40))).sha256
        upload = UploadedImage(
            project_id=studio.who.project_id,
            name="mine.png",
            width=40,
            height=40,
            stored_sha256=key,
            thumbnail_sha256=key,
        )
        session.add(upload)
        session.flush()
        uploaded_id = upload.id
    spec = ExplainSpec(classifier_id=classifier.id, uploaded_image_ids=[uploaded_id], num_samples=60, num_segments=6)
    (item,) = explain(studio, spec)
    assert (item.label, item.image_id, item.uploaded_image_id) == (None, None, uploaded_id)


def test_an_image_of_another_project_does_not_exist(studio: Studio, classifier: Classifier) -> None:
    with studio.database.write() as session:
        stranger = factories.identity(session, "other")
        version = factories.dataset_with_version(session, stranger, name="theirs", num_images=2)
        theirs = session.scalar(select(Image.id).where(Image.version_id == version.id).limit(1))
    with pytest.raises(NotFoundError, match=f"There is no image {theirs}"):
        studio.submit(ExplainSpec(classifier_id=classifier.id, image_ids=[theirs]))
