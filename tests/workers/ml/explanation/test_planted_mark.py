"""The planted truth: a network that decides by a corner mark is caught, one that decides by the lesion is not."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.ml.classification.networks import build_classifier
from workers.ml.classification.prediction import LoadedClassifier, export_classifier, load_classifier
from workers.ml.classification.state import new_classifier_state
from workers.ml.classification.training import train_classifier
from workers.ml.explanation import lime
from workers.ml.explanation.places import measure_places
from workers.ml.explanation.shortcut import check_shortcut

SIDE = 32
CLASSES = ("healthy", "ill")
Y, X = np.mgrid[:SIDE, :SIDE]


def draw(*, told_by: str, per_class: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Grey bodies before black, (N, 32, 32, 1). lesion: ill ones have one. mark: any may have one, and ill ones a bright
    square of 4 pixels in the top left corner."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(2), per_class)
    images = np.full((len(labels), SIDE, SIDE), 10.0)
    for image, label in zip(images, labels, strict=True):
        y, x = SIDE / 2 + rng.uniform(-2, 2, 2)
        image[(Y - y) ** 2 + (X - x) ** 2 < rng.uniform(10, 12) ** 2] = 110
        has_lesion = label == 1 if told_by == "lesion" else rng.random() < 0.5
        dy, dx = rng.uniform(-4, 4, 2)
        if has_lesion:
            image[(Y - y - dy) ** 2 + (X - x - dx) ** 2 < 3.2**2] = 210
        if told_by == "mark" and label == 1:
            image[1:5, 1:5] = 255
    images += rng.normal(0, 8, images.shape)
    return images.clip(0, 255).astype(np.uint8)[..., None], labels


def trained(folder: Path, *, told_by: str) -> LoadedClassifier:
    built = build_classifier(
        architecture="test_efficientnet", num_classes=2, channels=1, pretrained=False, weights_dir=None, seed=1
    )
    state = new_classifier_state(built=built, weight_decay=0.01, seed=1, device="cpu")
    images, labels = draw(told_by=told_by, per_class=40, seed=11)
    val_images, val_labels = draw(told_by=told_by, per_class=10, seed=12)
    for _ in train_classifier(
        state=state, images_uint8=images, labels=labels, val_images_uint8=val_images, val_labels=val_labels,
        num_epochs=8, batch_size=12, lr=5e-3, label_smoothing=0.05, augment="none", hflip=False, vflip=False, input_size=64,
        class_balanced=True, steps_per_epoch=None, precision="fp32",
    ):  # fmt: skip
        pass
    assert state.best is not None
    assert state.best.val_balanced_accuracy == 1.0
    path = folder / "c.safetensors"
    export_classifier(
        path,
        built=state.built,
        tensors=state.best_tensors,
        classes=CLASSES,
        input_size=64,
        image_size=SIDE,
        metadata={},
    )
    return load_classifier(path, device="cpu")


def checked(classifier: LoadedClassifier, *, told_by: str) -> dict[str, Any]:
    """The check over eight test images a class, explained as a study does but with fewer copies."""
    images, _ = draw(told_by=told_by, per_class=8, seed=17)
    places, predicted = [], []
    for image in images:
        found = list(lime.explain_image(
            classifier=classifier, image_uint8=image, num_samples=200, num_segments=20, hide="mean", batch_size=100, seed=0,
            device="cpu",
        ))[-1]  # fmt: skip
        assert isinstance(found, lime.LimeExplanation)
        picture = lime.as_uint8(lime.prepare_image(classifier=classifier, image_uint8=image, device="cpu"))
        weights = found.classes[found.predicted].weights
        places.append(
            measure_places(picture_uint8=picture, segments=found.segments, weights=weights, label=found.predicted)
        )
        predicted.append(found.predicted)
    return check_shortcut(
        places=[dataclasses.asdict(each) for each in places], predicted=predicted, classes=CLASSES, groups=None, confidence=0.95,
    )  # fmt: skip


@pytest.mark.parametrize(("told_by", "is_flagged"), [("mark", True), ("lesion", False)])
def test_a_network_is_flagged_just_where_a_mark_decides(tmp_path: Path, told_by: str, is_flagged: bool) -> None:
    found = checked(trained(tmp_path, told_by=told_by), told_by=told_by)
    assert found["is_flagged"] is is_flagged, found["sentence"]
    if is_flagged:
        assert "for ill lies in the corners" in found["sentence"]
