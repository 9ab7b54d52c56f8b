"""Classification metrics of weighted images, for many sets of weights at once.

A row of weights (B, N) is a resample; a single row of ones is the test set itself, so the value and its interval come
from the same code. Undefined values are NaN here and become null with a reason in the report.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NUM_BINS = 15
METRICS = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "auroc", "ece")


@dataclass(frozen=True)
class Predictions:
    """What all metrics need, computed once from labels (N,) and probabilities (N, K).

    true, predicted: (N, K) one-hot. confidence: (N,) of the predicted class. correct: (N,) 0 or 1.
    bins: (N, NUM_BINS) one-hot by confidence. orders: (K, N) images by rising score of each class.
    ties: for each class, the last position of each run of equal scores.
    """

    labels: NDArray[np.int64]
    probabilities: Floats
    true: Floats
    predicted: Floats
    confidence: Floats
    correct: Floats
    bins: Floats
    orders: NDArray[np.int64]
    ties: tuple[NDArray[np.int64], ...]


def check(*, labels: NDArray[np.int64], probabilities: Floats) -> None:
    """Raises ValueError for arrays that do not fit each other, or that are no labels (N,) and probabilities (N, K)."""
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities) or not len(labels):
        raise ValueError(
            f"Labels of shape {labels.shape} and probabilities of shape {probabilities.shape} do not fit; "
            "give (N,) and (N, K) of at least one image."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Labels are of type {labels.dtype}; give the numbers of classes, 0 to K - 1.")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"Labels run from {labels.min()} to {labels.max()}, the probabilities have {probabilities.shape[1]} classes."
        )
    if not np.all(np.isfinite(probabilities)) or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise ValueError("Each row of probabilities must be finite and sum to 1; give softmax outputs.")


def prepare(*, labels: NDArray[np.int64], probabilities: Floats) -> Predictions:
    """labels: (N,) in 0 .. K-1. probabilities: (N, K). Equal probabilities count for the class of lower number."""
    num_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    orders = np.argsort(probabilities.T, axis=1, kind="stable")
    return Predictions(
        labels=labels,
        probabilities=probabilities,
        true=np.eye(num_classes)[labels],
        predicted=np.eye(num_classes)[predicted],
        confidence=confidence,
        correct=(predicted == labels).astype(np.float64),
        bins=np.eye(NUM_BINS)[bin_of(confidence)],
        orders=orders,
        ties=tuple(_last_of_ties(probabilities[order, k]) for k, order in enumerate(orders)),
    )


def bin_of(confidence: Floats) -> NDArray[np.int64]:
    """(N,) numbers of equal bins that are open below and closed above, (0, 1/15] first."""
    return np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)


def summary(predictions: Predictions, weights: Floats) -> dict[str, Floats]:
    """Each metric (B,) and each per-class metric (B, K) under "class_<name>", for weights (B, N)."""
    classes = per_class(predictions, weights)
    return {
        "accuracy": weights @ predictions.correct / weights.sum(axis=1),
        "balanced_accuracy": nan_mean(classes["recall"]),
        "macro_precision": nan_mean(classes["precision"]),
        "macro_recall": nan_mean(classes["recall"]),
        "macro_f1": nan_mean(classes["f1"]),
        "auroc": nan_mean(classes["auroc"]),
        "ece": expected_calibration_error(predictions, weights),
        **{f"class_{name}": values for name, values in classes.items()},
    }


def per_class(predictions: Predictions, weights: Floats) -> dict[str, Floats]:
    """(B, K) each. A class without images is NaN throughout; one that is never predicted has precision 0."""
    support = weights @ predictions.true
    claimed = weights @ predictions.predicted
    hits = weights @ (predictions.true * predictions.predicted)
    total = weights.sum(axis=1, keepdims=True)
    present = np.where(support > 0, 1.0, np.nan)
    rejected = total - support - claimed + hits
    return {
        "precision": present * _divide(hits, claimed, otherwise=0.0),
        "recall": recall(predictions, weights),
        "specificity": _divide(rejected, total - support, otherwise=np.nan),
        "f1": present * _divide(2 * hits, support + claimed, otherwise=0.0),
        "auroc": area_under_roc(predictions, weights),
    }


def recall(predictions: Predictions, weights: Floats) -> Floats:
    """(B, K) shares of each class that are named rightly; NaN where a class has no weight."""
    hits = weights @ (predictions.true * predictions.predicted)
    return _divide(hits, weights @ predictions.true, otherwise=np.nan)


def area_under_roc(predictions: Predictions, weights: Floats) -> Floats:
    """(B, K) one-vs-rest areas; ties count half. NaN where a class has all the weight or none.

    The area is the share of (positive, negative) pairs in right order: each positive is worth the negative weight
    below its score, and half of that at its score.
    """
    areas = [
        _area(weights[:, order], predictions.labels[order] == k, predictions.ties[k])
        for k, order in enumerate(predictions.orders)
    ]
    return np.stack(areas, axis=1)  # (B, K)


def _area(weights: Floats, positive: NDArray[np.bool_], ends: NDArray[np.int64]) -> Floats:
    """weights: (B, N) by rising score. ends: last position of each run of equal scores, R runs."""
    below = np.cumsum(np.where(positive, 0.0, weights), axis=1)[:, ends]  # (B, R): negative weight so far
    above = np.cumsum(np.where(positive, weights, 0.0), axis=1)[:, ends]
    negatives, positives = below[:, -1], above[:, -1]
    negatives_before = np.pad(below, ((0, 0), (1, 0)))[:, :-1]
    gained = np.diff(above, axis=1, prepend=0.0)  # positive weight of each run
    pairs = (gained * (below + negatives_before) / 2).sum(axis=1)
    return _divide(pairs, positives * negatives, otherwise=np.nan)


def _last_of_ties(sorted_scores: Floats) -> NDArray[np.int64]:
    return np.append(np.flatnonzero(np.diff(sorted_scores)), len(sorted_scores) - 1)


def expected_calibration_error(predictions: Predictions, weights: Floats) -> Floats:
    """(B,) mean distance of confidence and accuracy over NUM_BINS equal bins, weighted by their images (arXiv:1706.04599)."""
    gaps = weights @ (predictions.bins * (predictions.correct - predictions.confidence)[:, None])  # (B, bins)
    error: Floats = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def nan_mean(values: Floats) -> Floats:
    """(B,) means over the defined classes of (B, K); NaN where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "Mean of empty slice": the NaN it gives is meant
        return np.asarray(np.nanmean(values, axis=1))


def _divide(numerator: Floats, denominator: Floats, *, otherwise: float) -> Floats:
    result = np.full(numerator.shape, otherwise)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
