"""What hardly looks at an image and yet names its class: the least that a network must beat.

A few global numbers (brightness, contrast, size) know nothing of anatomy, and 24 x 24 pixels little. If such a model comes near a
network, the data has a shortcut: scanner, staining, site or crop tell the classes apart.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.ml.metrics.intervals import Basis, bases, score_interval
from workers.ml.metrics.resampling import bootstrap_weights, group_indices

Labels = NDArray[np.int64]
Model = Literal["linear", "forest"]


class Fold(NamedTuple):
    """Places of the images that a model learns from and of those that it is tested on."""

    train: Labels
    held_out: Labels


def folds(*, labels: Labels, units: Labels, num_folds: int, seed: int) -> list[Fold]:
    """num_folds ways to hold images out, each image once; no unit is torn, and each fold has about its share of every class.

    labels: (N,); units: (N,) numbers of what belongs together (patients, copies).
    """
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    return [Fold(train, held_out) for train, held_out in splitter.split(labels[:, None], labels, units)]


def predict_held_out(
    *, features: NDArray[np.float64], labels: Labels, fold: Fold, model: Model, num_trees: int, seed: int
) -> Labels:
    """The classes of the fold's held-out images, by a model that learnt from the others. features: (N, D); labels: (N,)."""
    fitted = _model(model, num_trees=num_trees, seed=seed).fit(features[fold.train], labels[fold.train])
    return np.asarray(fitted.predict(features[fold.held_out]), dtype=np.int64)


def _model(model: Model, *, num_trees: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if model == "linear":
        return make_pipeline(StandardScaler(), LogisticRegression(C=100.0, max_iter=1000))
    return RandomForestClassifier(num_trees, class_weight="balanced_subsample", random_state=seed, n_jobs=1)


def scores(
    *, labels: Labels, predicted: Labels, units: Labels, num_bootstrap: int, confidence: float, seed: int
) -> dict[str, dict[str, float]]:
    """{"accuracy", "balanced_accuracy": {"value", "low", "high"}}; score intervals from resamples of whole units.

    labels, predicted, units: (N,), at least two units of each class. Balanced accuracy is the mean over classes of the share that is right.
    """
    rights = _rights(labels, predicted)  # (N, K + 1)
    totals = _rights(labels, labels)
    indices = group_indices(units, num_images=len(labels))
    drawn = [
        (weights @ rights) / np.where(weights @ totals > 0, weights @ totals, np.nan)
        for weights in bootstrap_weights(indices=indices, num_bootstrap=num_bootstrap, seed=seed)
    ]
    basis = bases(labels=labels, predicted=predicted, indices=indices, num_classes=int(labels.max()) + 1)
    values = rights.sum(axis=0) / totals.sum(axis=0)
    resampled = np.concatenate(drawn)  # (B, K + 1)
    figures = {
        "accuracy": (values[0], resampled[:, 0]),
        "balanced_accuracy": (values[1:].mean(), resampled[:, 1:].mean(axis=1)),
    }
    return {name: _with_interval(value, draws, basis[name], confidence) for name, (value, draws) in figures.items()}


def _rights(labels: Labels, predicted: Labels) -> NDArray[np.float64]:
    """(N, 1 + K): whether each image is named rightly, among all and among its own class."""
    right = (labels == predicted).astype(np.float64)
    of_class = labels[:, None] == np.unique(labels)[None]
    return np.concatenate([right[:, None], right[:, None] * of_class], axis=1)


def _with_interval(
    value: NDArray[np.float64], draws: NDArray[np.float64], basis: Basis, confidence: float
) -> dict[str, float]:
    low, high = score_interval(values=value, draws=draws, basis=basis, confidence=confidence)
    return {"value": float(value), "low": float(low), "high": float(high)}


def shrunk(*, tiles: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """(N, side * side) means over the areas of tiles (N, S, S), S at least `side`."""
    weights = area_weights(size=tiles.shape[1], side=side)
    return np.asarray((weights @ tiles.astype(np.float64) @ weights.T).reshape(len(tiles), side * side))


def area_weights(*, size: int, side: int) -> NDArray[np.float64]:
    """(side, size): how much of each of `side` new pixels is each old one; weights @ image @ weights.T are means over areas."""
    step = size / side
    new, old = np.arange(side)[:, None], np.arange(size)[None]
    within = np.minimum((new + 1) * step, old + 1) - np.maximum(new * step, old)
    return np.asarray(np.clip(within, 0, None) / step)


def stratified_places(*, labels: Labels, most: int, seed: int) -> Labels:
    """At most `most` places, ascending: all of the small classes, and equally many of the large ones, at random."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels)
    cap = _cap(counts, most)
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:cap] for label in range(len(counts))]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _cap(counts: Labels, most: int) -> int:
    """The largest number of images of one class with which no more than `most` are taken."""
    if counts.sum() <= most:
        return int(counts.max())
    caps = np.arange(1, int(counts.max()) + 1)
    taken = np.minimum(counts[None], caps[:, None]).sum(axis=1)
    return max(1, int((taken <= most).sum()))
