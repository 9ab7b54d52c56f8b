"""One arm of a study: several seeds' classifiers, tested on the same images.

The value of an arm is the mean over its seeds. Its interval comes from resamples of whole groups of test images, each
applied to all seeds at once: it says how far other groups could move the mean, and nothing of other seeds. A group is what
one patient, where known, copies and look-alikes join; an image without any is one by itself.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workers.ml.metrics.classification import notes, single_class
from workers.ml.metrics.intervals import Basis, bases, check_settings, score_interval
from workers.ml.metrics.reports import Report, entry
from workers.ml.metrics.resampling import bootstrap_weights, group_indices
from workers.ml.metrics.weighted import METRICS, check, prepare, summary

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ArmPredictions:
    """probabilities: (S, N, K) of the classifiers trained with `seeds`, S of them, for the same N test images."""

    probabilities: Floats
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Resampled:
    """An arm on the test images and on their resamples.

    per_seed: (S,) of each metric. draws: (B,) of its mean over seeds in each resample. basis: what it rests on.
    """

    per_seed: dict[str, Floats]
    draws: dict[str, Floats]
    basis: dict[str, Basis]


def resample(*, arm: ArmPredictions, labels: Labels, groups: Labels | None, num_bootstrap: int, seed: int) -> Resampled:
    """Each of METRICS of an arm. The resamples depend on groups and seed alone, so they are the same for every arm.

    Raises ValueError for arrays that do not fit each other, or that are no labels and probabilities.
    """
    check_arm(arm, labels)
    indices = group_indices(groups, num_images=len(labels))
    prepared = [prepare(labels=labels, probabilities=each) for each in arm.probabilities]
    whole = [summary(each, np.ones((1, len(labels)))) for each in prepared]
    chunks = []
    for weights in bootstrap_weights(indices=indices, num_bootstrap=num_bootstrap, seed=seed):
        each_seed = [summary(each, weights) for each in prepared]
        chunks.append({name: np.mean([found[name] for found in each_seed], axis=0) for name in METRICS})
    basis = bases(
        labels=labels, predicted=arm.probabilities[0].argmax(axis=1), indices=indices,
        num_classes=arm.probabilities.shape[2],
    )  # fmt: skip
    return Resampled(
        per_seed={name: np.array([found[name][0] for found in whole]) for name in METRICS},
        draws={name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRICS},
        # The mean of several seeds varies less than one prediction an image would.
        basis={name: replace(basis[name], images=basis[name].images * len(prepared)) for name in METRICS},
    )


def seed_mean(
    *,
    arm: ArmPredictions,
    labels: Labels,
    groups: Labels | None,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> Report:
    """A JSON-able report: each of METRICS as {value, low, high, per_seed, spread}, with a `reason` where one is null.

    labels: (N,) in 0 .. K-1. groups: (N,) integers, equal for images that are not independent, or None. value: mean over seeds.
    spread: standard deviation over seeds, null for one. Other keys: num_images, num_classes, num_groups, unit, seeds,
    num_bootstrap, confidence, seed, notes, method.

    Raises ValueError for arrays that do not fit each other, or that are no labels and probabilities.
    """
    found = resample(arm=arm, labels=labels, groups=groups, num_bootstrap=num_bootstrap, seed=seed)
    about = describe(
        labels=labels, groups=groups, num_classes=arm.probabilities.shape[2], num_bootstrap=num_bootstrap,
        confidence=confidence, seed=seed,
    )  # fmt: skip
    return {**about, **mean_report(arm, found, labels, about)}


def describe(
    *, labels: Labels, groups: Labels | None, num_classes: int, num_bootstrap: int, confidence: float, seed: int
) -> Report:
    """What all arms share: num_images, num_classes, num_groups, unit, notes and the settings. Raises ValueError for wrong ones."""
    check_settings(num_bootstrap=num_bootstrap, confidence=confidence)
    indices = group_indices(groups, num_images=len(labels))
    return {
        "num_images": len(labels),
        "num_classes": num_classes,
        "num_groups": int(indices.max()) + 1,
        "unit": "image" if groups is None else "group",
        "num_bootstrap": num_bootstrap,
        "confidence": confidence,
        "seed": seed,
        "notes": notes(labels, indices, num_classes=num_classes),
    }


def mean_report(arm: ArmPredictions, found: Resampled, labels: Labels, about: Report) -> Report:
    """seeds, method and each of METRICS, of an arm that is resampled already."""
    return {
        "seeds": list(arm.seeds),
        "method": _method(len(arm.seeds), about),
        **{name: _mean_entry(found, name, labels, confidence=about["confidence"]) for name in METRICS},
    }


def mean_interval(found: Resampled, name: str, *, confidence: float) -> tuple[float, Floats, Floats]:
    """(value, low, high) of a metric's mean over seeds."""
    value = np.mean(found.per_seed[name])
    low, high = score_interval(
        values=np.asarray(value), draws=found.draws[name], basis=found.basis[name], confidence=confidence
    )
    return float(value), low, high


def _mean_entry(found: Resampled, name: str, labels: Labels, *, confidence: float) -> Report:
    per_seed = found.per_seed[name]
    figures = entry(*mean_interval(found, name, confidence=confidence), undefined=single_class(labels))
    if figures["value"] is None:
        return {**figures, "per_seed": [None] * len(per_seed), "spread": None}
    spread = float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else None
    return {**figures, "per_seed": per_seed.tolist(), "spread": spread}


def _method(num_seeds: int, about: Report) -> str:
    mean, rest = "One seed", "other seeds, which were not tried."
    if num_seeds > 1:
        mean, rest = f"Mean over {num_seeds} seeds", "the seeds, whose values and standard deviation stand beside it."
    return (
        f"{mean}; the {percent(about)} interval is a score interval with the spread of {about['num_bootstrap']} bootstrap "
        f"resamples of {units(about)}, each applied to all seeds at once: it covers which {tested(about)} were tested, and not {rest}"
    )


def percent(about: Report) -> str:
    return f"{100 * about['confidence']:.4g} %"


def units(about: Report) -> str:
    """What is resampled, in words."""
    if about["unit"] == "group":
        return (
            f"{about['num_groups']} whole groups with {about['num_images']} images (of one patient where known, copies and look-alikes "
            "together)"
        )
    return f"{about['num_images']} single images"


def tested(about: Report) -> str:
    """What another draw of test images would change, in a word."""
    return "groups" if about["unit"] == "group" else "images"


def check_arm(arm: ArmPredictions, labels: Labels) -> None:
    """Raises ValueError unless an arm holds predictions of each of its seeds for the test images."""
    shape = arm.probabilities.shape
    if len(shape) != 3 or not shape[0] or shape[0] != len(arm.seeds):
        raise ValueError(
            f"Probabilities of shape {shape} do not fit {len(arm.seeds)} seeds; give (S, N, K) with one S for each seed."
        )
    for probabilities in arm.probabilities:
        check(labels=labels, probabilities=probabilities)
