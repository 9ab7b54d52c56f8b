"""Evaluate a classifier's predictions: every figure with an interval, in a form that JSON can hold.

What cannot be computed, such as the recall of a class without test images, is null and says why. Macro means go over
the classes that occur in the test images, in each resample as in the set itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.ml.metrics.curves import reliability_bins, roc_curve
from workers.ml.metrics.intervals import bases, check_settings, score_interval
from workers.ml.metrics.reports import Report, entry
from workers.ml.metrics.resampling import bootstrap_weights, group_indices
from workers.ml.metrics.weighted import METRICS, Predictions, check, prepare, summary

CLASS_METRICS = ("precision", "recall", "specificity", "f1", "auroc")
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

    labels: (N,) in 0 .. K-1. probabilities: (N, K), rows summing to 1. groups: (N,) integers, equal for images that
    are not independent, or None: then images are resampled singly. Intervals are score intervals with the spread of num_bootstrap
    resamples of whole groups, not stratified: a resample without a class leaves it out, as the macro means do.

    Keys: num_images, num_classes, num_groups, unit, num_bootstrap, confidence, seed, notes; each of METRICS as {value,
    low, high} with a `reason` where something is null; per_class: [{label, support, predicted, each of
    CLASS_METRICS}]; confusion_matrix: counts [true][predicted]; reliability: bins; roc: [{label, points, auroc}].

    Raises ValueError for arrays that do not fit each other, or that are no labels and probabilities.
    """
    check(labels=labels, probabilities=probabilities)
    check_settings(num_bootstrap=num_bootstrap, confidence=confidence)
    predictions = prepare(labels=labels, probabilities=probabilities)
    indices = group_indices(groups, num_images=len(labels))
    values = summary(predictions, np.ones((1, len(labels))))
    lows, highs = _intervals(
        predictions, values, indices, num_bootstrap=num_bootstrap, confidence=confidence, seed=seed
    )
    return {
        "num_images": len(labels),
        "num_classes": probabilities.shape[1],
        "num_groups": int(indices.max()) + 1,
        "unit": "image" if groups is None else "group",
        "num_bootstrap": num_bootstrap,
        "confidence": confidence,
        "seed": seed,
        "notes": notes(labels, indices, num_classes=probabilities.shape[1]),
        **{name: entry(values[name][0], lows[name], highs[name], undefined=single_class(labels)) for name in METRICS},
        "per_class": [_class_entry(predictions, values, lows, highs, k) for k in range(probabilities.shape[1])],
        "confusion_matrix": (predictions.true.T @ predictions.predicted).astype(int).tolist(),
        "reliability": reliability_bins(predictions),
        "roc": [roc_curve(predictions, k) for k in range(probabilities.shape[1])],
    }


def _intervals(
    predictions: Predictions,
    values: dict[str, Floats],
    indices: NDArray[np.int64],
    *,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Low and high bounds of every metric; NaN where it rests on one group, which has no spread to show."""
    chunks = [
        summary(predictions, weights)
        for weights in bootstrap_weights(indices=indices, num_bootstrap=num_bootstrap, seed=seed)
    ]
    basis = bases(
        labels=predictions.labels, predicted=predictions.probabilities.argmax(axis=1), indices=indices,
        num_classes=predictions.true.shape[1],
    )  # fmt: skip
    lows, highs = {}, {}
    for name in chunks[0]:
        draws = np.concatenate([chunk[name] for chunk in chunks])
        lows[name], highs[name] = score_interval(
            values=values[name][0], draws=draws, basis=basis[name], confidence=confidence
        )
    return lows, highs


def _class_entry(
    predictions: Predictions, values: dict[str, Floats], lows: dict[str, Floats], highs: dict[str, Floats], k: int
) -> dict[str, Any]:
    support = int(predictions.true[:, k].sum())
    reason = "The test images hold none of this class." if support == 0 else "All test images are of this class."
    metrics = {
        name: entry(
            values[f"class_{name}"][0, k], lows[f"class_{name}"][k], highs[f"class_{name}"][k], undefined=reason
        )
        for name in CLASS_METRICS
    }
    return {"label": k, "support": support, "predicted": int(predictions.predicted[:, k].sum()), **metrics}


def single_class(labels: NDArray[np.int64]) -> str:
    """Why a figure that tells classes apart is undefined."""
    return f"All test images are of class {labels[0]}: no image of another class to tell it from."


def notes(labels: NDArray[np.int64], indices: NDArray[np.int64], *, num_classes: int) -> list[str]:
    """Remarks on the test images: classes without any, and few groups."""
    remarks = []
    if absent := sorted(set(range(num_classes)) - set(labels.tolist())):
        remarks.append(f"Classes without test images, left out of the macro means: {', '.join(map(str, absent))}.")
    if 1 < (num_groups := int(indices.max()) + 1) < 20:
        remarks.append(f"The intervals rest on {num_groups} groups only and are rough.")
    return remarks
