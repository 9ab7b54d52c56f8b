"""What jobs made: checkpoints, synthetic sets, classifiers, evaluations."""

import datetime as dt
from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import API, In, Out, file_url, named
from models import (
    Checkpoint,
    Classifier,
    Evaluation,
    Image,
    Mark,
    Prediction,
    SyntheticImage,
    SyntheticSet,
    TrainOn,
)


class Rename(In):
    """A new name."""

    model_config = named(name="brain small, 300 steps")

    name: Annotated[str, Field(min_length=1, max_length=300)]


class CheckpointOut(Out):
    """A diffusion network that can draw."""

    id: int
    name: str
    job_id: int | None = Field(description="The training; null: it came with the studio.")
    dataset_id: int | None
    version_id: int | None
    image_size: int
    channels: int
    classes: list[str]
    num_steps: int
    num_parameters: int
    size: int = Field(description="Bytes.")
    sha256: str
    spec: dict[str, Any]
    guarantee: dict[str, Any] | None = Field(
        description="Differential privacy: epsilon, delta and what they follow from; null: none."
    )
    copy_watch: dict[str, Any] | None = Field(
        description="Of a training that was to stop on copies: sentence, stopped_at (null: it went through), checks, floor."
    )
    created_at: dt.datetime
    url: str
    download_url: str

    @classmethod
    def of(cls, row: Checkpoint, *, dataset_id: int | None) -> "CheckpointOut":
        return cls(
            id=row.id, name=row.name, job_id=row.job_id, dataset_id=dataset_id, version_id=row.version_id,
            image_size=row.image_size, channels=row.channels, classes=row.classes, num_steps=row.num_steps,
            num_parameters=row.num_parameters, size=row.size, sha256=row.sha256, spec=row.spec, guarantee=row.guarantee,
            copy_watch=row.copy_watch,
            created_at=row.created_at, url=f"/checkpoints/{row.id}", download_url=f"{API}/checkpoints/{row.id}/download",
        )  # fmt: skip


class SyntheticSetOut(Out):
    """Images that a checkpoint drew."""

    id: int
    name: str
    job_id: int
    checkpoint_id: int
    dataset_id: int | None
    version_id: int | None
    image_size: int
    channels: int
    classes: list[str]
    num_images: int
    counts: dict[str, int]
    spec: dict[str, Any]
    filtered_from_id: int | None = Field(description="The set that it is without copies; null: it was drawn.")
    created_at: dt.datetime
    url: str
    download_url: str

    @classmethod
    def of(cls, row: SyntheticSet, *, dataset_id: int | None) -> "SyntheticSetOut":
        return cls(
            id=row.id, name=row.name, job_id=row.job_id, checkpoint_id=row.checkpoint_id, dataset_id=dataset_id,
            version_id=row.version_id, image_size=row.image_size, channels=row.channels, classes=row.classes,
            num_images=row.num_images, counts=row.counts, spec=row.spec, filtered_from_id=row.filtered_from_id,
            created_at=row.created_at, url=f"/synthetic-sets/{row.id}", download_url=f"{API}/synthetic-sets/{row.id}/download",
        )  # fmt: skip


class SyntheticImageOut(Out):
    """One synthetic image; set's seed and index fix it."""

    id: int
    index: int
    label: str
    seed: int
    mark: Mark
    sha256: str
    url: str

    @classmethod
    def of(cls, row: SyntheticImage, classes: list[str]) -> "SyntheticImageOut":
        return cls(
            id=row.id, index=row.index, label=classes[row.label], seed=row.seed, mark=Mark(row.mark),
            sha256=row.stored_sha256, url=file_url(row.stored_sha256),
        )  # fmt: skip


class MarksIn(In):
    """Star or reject images. Rejected ones are not used to train classifiers."""

    model_config = named(image_ids=[11, 12], mark="rejected")

    image_ids: Annotated[list[int], Field(min_length=1, max_length=1000)]
    mark: Mark


class MarksOut(Out):
    """How many images were marked, and the marks that they had: send those to undo it."""

    marked: int
    before: dict[int, Mark]


class ClassifierOut(Out):
    """A CNN trained on real, synthetic or both kinds of images."""

    id: int
    name: str
    job_id: int
    dataset_id: int
    version_id: int
    synthetic_set_id: int | None
    architecture: str
    train_on: TrainOn
    weights_source: str = Field(description="Where training started from.")
    image_size: int
    input_size: int
    channels: int
    classes: list[str]
    num_train_images: int
    best_epoch: int
    val_balanced_accuracy: float
    num_parameters: int
    size: int = Field(description="Bytes.")
    sha256: str
    spec: dict[str, Any]
    created_at: dt.datetime
    url: str
    download_url: str

    @classmethod
    def of(cls, row: Classifier, *, dataset_id: int) -> "ClassifierOut":
        return cls(
            id=row.id, name=row.name, job_id=row.job_id, dataset_id=dataset_id, version_id=row.version_id,
            synthetic_set_id=row.synthetic_set_id, architecture=row.architecture, train_on=TrainOn(row.train_on),
            weights_source=row.weights_source, image_size=row.image_size, input_size=row.input_size,
            channels=row.channels, classes=row.classes, num_train_images=row.num_train_images,
            best_epoch=row.best_epoch, val_balanced_accuracy=row.val_balanced_accuracy,
            num_parameters=row.num_parameters, size=row.size, sha256=row.sha256, spec=row.spec,
            created_at=row.created_at, url=f"/classifiers/{row.id}", download_url=f"{API}/classifiers/{row.id}/download",
        )  # fmt: skip


class EvaluationOut(Out):
    """A classifier tested on one split of real images, or on a synthetic set."""

    id: int
    job_id: int
    classifier_id: int
    dataset_id: int
    version_id: int
    split: str = Field(description="train, val, test or all; synthetic: the images of synthetic_set_id.")
    synthetic_set_id: int | None
    class_map: dict[str, str] | None = Field(
        description="Class of the classifier for each class of the dataset that was tested; null: the classes are the same."
    )
    classes: list[str]
    num_images: int
    leaks: dict[str, int] | None = Field(
        description="Tested images that training had seen: of known patients, identical, near; null: not looked for."
    )
    num_openings: int | None = Field(
        description="How often the dataset's test images were looked at so far; null: other splits."
    )
    report: dict[str, Any] = Field(
        description="Every metric with its interval, the confusion matrix, the per-class table."
    )
    created_at: dt.datetime
    url: str

    @classmethod
    def of(cls, row: Evaluation, *, dataset_id: int, num_openings: int | None) -> "EvaluationOut":
        return cls(
            id=row.id, job_id=row.job_id, classifier_id=row.classifier_id, dataset_id=dataset_id,
            version_id=row.version_id, split=row.split, synthetic_set_id=row.synthetic_set_id, class_map=row.class_map, classes=row.classes, num_images=row.num_images,
            leaks=row.leaks, num_openings=num_openings, report=row.report, created_at=row.created_at, url=f"/evaluations/{row.id}",
        )  # fmt: skip


class PredictionOut(Out):
    """What the classifier said of one real image."""

    image_id: int
    path: str
    label: str
    predicted: str
    probabilities: dict[str, float]
    confidence: float
    thumbnail_url: str

    @classmethod
    def of(cls, row: Prediction, image: Image, classes: list[str]) -> "PredictionOut":
        return cls(
            image_id=image.id, path=image.path, label=classes[row.label], predicted=classes[row.predicted],
            probabilities=by_class(classes, row.probabilities), confidence=row.confidence,
            thumbnail_url=file_url(image.thumbnail_sha256),
        )  # fmt: skip


def by_class(classes: list[str], probabilities: list[Any]) -> dict[str, float]:
    return dict(zip(classes, map(float, probabilities), strict=True))
