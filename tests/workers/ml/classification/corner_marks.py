"""A task whose answer is known: noise, and in classes 1 and 2 a bright square in one corner."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.ml.classification.networks import build_classifier
from workers.ml.classification.state import ClassifierState, new_classifier_state

SIDE = 32
MARK = 10  # side of the bright square, px
CLASSES = ("none", "top left", "bottom right")


def draw(*, per_class: int, seed: int, channels: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 32, 32, channels) uint8 and labels (N,)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    images = rng.integers(40, 100, size=(len(labels), SIDE, SIDE, channels), dtype=np.uint8)
    images[labels == 1, 1 : 1 + MARK, 1 : 1 + MARK] = 230
    images[labels == 2, -1 - MARK : -1, -1 - MARK : -1] = 230
    return images, labels


def new_state(*, seed: int = 0, channels: int = 1, architecture: str = "test_efficientnet") -> ClassifierState:
    built = build_classifier(
        architecture=architecture, num_classes=3, channels=channels, pretrained=False, weights_dir=None, seed=seed
    )
    return new_classifier_state(built=built, weight_decay=0.01, seed=seed, device="cpu")


def training_arguments(*, per_class: int = 12, channels: int = 1, **changes: Any) -> dict[str, Any]:
    """All arguments of train_classifier but the state."""
    images, labels = draw(per_class=per_class, seed=1, channels=channels)
    val_images, val_labels = draw(per_class=6, seed=2, channels=channels)
    return {
        "images_uint8": images,
        "labels": labels,
        "val_images_uint8": val_images,
        "val_labels": val_labels,
        "num_epochs": 3,
        "batch_size": 12,
        "lr": 5e-3,
        "label_smoothing": 0.05,
        "augment": "none",
        "hflip": False,
        "vflip": False,
        "input_size": 64,
        "class_balanced": True,
        "steps_per_epoch": None,
        "precision": "fp32",
        **changes,
    }
