"""Rows of every kind in one project, so that every path of the API and every call of the client finds something."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.images import encode_png
from app.core.storage import Storage
from app.services.identity import Identity
from models import (
    Artifact,
    Classifier,
    Event,
    Explanation,
    ExplanationItem,
    Image,
    JobKind,
    JobState,
    Metric,
    RefusedFile,
    SyntheticImage,
    UploadedImage,
    Worker,
    db_now,
)
from tests import factories
from tests.audit_data import audited

REPORT: dict[str, Any] = {
    "accuracy": {"value": 0.75, "low": 0.5, "high": 1.0},
    "balanced_accuracy": {"value": 0.7, "low": 0.4, "high": 0.9},
    "confusion_matrix": [[2, 0], [1, 1]],
}
# From 0.8 to 0.2 by way of 0.4 at a quarter of the area: 0.25 * 0.6 + 0.75 * 0.3 = 0.375. Insertion: 0.25 * 0.45 + 0.75 * 0.75 = 0.675.
FAITHFULNESS: dict[str, Any] = {
    "label": 1, "shares": [0.0, 0.25, 1.0], "deletion": [0.8, 0.4, 0.2], "insertion": [0.2, 0.7, 0.8],
    "deletion_auc": 0.375, "insertion_auc": 0.675,
}  # fmt: skip
STABILITY: dict[str, Any] = {
    "label": 1, "top_k": 5, "seeds": [7, 8, 9], "num_seeds": 3, "overlap": 0.5, "correlation": None, "deviations": [0.0],
}  # fmt: skip
SHARE = {"area": 0.36, "positive": 0.5, "absolute": None}
PLACES = {"label": 1, "border": SHARE, "corners": SHARE, "outside": None, "reason": "The picture fills the frame."}


@dataclass
class Lab:
    """Ids of the rows."""

    dataset: int
    image: int
    checkpoint: int
    synthetic_set: int
    synthetic_images: list[int]
    classifier: int
    evaluation: int
    explanation: int
    uploaded_image: int
    job: int
    artifact: int
    audit: int


def make_lab(session: Session, who: Identity, storage: Storage) -> Lab:
    """Two classes of drawn images, and everything that can be made of them."""
    version = factories.dataset_with_version(session, who, storage=storage)
    session.add(RefusedFile(version_id=version.id, path="notes.txt", kind="ignored", reason="It is no image."))
    weights = storage.put(b"weights")
    checkpoint = factories.checkpoint(session, who, version, sha256=weights.sha256, size=weights.size)
    drawn = factories.synthetic_set(session, who, checkpoint, storage=storage)
    classifier = factories.classifier(session, who, version, sha256=weights.sha256, synthetic_set_id=drawn.id)
    evaluation = factories.evaluation(session, who, classifier, REPORT)
    job = factories.job(session, who, state=JobState.RUNNING, done=3, total=10, rate=1.0)
    session.add_all(Metric(job_id=job.id, name="loss", step=step, value=1 / (step + 1)) for step in range(100))
    session.add_all(Event(job_id=job.id, number=n, kind="log", data={"text": f"line {n}"}) for n in (1, 2, 3))
    preview = storage.put(encode_png(factories.drawing(0, 1)))
    artifact = Artifact(
        job_id=job.id,
        role="preview",
        index=10,
        name="step-10.png",
        media_type="image/png",
        size=preview.size,
        sha256=preview.sha256,
    )
    session.add(artifact)
    session.add(Worker(name="w1", queues=["gpu"], device="cpu", memory_bytes=1, gflops=5.0, seen_at=db_now()))
    image = session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)).first()
    assert image is not None
    explanation, uploaded = _explanation(session, who, storage, classifier, image)
    session.flush()
    marks = session.scalars(
        select(SyntheticImage.id).where(SyntheticImage.set_id == drawn.id).order_by(SyntheticImage.id)
    )
    return Lab(
        version.dataset_id, image.id, checkpoint.id, drawn.id, list(marks), classifier.id, evaluation.id, explanation.id,
        uploaded.id, job.id, artifact.id, audited(session, who, drawn).id,
    )  # fmt: skip


def _explanation(
    session: Session, who: Identity, storage: Storage, classifier: Classifier, image: Image
) -> tuple[Explanation, UploadedImage]:
    made_by = factories.job(session, who, JobKind.EXPLAIN, state=JobState.SUCCEEDED)
    picture = storage.put(encode_png(np.zeros((8, 8, 1), np.uint8))).sha256
    row = Explanation(
        project_id=who.project_id,
        job_id=made_by.id,
        classifier_id=classifier.id,
        classes=classifier.classes,
        num_images=1,
        spec={"kind": "explain"},
    )
    uploaded = UploadedImage(
        project_id=who.project_id, name="mine.png", width=8, height=8, stored_sha256=picture, thumbnail_sha256=picture
    )
    session.add_all([row, uploaded])
    session.flush()
    made_by.result = {"explanation_id": row.id}
    session.add(
        ExplanationItem(
            explanation_id=row.id, index=0, image_id=image.id, label=0, predicted=1, probabilities=[0.25, 0.75], width=8, height=8,
            picture_sha256=picture, segments_sha256=picture, overlay_sha256=picture,
            weights={"classes": [{"label": 1, "intercept": 0.1, "score": 0.9, "weights": [[0, 0.5]]}], "regions": []},
            faithfulness=FAITHFULNESS, stability=STABILITY, places=PLACES,
        )
    )  # fmt: skip
    return row, uploaded
