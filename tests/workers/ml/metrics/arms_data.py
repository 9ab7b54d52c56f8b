"""Predictions of made-up arms for the tests of a study's statistics."""

import numpy as np

from workers.ml.metrics.arms import ArmPredictions

SETTINGS = {"num_bootstrap": 300, "confidence": 0.95, "seed": 0}


def sure(predictions, num_classes=2, confidence=0.8):
    """Probabilities that put `confidence` on each prediction (..., N) and share the rest."""
    rest = (1 - confidence) / (num_classes - 1)
    return np.where(np.eye(num_classes)[np.asarray(predictions)] > 0, confidence, rest)


def arm(*predictions, num_classes=2):
    """An arm of one seed for each list of predicted classes."""
    return ArmPredictions(sure(predictions, num_classes), tuple(range(len(predictions))))


def study(*, seed=0, num_images=120, num_classes=3, num_seeds=3, skill=1.5, labels=None, ties=False):
    """(arm, labels): logits of the true class are `skill` higher, on average."""
    rng = np.random.default_rng(seed)
    if labels is None:
        labels = np.arange(num_images) % num_classes
    logits = rng.normal(size=(num_seeds, len(labels), num_classes)) + skill * np.eye(num_classes)[labels]
    if ties:
        logits = np.round(logits)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    if ties:  # equal to the last digit, for every class
        probabilities = np.round(probabilities, 9)
    return ArmPredictions(probabilities, tuple(range(num_seeds))), labels
