"""Balanced accuracy over seeds where only each seed's confusion matrix is kept, and not which images it got wrong.

A seed's variance over images follows from its counts. That of the mean over seeds would need to know how often they err on the
same images; it is largest where they always do, and then its root is the mean of the seeds' standard errors (Cauchy-Schwarz). The
interval takes that bound: of one seed it is what resamples give, of several it is too wide rather than too narrow.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.ml.metrics.intervals import Basis, bases, check_settings, interval_of_variance
from workers.ml.metrics.reports import Report, entry

Counts = NDArray[np.int64]
DIFFERENT = "The seeds were tested on different numbers of images, so their mean has no interval over images."


def mean_of_counts(*, matrices: Sequence[Counts], confidence: float) -> Report:
    """Balanced accuracy as a JSON-able {value, low, high, per_seed, spread, num_images, method}, with a `reason` where one is null.

    matrices: (K, K) counts [true][predicted] of single images that are independent, one matrix for each seed. value: mean over
    seeds; spread: its standard deviation over them, null for one. num_images: of one seed, null where they differ. Classes
    without images are left out. Raises ValueError without images.
    """
    check_settings(num_bootstrap=1, confidence=confidence)
    counts = np.stack(matrices).astype(np.float64)  # (S, K, K)
    support = counts.sum(axis=2)  # (S, K)
    if not support.sum(axis=1).all():
        raise ValueError("A confusion matrix without images has no balanced accuracy; give matrices that count some.")
    with np.errstate(divide="ignore", invalid="ignore"):
        recalls = np.diagonal(counts, axis1=1, axis2=2) / support
        variances = recalls * (1 - recalls) / support
    present = (support > 0).sum(axis=1)
    per_seed = np.nansum(recalls, axis=1) / present
    errors = np.sqrt(np.nansum(variances, axis=1)) / present
    same = bool((support == support[0]).all())
    low, high = (np.array(np.nan), np.array(np.nan))
    if same:
        low, high = interval_of_variance(
            values=np.asarray(per_seed.mean()), variance=np.asarray(errors.mean() ** 2), basis=_basis(support[0]), confidence=confidence,
        )  # fmt: skip
    number = int(support[0].sum())
    return {
        **entry(per_seed.mean(), low, high, undefined=""), **({} if same else {"reason": DIFFERENT}), "per_seed": per_seed.tolist(),
        "spread": float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else None, "num_images": number if same else None,
        "method": _method(len(per_seed), number, confidence) if same else DIFFERENT,
    }  # fmt: skip


def _basis(support: NDArray[np.float64]) -> Basis:
    """Of as many single images of each class."""
    labels = np.repeat(np.arange(len(support)), support.astype(np.int64))
    found = bases(labels=labels, predicted=labels, indices=np.arange(len(labels)), num_classes=len(support))
    return found["balanced_accuracy"]


def _method(num_seeds: int, number: int, confidence: float) -> str:
    interval = (
        f"the {100 * confidence:.4g} % interval is a score interval over {number:,} single synthetic images, with the spread that follows "
        "from the counts of {matrix}, without resamples"
    )
    covers = "It covers which images this diffusion network happened to draw, and not another training of it"
    if num_seeds == 1:
        return f"One seed; {interval.format(matrix='its confusion matrix')}. {covers}, or other seeds."
    return (
        f"Mean over {num_seeds} seeds; {interval.format(matrix='the confusion matrices')}. Which images a seed gets wrong is not kept, so the seeds are "
        f"taken to err on the same ones: the interval is too wide rather than too narrow. {covers}, nor the seeds, whose values "
        "and standard deviation stand beside it."
    )
