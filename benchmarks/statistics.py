"""How often the intervals cover the truth, and how often the tests find a difference where there is none.

python -m benchmarks.statistics [--repeats 600]

Patients with 1, or 1 to 10, images are drawn anew in each repeat. An image's logits are those of its class, a patient's
and an image's own deviation, half of each shared by both arms. So both arms are equally good, and any difference is chance.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, optimize, special, stats

from workers.ml.metrics.arms import ArmPredictions
from workers.ml.metrics.delong import delong, delong_difference
from workers.ml.metrics.intervals import bases, score_interval, symmetric_interval
from workers.ml.metrics.paired import mcnemar
from workers.ml.metrics.resampling import bootstrap_weights
from workers.ml.metrics.weighted import nan_mean, prepare, recall

CONFIDENCE = 0.95
NUM_BOOTSTRAP = 500
SHARES = {2: (0.5, 0.5), 4: (0.4, 0.3, 0.2, 0.1)}  # of patients in each class
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    patients: int
    most_images: int  # of a patient, at least 1
    alike: float  # share of the deviations' variance that a patient's images have in common
    classes: int
    accuracy: float


def settings() -> Iterator[Setting]:
    designs = ((1, 0.0), (10, 0.3), (10, 0.6))
    for classes, patients, design, accuracy in itertools.product((2, 4), (50, 100, 300), designs, (0.6, 0.85, 0.97)):
        yield Setting(patients, *design, classes, accuracy)


def accuracy_of(shift: float, classes: int) -> float:
    """Of logits that are standard normal, that of the true class `shift` higher."""

    def density(x: float) -> float:
        return float(stats.norm.pdf(x - shift) * special.ndtr(x) ** (classes - 1))

    return float(integrate.quad(density, shift - 8, shift + 8)[0])


def shift_of(setting: Setting) -> float:
    return float(optimize.brentq(lambda shift: accuracy_of(shift, setting.classes) - setting.accuracy, 0, 10))


def draw(
    setting: Setting, shift: float, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Probabilities (2, N, K) of two arms, labels (N,) and groups (N,)."""
    images = rng.integers(1, setting.most_images + 1, setting.patients)
    groups = np.repeat(np.arange(setting.patients), images)
    labels = rng.choice(setting.classes, setting.patients, p=SHARES[setting.classes])[groups]

    def deviation(number: int) -> Floats:
        return rng.normal(size=(number, setting.classes))

    logits = []
    of_patient, of_image = deviation(setting.patients), deviation(len(groups))
    for _ in range(2):
        patient, image = of_patient + deviation(setting.patients), of_image + deviation(len(groups))
        own = np.sqrt(setting.alike / 2) * patient[groups] + np.sqrt((1 - setting.alike) / 2) * image
        logits.append(own + shift * np.eye(setting.classes)[labels])
    return special.softmax(np.stack(logits), axis=2), labels, groups


def true_area(setting: Setting, shift: float) -> float:
    """Of many single images, the mean over classes of the area of each against the rest, in their shares."""
    many = Setting(200_000, 1, 0.0, setting.classes, setting.accuracy)
    probabilities, labels, _ = draw(many, shift, np.random.default_rng(0))
    area = delong(arm=ArmPredictions(probabilities[:1], (0,)), labels=labels, groups=None, confidence=CONFIDENCE)
    return float(area["value"])


def once(setting: Setting, shift: float, area: float, rng: np.random.Generator, seed: int) -> dict[str, float]:
    """1 or 0: whether each interval covers its truth, and whether each test calls the arms different; NaN where undefined."""
    probabilities, labels, groups = draw(setting, shift, rng)
    prepared = [prepare(labels=labels, probabilities=each) for each in probabilities]
    chunks = bootstrap_weights(indices=groups, num_bootstrap=NUM_BOOTSTRAP, seed=seed)
    draws = np.concatenate([np.stack([nan_mean(recall(each, w)) for each in prepared], axis=1) for w in chunks])
    values = [nan_mean(recall(each, np.ones((1, len(labels)))))[0] for each in prepared]
    basis = bases(
        labels=labels, predicted=probabilities[0].argmax(axis=1), indices=groups, num_classes=setting.classes
    )["balanced_accuracy"]  # fmt: skip
    low, high = score_interval(values=np.array(values[0]), draws=draws[:, 0], basis=basis, confidence=CONFIDENCE)
    percentiles = np.nanpercentile(draws[:, 0], [2.5, 97.5])
    found = symmetric_interval(
        value=values[0] - values[1], draws=draws[:, 0] - draws[:, 1], basis=basis, confidence=CONFIDENCE
    )
    first, second = (ArmPredictions(each[None], (0,)) for each in probabilities)
    tested = mcnemar(first=first, second=second, labels=labels, groups=groups)
    roc = delong(arm=first, labels=labels, groups=groups, confidence=CONFIDENCE)
    rocs = delong_difference(first=first, second=second, labels=labels, groups=groups, confidence=CONFIDENCE)
    return {
        "score": _covers(low, setting.accuracy, high),
        "percentile": _covers(percentiles[0], setting.accuracy, percentiles[1]),
        "delong": _covers(roc["low"], area, roc["high"]),
        "paired_bootstrap": _rejects(found.p),
        "mcnemar_exact": _rejects(tested["p"]),
        "mcnemar_mid": _rejects(tested["p_mid"]),
        "mcnemar_by_group": _rejects(tested["by_group"]["p"]),
        "delong_difference": _rejects(rocs["p"]),
        "width": float(high - low),
    }


def _covers(low: float | None, truth: float, high: float | None) -> float:
    return np.nan if low is None or high is None or np.isnan(low) else float(low <= truth <= high)


def _rejects(p: float | None) -> float:
    return np.nan if p is None or np.isnan(p) else float(p < 1 - CONFIDENCE)


def simulate(setting: Setting, *, repeats: int, seed: int) -> dict[str, float]:
    """Each share in percent, `width` as it is; the shares are of the repeats in which the figure is defined."""
    shift = shift_of(setting)
    area, rng = true_area(setting, shift), np.random.default_rng(seed)
    found = [once(setting, shift, area, rng, seed=number) for number in range(repeats)]
    means = {name: float(np.nanmean([each[name] for each in found])) for name in found[0]}
    return {name: round(mean, 3) if name == "width" else round(100 * mean, 1) for name, mean in means.items()}


def measure(repeats: int = 600) -> dict[str, object]:
    rows = []
    for setting in settings():
        rows.append({**vars(setting), **simulate(setting, repeats=repeats, seed=0)})
        print("  " + json.dumps(rows[-1]), flush=True)
    return {"repeats": repeats, "num_bootstrap": NUM_BOOTSTRAP, "settings": rows}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("--repeats", type=int, default=600)
    measure(parser.parse_args().repeats)


if __name__ == "__main__":
    main()
