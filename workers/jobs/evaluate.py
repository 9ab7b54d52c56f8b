"""Test a classifier on real images, and keep every single prediction, or on a synthetic set, of which the report alone is kept."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert
from sqlalchemy.orm import Session

from models import Classifier, DatasetVersion, Evaluation, Job, OpeningKind, Prediction, Split
from models.specs import EvaluateSpec
from workers.context import JobContext, Recorder
from workers.jobs.arrays import LabelledImages, Source, load_images, real_sources, synthetic_sources
from workers.jobs.known import known_to_training, note_opening, refuse_leaks
from workers.jobs.pace import Pace
from workers.jobs.problems import explained
from workers.ml.classification.prediction import LoadedClassifier, load_classifier, predict
from workers.ml.metrics import classification

ROWS_AT_ONCE = 2000


def run(context: JobContext, spec: EvaluateSpec) -> Recorder:
    with explained(lower="batch_size"):
        with context.database.read() as session:
            trained = session.get_one(Classifier, spec.classifier_id)
            sources = _sources(session, spec, trained.classes)
            leaks = None if spec.synthetic_set_id is not None else known_to_training(session, spec)
        if leaks is not None:
            refuse_leaks(leaks, trained, spec)
        classifier = load_classifier(context.storage.path(trained.sha256), device=context.device)
        images = load_images(
            context, sources, image_size=classifier.image_size, channels=classifier.channels,
            fit=classifier.metadata["fit"], what="test images",
        )  # fmt: skip
        probabilities = _predict(context, spec, classifier, images)
        context.report(len(sources), message=f"Intervals from {spec.num_bootstrap:,} resamples")
        report = classification.evaluate(
            labels=images.labels,
            probabilities=probabilities,
            groups=group_numbers(sources),
            num_bootstrap=spec.num_bootstrap,
            confidence=spec.confidence,
            seed=spec.seed,
        )
    return functools.partial(_record, spec, classifier, sources, probabilities, report, leaks)


def _sources(session: Session, spec: EvaluateSpec, classes: Sequence[str]) -> list[Source]:
    """What is tested on, with the classifier's labels; images of classes that class_map leaves out are left out."""
    if spec.synthetic_set_id is not None:
        return synthetic_sources(session, set_id=spec.synthetic_set_id)
    assert spec.version_id is not None, "prepare() fills it in"
    split = None if spec.split == "all" else Split(spec.split)
    sources = real_sources(session, version_id=spec.version_id, split=split)
    if spec.class_map is None:
        return sources
    theirs = session.get_one(DatasetVersion, spec.version_id).classes
    label_of = {theirs.index(name): classes.index(mapped) for name, mapped in spec.class_map.items()}
    return [source._replace(label=label_of[source.label]) for source in sources if source.label in label_of]


def _predict(
    context: JobContext, spec: EvaluateSpec, classifier: LoadedClassifier, images: LabelledImages
) -> NDArray[np.float64]:
    """(N, K) probabilities, batch by batch, so that a cancel is heard."""
    total, parts, pace = len(images.labels), [], Pace(0)
    for start in range(0, total, spec.batch_size):
        batch = images.images_uint8[start : start + spec.batch_size]
        parts.append(
            predict(classifier=classifier, images_uint8=batch, batch_size=spec.batch_size, device=context.device)
        )
        done = start + len(batch)
        context.report(done, total, message="Predicting", rate=pace.tick(done), unit="images")
    return np.concatenate(parts)


def group_numbers(sources: Sequence[Source]) -> NDArray[np.int64] | None:
    """A number for each group of images that are known not to be independent (`Source.group`); an image without one stands for itself.
    None: all do. Groups may come of look-alikes alone: they do not say that patients are known."""
    if all(source.group is None for source in sources):
        return None
    names = [f"group {source.group}" if source.group is not None else f"image {source.id}" for source in sources]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _record(
    spec: EvaluateSpec,
    classifier: LoadedClassifier,
    sources: list[Source],
    probabilities: NDArray[np.float64],
    report: dict[str, Any],
    leaks: dict[str, int] | None,
    session: Session,
    row: Job,
) -> dict[str, Any]:
    version_id = spec.version_id or session.get_one(Classifier, spec.classifier_id).version_id
    is_synthetic = spec.synthetic_set_id is not None
    evaluation = Evaluation(
        project_id=row.project_id, job_id=row.id, classifier_id=spec.classifier_id, version_id=version_id,
        split="synthetic" if is_synthetic else spec.split, synthetic_set_id=spec.synthetic_set_id, class_map=spec.class_map, classes=list(classifier.classes), num_images=len(sources), report=report,
        leaks=leaks,
    )  # fmt: skip
    session.add(evaluation)
    session.flush()
    for start in range(0, 0 if is_synthetic else len(sources), ROWS_AT_ONCE):  # predictions are of real images
        pairs = zip(sources[start : start + ROWS_AT_ONCE], probabilities[start : start + ROWS_AT_ONCE], strict=True)
        session.execute(insert(Prediction), [_prediction(evaluation.id, source, row) for source, row in pairs])
    if not is_synthetic and spec.split in ("test", "all"):
        note_opening(session, row, {version_id: len(sources)}, OpeningKind.EVALUATION)
    return {"evaluation_id": evaluation.id, "accuracy": report["accuracy"]["value"]}


def _prediction(evaluation_id: int, source: Source, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    predicted = int(probabilities.argmax())
    return {
        "evaluation_id": evaluation_id,
        "image_id": source.id,
        "label": source.label,
        "predicted": predicted,
        "confidence": float(probabilities[predicted]),
        "probabilities": probabilities.tolist(),
    }
