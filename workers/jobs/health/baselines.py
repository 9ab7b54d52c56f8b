"""What models that hardly look at an image make of the classes; see workers/ml/health/baselines.py.

Test images take no part: they are locked, and a baseline is chosen from, too.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.jobs.health.measuring import global_numbers
from workers.jobs.health.steps import Steps
from workers.jobs.health.subject import Subject
from workers.ml.health.baselines import Model, folds, predict_held_out, scores, shrunk, stratified_places

MOST_IMAGES = 2000
LEAST_UNITS = 20  # of a class that takes part
NUM_FOLDS = 5
NUM_TREES = 50
PIXEL_SIDE = 24
NUM_BOOTSTRAP = 1000
CONFIDENCE = 0.95


class Baseline(NamedTuple):
    name: str
    what: str  # it sees, in words
    how: str
    model: Model
    sees: str  # numbers or pixels


def baselines(channels: int) -> list[Baseline]:
    numbers, pixels = f"{2 * channels + 2} numbers", f"{PIXEL_SIDE} × {PIXEL_SIDE} grey pixels"
    return [
        Baseline("numbers_linear", numbers, "logistic regression", "linear", "numbers"),
        Baseline("numbers_forest", numbers, "a random forest", "forest", "numbers"),
        Baseline("pixels_forest", pixels, "a random forest", "forest", "pixels"),
    ]


def measure(steps: Steps, subject: Subject, *, seed: int) -> dict[str, Any]:
    """{reason, classes, chance, num_images, num_units, num_folds, models: [{name, what, how, sees, accuracy, balanced_accuracy}]}.

    reason says why there are no models, where too few classes have enough units.
    """
    places, classes = _taking_part(subject, seed=seed)
    units = np.unique(subject.units[places], return_inverse=True)[1].astype(np.int64)
    about: dict[str, Any] = {
        "reason": None,
        "classes": classes,
        "chance": 1 / max(len(classes), 1),
        "num_images": len(places),
        "num_units": len(set(units.tolist())),
        "num_folds": NUM_FOLDS,
        "confidence": CONFIDENCE,
        "models": [],
    }
    if len(classes) < 2:
        return about | {
            "reason": f"Fewer than two classes have {LEAST_UNITS} training and validation images that are neither copies nor "
            "of the same patient."
        }
    features = {"numbers": global_numbers(subject)[places], "pixels": _pixels(subject, places)}
    labels = np.unique(subject.labels[places], return_inverse=True)[1].astype(np.int64)
    parts = folds(labels=labels, units=units, num_folds=NUM_FOLDS, seed=seed)
    for baseline in baselines(subject.channels):
        predicted = np.zeros(len(labels), dtype=np.int64)
        for number, fold in enumerate(parts, start=1):
            steps.say(f"{baseline.what}, {baseline.how}, fold {number} of {NUM_FOLDS}")
            predicted[fold.held_out] = predict_held_out(
                features=features[baseline.sees], labels=labels, fold=fold, model=baseline.model, num_trees=NUM_TREES, seed=seed
            )  # fmt: skip
        figures = scores(
            labels=labels,
            predicted=predicted,
            units=units,
            num_bootstrap=NUM_BOOTSTRAP,
            confidence=CONFIDENCE,
            seed=seed,
        )
        about["models"].append(
            {"name": baseline.name, "what": baseline.what, "how": baseline.how, "sees": baseline.sees, **figures}
        )
    return about


def _taking_part(subject: Subject, *, seed: int) -> tuple[NDArray[np.int64], list[str]]:
    """The places of the images, at most MOST_IMAGES, and the names of their classes, in the order of the labels."""
    labels, units, is_open = subject.labels, subject.units, subject.is_open
    labels_in = [
        label
        for label in range(len(subject.classes))
        if len(np.unique(units[(labels == label) & is_open])) >= LEAST_UNITS
    ]
    candidates = np.flatnonzero(is_open & np.isin(labels, labels_in))
    if not len(candidates):
        return candidates.astype(np.int64), []
    chosen = candidates[stratified_places(labels=labels[candidates], most=MOST_IMAGES, seed=seed)]
    return chosen, [subject.classes[label] for label in labels_in]


def _pixels(subject: Subject, places: NDArray[np.int64]) -> NDArray[np.float64]:
    tiles = np.stack([subject.looks[subject.entries[place].stored_sha256].pixels for place in places])
    return shrunk(tiles=tiles, side=PIXEL_SIDE)
