"""Result rows for the tests of their pages: a real report of metrics, and an explanation with stored pictures."""

import copy
import dataclasses
import functools
import io
from typing import Any

import numpy as np
from PIL import Image as Pillow
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.images import encode_png
from app.services.identity import Identity
from models import Classifier, Explanation, ExplanationItem, Image, JobKind, JobState, Split
from tests import factories
from workers.ml.explanation.places import measure_places
from workers.ml.metrics.classification import evaluate

SIDE = 32
REGION = 8  # side of the square regions: 16 of them
COPY_WATCH: dict[str, Any] = {
    "sentence": "Stopped at step 1,200 of 6,000: copying began. This is the network of step 150, the last check before it.",
    "stopped_at": 1200, "num_steps": 6000, "level": 0.001, "threshold": 5.0, "num_train": 40, "num_held_out": 340,
    "floor": {"n": 340, "count": 1, "value": 1 / 340, "low": 0.0, "high": 0.016},
    "checks": [
        {"step": 100, "n": 0, "count": 0, "value": None, "low": None, "high": None, "p_value": None, "is_above": False},
        {"step": 1200, "n": 32, "count": 16, "value": 0.5, "low": 0.32, "high": 0.68, "p_value": 1.5e-9, "is_above": True},
    ],
}  # fmt: skip


def report(num_images: int = 40, num_classes: int = 2, seed: int = 0) -> dict[str, Any]:
    """What workers.ml.metrics.classification.evaluate says of made-up predictions that are right two times in three."""
    return copy.deepcopy(_report(num_images, num_classes, seed))


@functools.cache
def _report(num_images: int, num_classes: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    labels = np.arange(num_images) % num_classes
    scores = rng.normal(size=(num_images, num_classes))
    scores[np.arange(num_images), labels] += 1.2
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return evaluate(
        labels=labels.astype(np.int64),
        probabilities=probabilities,
        groups=None,
        num_bootstrap=200,
        confidence=0.95,
        seed=0,
    )


def segments() -> np.ndarray:
    """(32, 32) uint16: sixteen squares, numbered row by row."""
    y, x = np.mgrid[:SIDE, :SIDE] // REGION
    return (y * (SIDE // REGION) + x).astype(np.uint16)


def faithfulness(label: int) -> dict[str, Any]:
    """Deletion falls from 0.9 to 0.1 over the first 4 of 16 regions, insertion rises over the first 8.

    Areas: 0.25 * 0.5 + 0.75 * 0.1 = 0.2 and 0.5 * 0.5 + 0.5 * 0.9 = 0.7.
    """
    return {
        "label": label, "shares": [k / 16 for k in range(17)],
        "deletion": [0.1 + 0.8 * max(0, 1 - k / 4) for k in range(17)],
        "insertion": [0.1 + 0.8 * min(1, k / 8) for k in range(17)], "deletion_auc": 0.2, "insertion_auc": 0.7,
    }  # fmt: skip


def stability(label: int) -> dict[str, Any]:
    """Three seeds; the weight of region k deviates by k / 100."""
    return {
        "label": label, "top_k": 3, "seeds": [0, 1, 2], "num_seeds": 3, "overlap": 0.67, "correlation": 0.93,
        "deviations": [k / 100 for k in range(16)],
    }  # fmt: skip


def explanation(
    session: Session,
    who: Identity,
    classifier: Classifier,
    storage: Any,
    *,
    num_images: int = 4,
    is_measured: bool = True,
    shift: int = 0,
) -> Explanation:
    """The first test images explained; the first is classified wrongly, the others rightly.

    Region k - shift has the weight (k - 7) / 10 for class 0 and its opposite for class 1: the strongest stand at the edge, or, with
    a shift of 8, in the middle. is_measured: whether it says how far it can be believed; it does not if it is older than that.
    """
    made_by = factories.job(session, who, JobKind.EXPLAIN, state=JobState.SUCCEEDED)
    row = Explanation(
        project_id=who.project_id, job_id=made_by.id, classifier_id=classifier.id, classes=classifier.classes,
        num_images=num_images, spec={"kind": "explain", "num_samples": 200, "top_k": 3, "seed": 0},
    )  # fmt: skip
    session.add(row)
    session.flush()
    query = select(Image).where(Image.version_id == classifier.version_id, Image.split == Split.TEST).limit(num_images)
    for index, image in enumerate(session.scalars(query)):
        item = _item(row, image, index, storage, shift)
        if is_measured:
            item.faithfulness, item.stability = faithfulness(item.predicted), stability(item.predicted)
            weights = item.weights["classes"][item.predicted]["weights"]
            picture = factories.drawing(image.label, image.id, SIDE)
            places = measure_places(
                picture_uint8=picture, segments=segments().astype(np.int64), weights=weights, label=item.predicted
            )
            item.places = dataclasses.asdict(places)
        session.add(item)
    session.flush()
    return row


def _item(row: Explanation, image: Image, index: int, storage: Any, shift: int) -> ExplanationItem:
    num_classes = len(row.classes)
    predicted = image.label if index else (image.label + 1) % num_classes
    picture = factories.drawing(image.label, image.id, SIDE)
    overlay = np.repeat(picture, 3, axis=2)
    overlay[-REGION:, :, 2] = 255
    weights = [
        {
            "label": k,
            "intercept": 0.5,
            "score": 0.8,
            "weights": [[s, ((s + shift) % 16 - 7) / 10 * (1 if k == 0 else -1)] for s in range(16)],
        }
        for k in range(num_classes)
    ]
    return ExplanationItem(
        explanation_id=row.id, index=index, image_id=image.id, label=image.label, predicted=predicted,
        probabilities=[0.9 if k == predicted else 0.1 / (num_classes - 1) for k in range(num_classes)],
        width=SIDE, height=SIDE, picture_sha256=storage.put(encode_png(picture)).sha256,
        segments_sha256=storage.put(_png16(segments())).sha256, overlay_sha256=storage.put(encode_png(overlay)).sha256,
        weights={"classes": weights, "regions": []},
    )  # fmt: skip


def _png16(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    Pillow.fromarray(array).save(target, "PNG")
    return target.getvalue()
