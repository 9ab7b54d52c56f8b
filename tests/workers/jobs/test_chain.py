"""The main job, whole and small, in one process: from drawn shapes to overlays."""

import io
import zipfile

import numpy as np
from PIL import Image as PillowImage
from sqlalchemy import select

from app.services import downloads
from models import (
    Checkpoint,
    Classifier,
    Evaluation,
    Explanation,
    ExplanationItem,
    Image,
    Prediction,
    Split,
    SyntheticSet,
)
from models.specs import EvaluateSpec, ExplainSpec, SampleSpec, TrainClassifierSpec, TrainDiffusionSpec
from tests.workers.jobs.conftest import TINY_NETWORK, Studio


def test_the_whole_chain_runs_on_drawn_shapes(studio: Studio, dataset_id: int) -> None:
    trained = studio.run(TrainDiffusionSpec(dataset_id=dataset_id, num_steps=40, **TINY_NETWORK))
    checkpoint = studio.made(Checkpoint, trained, "checkpoint_id")
    drawn = studio.run(SampleSpec(checkpoint_id=checkpoint.id, per_class=6, num_steps=4))
    synthetic = studio.made(SyntheticSet, drawn, "synthetic_set_id")
    assert synthetic.counts == {"disc": 6, "ring": 6}
    learnt = studio.run(
        TrainClassifierSpec(
            synthetic_set_id=synthetic.id,
            architecture="resnet10t",
            pretrained=False,
            epochs=2,
            input_size=32,
            batch_size=4,
        )
    )
    classifier = studio.made(Classifier, learnt, "classifier_id")
    assert (classifier.train_on, classifier.image_size, classifier.num_train_images) == ("synthetic", 16, 12)
    tested = studio.run(EvaluateSpec(classifier_id=classifier.id, num_bootstrap=100))
    evaluation = studio.made(Evaluation, tested, "evaluation_id")
    predictions = studio.rows(select(Prediction).where(Prediction.evaluation_id == evaluation.id))
    assert len(predictions) == evaluation.num_images == 4
    right = sum(row.label == row.predicted for row in predictions)
    assert evaluation.report["accuracy"]["value"] == right / 4
    images = studio.rows(select(Image.id).where(Image.split == Split.TEST).limit(2))
    seen = studio.run(ExplainSpec(classifier_id=classifier.id, image_ids=images, num_samples=50, num_segments=5))
    explanation = studio.made(Explanation, seen, "explanation_id")
    items = studio.rows(select(ExplanationItem).where(ExplanationItem.explanation_id == explanation.id))
    assert [item.image_id for item in items] == images
    segments = np.asarray(PillowImage.open(io.BytesIO(studio.storage.read(items[0].segments_sha256))))
    assert segments.shape == (32, 32)
    assert segments.max() + 1 == items[0].weights["num_segments"]
    with studio.database.read() as session:
        parts = downloads.explanation(session, studio.storage, explanation)
    with zipfile.ZipFile(io.BytesIO(b"".join(parts.chunks))) as archive:
        assert archive.testzip() is None
