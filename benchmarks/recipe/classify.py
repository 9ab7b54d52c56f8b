"""Train tf_efficientnet_lite0 on one set of images and test it on real ones; the epoch is chosen on real validation images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.recipe.data import Dataset
from workers.ml.classification.networks import build_classifier
from workers.ml.classification.prediction import predict_with
from workers.ml.classification.state import new_classifier_state
from workers.ml.classification.training import balanced_accuracy, train_classifier

ARCHITECTURE = "tf_efficientnet_lite0"
INPUT_SIZE = 96
OPTIONS: dict[str, Any] = {
    "num_epochs": 6,
    "batch_size": 32,
    "lr": 1e-3,
    "label_smoothing": 0.1,
    "augment": "strong",
    "input_size": INPUT_SIZE,
    "class_balanced": True,
    "steps_per_epoch": None,
    "precision": "fp32",
}


@dataclass(frozen=True)
class Outcome:
    """Balanced accuracy on validation (best epoch) and test images, and recall per class on the test images."""

    validation: float
    test: float
    recalls: list[float]


def train_and_test(
    dataset: Dataset,
    *,
    images_uint8: NDArray[np.uint8],
    labels: NDArray[np.int64],
    hflip: bool,
    vflip: bool,
    seed: int,
) -> Outcome:
    """Train on the given images (N, S, S, C); validate and test on the dataset's own parts."""
    channels = images_uint8.shape[-1]
    built = build_classifier(
        architecture=ARCHITECTURE,
        num_classes=len(dataset.classes),
        channels=channels,
        pretrained=True,
        weights_dir=None,
        seed=seed,
    )
    state = new_classifier_state(built=built, weight_decay=0.01, seed=seed, device="cpu")
    val_images, val_labels = dataset.of("validation")
    data = {
        "images_uint8": images_uint8,
        "labels": labels,
        "val_images_uint8": val_images,
        "val_labels": val_labels,
    }
    for _ in train_classifier(state=state, hflip=hflip, vflip=vflip, **data, **OPTIONS):
        pass
    assert state.best is not None
    built.network.load_state_dict(state.best_tensors)
    test_images, test_labels = dataset.of("test")
    probabilities = predict_with(
        network=built.network.eval(), images_uint8=test_images, channels=channels, input_size=INPUT_SIZE, mean=built.mean, std=built.std, batch_size=64, device="cpu"
    )  # fmt: skip
    predictions = probabilities.argmax(axis=1)
    recalls = [float(np.mean(predictions[test_labels == label] == label)) for label in range(len(dataset.classes))]
    return Outcome(
        state.best.val_balanced_accuracy,
        balanced_accuracy(labels=test_labels, predictions=predictions),
        recalls,
    )
