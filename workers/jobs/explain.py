"""Explain a classifier's predictions by LIME, image by image.

The image is brought to the classifier's resolution first, exactly as in training and evaluation: what is explained is
what the network saw. Images explained by an earlier attempt are not explained again; the same seed would give the same bits.
With each explanation goes what says whether to believe it: deletion and insertion, its stability over further seeds, and
how much of its weight lies where no patient is.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.images import Uint8, encode_png, load_square
from app.core.storage import Storage
from models import (
    Classifier,
    DatasetVersion,
    Explanation,
    ExplanationItem,
    Image,
    Job,
    OpeningKind,
    Split,
    UploadedImage,
)
from models.specs import ExplainSpec
from workers.context import JobContext, Recorder
from workers.jobs import notes
from workers.jobs.known import note_opening
from workers.jobs.pace import Pace
from workers.jobs.problems import explained
from workers.ml.classification.prediction import LoadedClassifier, load_classifier
from workers.ml.explanation import drawing, lime
from workers.ml.explanation.faithfulness import faithfulness_curves, stability
from workers.ml.explanation.lime import ClassExplanation, LimeExplanation, LimeProgress
from workers.ml.explanation.places import measure_places

Made = TypeVar("Made")
MOST_SEGMENTS = 65_535  # that a 16 bit PNG can number


@dataclass(frozen=True)
class Subject:
    """An image to explain: of a dataset or uploaded; label: its class among the classifier's, where known."""

    name: str
    key: str
    image_id: int | None
    uploaded_image_id: int | None
    label: int | None


def run(context: JobContext, spec: ExplainSpec) -> Recorder:
    with explained(lower="batch_size"):
        with context.database.read() as session:
            key = session.get_one(Classifier, spec.classifier_id).sha256
            subjects = _subjects(session, spec)
        classifier = load_classifier(context.storage.path(key), device=context.device)
        items = _explained_before(context)
        pace = Pace(len(items))
        for index, subject in enumerate(subjects[len(items) :], start=len(items)):
            items.append(_explain(context, spec, classifier, subject, index, len(subjects), pace))
            notes.write(context, f"item-{index:06d}", items[index])
            if context.should_stop and index + 1 < len(subjects):
                context.log(f"Stopped after {index + 1} of {len(subjects)} images, as asked.")
                break
    return functools.partial(_record, spec, list(classifier.classes), items)


def _explained_before(context: JobContext) -> list[dict[str, Any]]:
    """The items of earlier attempts, from the first without a gap; noted again in this attempt's folder."""
    found = {item["index"]: item for item in notes.read_all(context)}
    items = [found[index] for index in itertools.takewhile(found.__contains__, itertools.count())]
    for item in items:
        notes.write(context, f"item-{item['index']:06d}", item)
    if items:
        context.resumed_from(len(items))
    return items


def _subjects(session: Session, spec: ExplainSpec) -> list[Subject]:
    """In the order asked for, images of datasets first."""
    classes = session.get_one(Classifier, spec.classifier_id).classes
    query = select(Image, DatasetVersion.classes).join(DatasetVersion).where(Image.id.in_(spec.image_ids))
    images = {image.id: (image, names) for image, names in session.execute(query)}
    uploads = {
        row.id: row
        for row in session.scalars(select(UploadedImage).where(UploadedImage.id.in_(spec.uploaded_image_ids)))
    }
    subjects = []
    for image, names in (images[i] for i in spec.image_ids):
        label = image.label if names == classes else None
        subjects.append(Subject(image.path, image.stored_sha256, image.id, None, label))
    named = (uploads[i] for i in spec.uploaded_image_ids)
    return subjects + [Subject(upload.name, upload.stored_sha256, None, upload.id, None) for upload in named]


def _explain(
    context: JobContext,
    spec: ExplainSpec,
    classifier: LoadedClassifier,
    subject: Subject,
    index: int,
    total: int,
    pace: Pace,
) -> dict[str, Any]:
    """Explain one image with every seed asked for, and measure how far the first explanation can be believed."""
    path, fit = context.storage.path(subject.key), classifier.metadata["fit"]
    pixels = np.array(load_square(path, image_size=classifier.image_size, channels=classifier.channels, fit=fit))
    say = functools.partial(_say, context, subject, index, total)
    explanations = [
        _last(_lime(context, spec, classifier, pixels, seed), functools.partial(say, _place(spec, number)))
        for number, seed in enumerate(spec.seeds, start=1)
    ]
    first = explanations[0]
    curves = faithfulness_curves(
        classifier=classifier, image_uint8=pixels, explanation=first, label=first.predicted,
        batch_size=spec.batch_size, device=context.device,
    )  # fmt: skip
    item = {
        "index": index,
        "image_id": subject.image_id,
        "uploaded_image_id": subject.uploaded_image_id,
        "label": subject.label,
        **_kept(context.storage, spec, classifier, pixels, first),
        "faithfulness": dataclasses.asdict(_last(curves, functools.partial(say, "deletion and insertion"))),
        "stability": _stability(spec, explanations) if spec.stability_seeds else None,
    }
    context.report(index + 1, total, rate=pace.tick(index + 1), unit="images")
    return item


def _lime(
    context: JobContext, spec: ExplainSpec, classifier: LoadedClassifier, pixels: Uint8, seed: int
) -> Iterator[LimeProgress | LimeExplanation]:
    return lime.explain_image(
        classifier=classifier, image_uint8=pixels, num_samples=spec.num_samples, num_segments=spec.num_segments,
        hide=spec.hide, batch_size=spec.batch_size, seed=seed, device=context.device,
    )  # fmt: skip


def _last(records: Iterator[LimeProgress | Made], say: Callable[[LimeProgress], None]) -> Made:
    """What a computation yields last; everything before it is progress."""
    for record in records:
        if not isinstance(record, LimeProgress):
            return record
        say(record)
    raise AssertionError("the computation ended without its result")


def _say(context: JobContext, subject: Subject, index: int, total: int, what: str, record: LimeProgress) -> None:
    """Progress within an image: perturbed copies."""
    message = f"{subject.name}, {what}: {record.done:,} of {record.total:,} copies"
    context.report(index, total, message=message, unit="images")


def _place(spec: ExplainSpec, number: int) -> str:
    return f"seed {number} of {len(spec.seeds)}" if spec.stability_seeds else "LIME"


def _kept(
    storage: Storage, spec: ExplainSpec, classifier: LoadedClassifier, pixels: Uint8, found: LimeExplanation
) -> dict[str, Any]:
    """The explanation itself: pictures in the storage, weights as JSON."""
    picture = lime.as_uint8(lime.prepare_image(classifier=classifier, image_uint8=pixels, device="cpu"))
    weights = found.classes[found.predicted].weights
    overlay = drawing.overlay(
        image_uint8=picture, segments=found.segments, weights=weights,
        top_k=spec.top_k, positive=True, negative=True,
    )  # fmt: skip
    assert found.num_segments <= MOST_SEGMENTS, "a spec asks for 400 at most"
    height, width = found.segments.shape
    places = measure_places(picture_uint8=picture, segments=found.segments, weights=weights, label=found.predicted)
    return {
        "predicted": found.predicted,
        "probabilities": list(found.probabilities),
        "width": width,
        "height": height,
        "picture_sha256": storage.put(encode_png(picture)).sha256,
        "segments_sha256": storage.put(encode_png(found.segments.astype(np.uint16)[..., None])).sha256,
        "overlay_sha256": storage.put(encode_png(overlay)).sha256,
        "weights": _weights(found, list(classifier.classes)),
        "places": dataclasses.asdict(places),
    }


def _stability(spec: ExplainSpec, explanations: list[LimeExplanation]) -> dict[str, Any]:
    """Of the first explanation's predicted class: a prediction does not depend on the seed."""
    label = explanations[0].predicted
    found = stability(explanations=explanations, label=label, top_k=spec.top_k)
    return {"label": label, "top_k": spec.top_k, "seeds": spec.seeds, **dataclasses.asdict(found)}


def _weights(found: LimeExplanation, classes: list[str]) -> dict[str, Any]:
    """What is kept as JSON: the linear model of every class, and the place of every superpixel."""
    return {
        "num_segments": found.num_segments,
        "num_samples": found.num_samples,
        "num_samples_requested": found.num_samples_requested,
        "hide": found.hide,
        "seed": found.seed,
        "classes": [_class_weights(model, classes[model.label]) for model in found.classes],
        "regions": [
            {key: value for key, value in dataclasses.asdict(region).items() if key not in ("rank", "weight")}
            for region in drawing.list_regions(segments=found.segments, explanation=found.classes[found.predicted])
        ],
    }


def _class_weights(model: ClassExplanation, name: str) -> dict[str, Any]:
    return {
        "label": model.label,
        "name": name,
        "intercept": model.intercept,
        "score": model.score,
        "weights": [[segment, weight] for segment, weight in model.weights],
    }


def _record(
    spec: ExplainSpec, classes: list[str], items: list[dict[str, Any]], session: Session, row: Job
) -> dict[str, Any]:
    explanation = Explanation(
        project_id=row.project_id, job_id=row.id, classifier_id=spec.classifier_id, classes=classes,
        num_images=len(items), spec=spec.model_dump(mode="json"),
    )  # fmt: skip
    session.add(explanation)
    session.flush()
    session.add_all(ExplanationItem(explanation_id=explanation.id, **item) for item in items)
    session.flush()
    note_opening(session, row, _test_images(session, items), OpeningKind.EXPLANATION)
    return {"explanation_id": explanation.id}


def _test_images(session: Session, items: list[dict[str, Any]]) -> dict[int, int]:
    """How many test images of each version were explained."""
    ids = {item["image_id"] for item in items if item["image_id"] is not None}
    query = select(Image.version_id, func.count()).where(Image.id.in_(ids), Image.split == Split.TEST)
    return {row[0]: row[1] for row in session.execute(query.group_by(Image.version_id))}
