"""Rows for tests: each function adds one thing with sensible values, flushes and returns it."""

import hashlib
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.identity import Identity
from models import (
    QUEUE_OF,
    Checkpoint,
    Classifier,
    Dataset,
    DatasetState,
    DatasetVersion,
    Evaluation,
    Image,
    Job,
    JobKind,
    JobState,
    Prediction,
    Project,
    Split,
    SyntheticImage,
    SyntheticSet,
    TrainOn,
    User,
)

CLASSES = ["disc", "ring"]


def identity(session: Session, project: str = "default") -> Identity:
    row = session.scalar(select(Project).where(Project.name == project))
    if row is None:
        row = Project(name=project)
        session.add(row)
        session.flush()
    name = f"{project}-owner"
    user = session.scalar(select(User).where(User.name == name))
    if user is None:
        user = User(project_id=row.id, name=name)
        session.add(user)
        session.flush()
    return Identity(row.id, user.id, user.name, frozenset({"read", "write"}), "system")


def job(session: Session, who: Identity, kind: JobKind = JobKind.TRAIN_DIFFUSION, **values: Any) -> Job:
    defaults: dict[str, Any] = {
        "spec": {"kind": str(kind), "seed": 0},
        "state": JobState.QUEUED,
        "title": f"a {kind} job",
    }
    row = Job(project_id=who.project_id, kind=kind, queue=QUEUE_OF[kind], created_by=who.name, **{**defaults, **values})
    session.add(row)
    session.flush()
    return row


def drawing(label: int, seed: int, size: int = 16) -> np.ndarray:
    """(size, size, 1) uint8: a filled disc for label 0, a ring for any other, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2 + rng.uniform(-1, 1, (2, 1, 1))
    radius = np.hypot(x, y)
    shape = radius < size / 4 if label == 0 else (radius > size / 5) & (radius < size / 2.5)
    return np.clip(shape * 200 + rng.normal(20, 5, (size, size)), 0, 255).astype(np.uint8)[..., None]


def dataset_with_version(
    session: Session,
    who: Identity,
    *,
    name: str = "shapes",
    num_images: int = 20,
    classes: list[str] = CLASSES,
    storage: Any = None,
    size: int = 16,
) -> DatasetVersion:
    """A ready dataset: 7 of 10 images for training, 1 for validation, 2 for testing.

    With `storage` every image is really drawn and stored; without, the rows name files that are not there.
    """
    dataset = Dataset(project_id=who.project_id, name=name, state=DatasetState.READY)
    session.add(dataset)
    session.flush()
    splits = [Split.TRAIN] * 7 + [Split.VAL] + [Split.TEST] * 2
    rows = [(i, i % len(classes), splits[(i // len(classes)) % 10]) for i in range(num_images)]
    counts = {
        c: {s: sum(1 for _, label, split in rows if classes[label] == c and split == s) for s in Split} for c in classes
    }
    version = DatasetVersion(
        dataset_id=dataset.id, number=1, classes=classes, channels=1, num_images=num_images, counts=counts,
        layout={"kind": "class folders", "seed": 0}, manifest_sha256=_sha(f"{name} {num_images}"),
    )  # fmt: skip
    session.add(version)
    session.flush()
    session.add_all(_image(version, i, label, split, classes, storage, size) for i, label, split in rows)
    session.flush()
    return version


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _image(
    version: DatasetVersion, i: int, label: int, split: Split, classes: list[str], storage: Any, size: int
) -> Image:
    key = _sha(f"{version.id} {i}")
    if storage is not None:
        from app.core.images import encode_png

        key = storage.put(encode_png(drawing(label, i, size))).sha256
    return Image(
        version_id=version.id, path=f"{classes[label]}/{i:05d}.png", label=label, split=split, width=size, height=size,
        mode="L", bit_depth=8, file_sha256=key, pixel_sha256=key, stored_sha256=key, thumbnail_sha256=key,
    )  # fmt: skip


def checkpoint(session: Session, who: Identity, version: DatasetVersion, **values: Any) -> Checkpoint:
    made_by = job(session, who, JobKind.TRAIN_DIFFUSION, state=JobState.SUCCEEDED)
    defaults: dict[str, Any] = {
        "name": "shapes, 300 steps", "image_size": 16, "channels": 1, "classes": version.classes, "num_steps": 300,
        "num_parameters": 1234, "size": 5000, "sha256": _sha(f"checkpoint {made_by.id}"), "spec": {"kind": "train_diffusion"},
    }  # fmt: skip
    row = Checkpoint(project_id=who.project_id, job_id=made_by.id, version_id=version.id, **{**defaults, **values})
    session.add(row)
    session.flush()
    made_by.result = {"checkpoint_id": row.id}
    return row


def synthetic_set(
    session: Session, who: Identity, made_from: Checkpoint, *, per_class: int = 4, storage: Any = None
) -> SyntheticSet:
    made_by = job(session, who, JobKind.SAMPLE, state=JobState.SUCCEEDED)
    classes = made_from.classes
    row = SyntheticSet(
        project_id=who.project_id, job_id=made_by.id, checkpoint_id=made_from.id, version_id=made_from.version_id,
        name=f"{per_class} per class", image_size=made_from.image_size, channels=made_from.channels, classes=classes,
        num_images=per_class * len(classes), counts=dict.fromkeys(classes, per_class), spec={"kind": "sample", "seed": 0},
    )  # fmt: skip
    session.add(row)
    session.flush()
    for k in range(row.num_images):
        label = k // per_class
        key = _sha(f"synthetic {row.id} {k}")
        if storage is not None:
            from app.core.images import encode_png

            key = storage.put(encode_png(drawing(label, 1000 + k, made_from.image_size))).sha256
        session.add(SyntheticImage(set_id=row.id, index=k, label=label, seed=k, stored_sha256=key))
    session.flush()
    made_by.result = {"synthetic_set_id": row.id}
    return row


def classifier(session: Session, who: Identity, version: DatasetVersion, **values: Any) -> Classifier:
    made_by = job(session, who, JobKind.TRAIN_CLASSIFIER, state=JobState.SUCCEEDED)
    defaults: dict[str, Any] = {
        "name": "lite0 on shapes", "architecture": "tf_efficientnet_lite0", "train_on": TrainOn.REAL,
        "weights_source": "none", "image_size": 16, "input_size": 32, "channels": 1, "classes": version.classes,
        "num_train_images": 14, "best_epoch": 2, "val_balanced_accuracy": 0.75, "num_parameters": 1234, "size": 5000,
        "sha256": _sha(f"classifier {made_by.id}"), "spec": {"kind": "train_classifier"},
    }  # fmt: skip
    row = Classifier(project_id=who.project_id, job_id=made_by.id, version_id=version.id, **{**defaults, **values})
    session.add(row)
    session.flush()
    made_by.result = {"classifier_id": row.id}
    return row


def evaluation(session: Session, who: Identity, tested: Classifier, report: dict[str, Any]) -> Evaluation:
    """An evaluation on the test split that finds every third image wrong."""
    made_by = job(session, who, JobKind.EVALUATE, state=JobState.SUCCEEDED)
    images = list(
        session.scalars(select(Image).where(Image.version_id == tested.version_id, Image.split == Split.TEST))
    )
    row = Evaluation(
        project_id=who.project_id, job_id=made_by.id, classifier_id=tested.id, version_id=tested.version_id,
        split=Split.TEST, classes=tested.classes, num_images=len(images), report=report,
    )  # fmt: skip
    session.add(row)
    session.flush()
    for i, image in enumerate(images):
        predicted = image.label if i % 3 else (image.label + 1) % len(tested.classes)
        probabilities = [0.8 if k == predicted else 0.2 / (len(tested.classes) - 1) for k in range(len(tested.classes))]
        session.add(
            Prediction(
                evaluation_id=row.id,
                image_id=image.id,
                label=image.label,
                predicted=predicted,
                confidence=0.8,
                probabilities=probabilities,
            )
        )
    session.flush()
    made_by.result = {"evaluation_id": row.id}
    return row
