"""Evaluate a classifier's predictions: every figure with an interval, in a form that JSON can hold.

What cannot be computed, such as the recall of a class without test images, is null and says why. Macro means go over
the classes that occur in the test images, in each resample as in the set itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.ml.metrics.curves import reliability_bins, roc_curve
from workers.ml.metrics.resampling import bootstrap_weights, group_indices, percentile_interval
from workers.ml.metrics.weighted import Predictions, prepare, summary

METRICS = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "auroc", "ece")
CLASS_METRICS = ("precision", "recall", "specificity", "f1", "auroc")
Report = dict[str, Any]
Floats = NDArray[np.float64]


def evaluate(
    *,
    labels: NDArray[np.int64],
    probabilities: Floats,
    groups: NDArray[np.int64] | None,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> Report:
    """A JSON-able report on N predictions of K classes.

    labels: (N,) in 0 .. K-1. probabilities: (N, K), rows summing to 1. groups: (N,) integers, equal for images of one
    patient, or None: then images are resampled singly. Intervals are percentiles of num_bootstrap resamples of whole
    groups, not stratified: a resample without a class leaves it out, as the macro means do.

    Keys: num_images, num_classes, num_groups, unit, num_bootstrap, confidence, seed, notes; each of METRICS as {value,
    low, high} with a `reason` where something is null; per_class: [{label, support, predicted, each of
    CLASS_METRICS}]; confusion_matrix: counts [true][predicted]; reliability: bins; roc: [{label, points, auroc}].

    Raises ValueError for arrays that do not fit each other, or that are no labels and probabilities.
    """
    _check(labels, probabilities, num_bootstrap=num_bootstrap, confidence=confidence)
    predictions = prepare(labels=labels, probabilities=probabilities)
    indices = group_indices(groups, num_images=len(labels))
    values = summary(predictions, np.ones((1, len(labels))))
    lows, highs = _intervals(predictions, indices, num_bootstrap=num_bootstrap, confidence=confidence, seed=seed)
    return {
        "num_images": len(labels),
        "num_classes": probabilities.shape[1],
        "num_groups": int(indices.max()) + 1,
        "unit": "image" if groups is None else "group",
        "num_bootstrap": num_bootstrap,
        "confidence": confidence,
        "seed": seed,
        "notes": _notes(labels, indices, num_classes=probabilities.shape[1]),
        **{name: _entry(values[name][0], lows[name], highs[name], _why(labels)) for name in METRICS},
        "per_class": [_class_entry(predictions, values, lows, highs, k) for k in range(probabilities.shape[1])],
        "confusion_matrix": (predictions.true.T @ predictions.predicted).astype(int).tolist(),
        "reliability": reliability_bins(predictions),
        "roc": [roc_curve(predictions, k) for k in range(probabilities.shape[1])],
    }


def _intervals(
    predictions: Predictions, indices: NDArray[np.int64], *, num_bootstrap: int, confidence: float, seed: int
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Low and high bounds of every metric; NaN where there is only one group, which has no spread to show."""
    chunks = [
        summary(predictions, weights)
        for weights in bootstrap_weights(indices=indices, num_bootstrap=num_bootstrap, seed=seed)
    ]
    lows, highs = {}, {}
    for name in chunks[0]:
        values = np.concatenate([chunk[name] for chunk in chunks])
        lows[name], highs[name] = percentile_interval(values, confidence=confidence)
        if indices.max() == 0:
            lows[name], highs[name] = np.full_like(lows[name], np.nan), np.full_like(highs[name], np.nan)
    return lows, highs


def _entry(value: Any, low: Any, high: Any, reason: str) -> dict[str, Any]:
    """{value, low, high}, with null for NaN and then the reason."""
    entry: dict[str, Any] = {
        name: None if np.isnan(number) else float(number)
        for name, number in (("value", value), ("low", low), ("high", high))
    }
    if entry["value"] is None:
        return {**entry, "low": None, "high": None, "reason": reason}
    if entry["low"] is None:
        return {**entry, "reason": "All test images are of one group: there is no spread to take an interval from."}
    return entry


def _class_entry(
    predictions: Predictions, values: dict[str, Floats], lows: dict[str, Floats], highs: dict[str, Floats], k: int
) -> dict[str, Any]:
    support = int(predictions.true[:, k].sum())
    reason = "The test images hold none of this class." if support == 0 else "All test images are of this class."
    metrics = {
        name: _entry(values[f"class_{name}"][0, k], lows[f"class_{name}"][k], highs[f"class_{name}"][k], reason)
        for name in CLASS_METRICS
    }
    return {"label": k, "support": support, "predicted": int(predictions.predicted[:, k].sum()), **metrics}


def _why(labels: NDArray[np.int64]) -> str:
    return f"All test images are of class {labels[0]}: no image of another class to tell it from."


def _notes(labels: NDArray[np.int64], indices: NDArray[np.int64], *, num_classes: int) -> list[str]:
    notes = []
    if absent := sorted(set(range(num_classes)) - set(labels.tolist())):
        notes.append(f"Classes without test images, left out of the macro means: {', '.join(map(str, absent))}.")
    if 1 < (num_groups := int(indices.max()) + 1) < 20:
        notes.append(f"The intervals rest on {num_groups} groups only and are rough.")
    return notes


def _check(labels: NDArray[np.int64], probabilities: Floats, *, num_bootstrap: int, confidence: float) -> None:
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities) or not len(labels):
        raise ValueError(
            f"Labels of shape {labels.shape} and probabilities of shape {probabilities.shape} do not fit; "
            "give (N,) and (N, K) of at least one image."
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"Labels run from {labels.min()} to {labels.max()}, the probabilities have {probabilities.shape[1]} classes."
        )
    if not np.all(np.isfinite(probabilities)) or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise ValueError("Each row of probabilities must be finite and sum to 1; give softmax outputs.")
    if num_bootstrap < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"{num_bootstrap} resamples at confidence {confidence} give no interval; use e.g. 2000 and 0.95."
        )
