"""Points of the reliability and ROC curves, few enough to be drawn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.ml.metrics.weighted import NUM_BINS, Predictions, area_under_roc

MAX_POINTS = 200


def reliability_bins(predictions: Predictions) -> list[dict[str, Any]]:
    """NUM_BINS bins {low, high, count, confidence, accuracy}; the last two are null in an empty bin."""
    bins = []
    for number in range(NUM_BINS):
        chosen = predictions.bins[:, number] > 0
        count = int(chosen.sum())
        bins.append(
            {
                "low": number / NUM_BINS,
                "high": (number + 1) / NUM_BINS,
                "count": count,
                "confidence": float(predictions.confidence[chosen].mean()) if count else None,
                "accuracy": float(predictions.correct[chosen].mean()) if count else None,
            }
        )
    return bins


def roc_curve(predictions: Predictions, label: int) -> dict[str, Any]:
    """One class against the rest: {label, points: [[false positive rate, true positive rate]], auroc}.

    At most MAX_POINTS points from [0, 0] to [1, 1]; auroc is that of all points. Without positives or without
    negatives there are no points, and auroc is null.
    """
    positive = predictions.labels == label
    if not positive.any() or positive.all():
        return {"label": label, "points": [], "auroc": None}
    area = area_under_roc(predictions, np.ones((1, len(positive))))[0, label]
    return {"label": label, "points": _thin(_corners(predictions, label)).tolist(), "auroc": float(area)}


def _corners(predictions: Predictions, label: int) -> NDArray[np.float64]:
    """(P, 2) all points of the curve without those on a straight line between their neighbours."""
    falling = predictions.orders[label][::-1]
    positive = (predictions.labels == label)[falling]
    ends = np.append(np.flatnonzero(np.diff(predictions.probabilities[falling, label])), len(falling) - 1)
    hits = np.concatenate([[0], np.cumsum(positive)[ends]])
    false_alarms = np.concatenate([[0], np.cumsum(~positive)[ends]])
    bends = np.diff(false_alarms)[:-1] * np.diff(hits)[1:] != np.diff(hits)[:-1] * np.diff(false_alarms)[1:]
    kept = np.concatenate([[True], bends, [True]])
    return np.stack([false_alarms[kept] / false_alarms[-1], hits[kept] / hits[-1]], axis=1)


def _thin(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most MAX_POINTS of the points, evenly spaced along the curve's length; both ends stay."""
    if len(points) <= MAX_POINTS:
        return points
    lengths = np.concatenate([[0], np.abs(np.diff(points, axis=0)).sum(axis=1).cumsum()])
    chosen = np.searchsorted(lengths, np.linspace(0, lengths[-1], MAX_POINTS))
    return points[np.unique(np.clip(chosen, 0, len(points) - 1))]
