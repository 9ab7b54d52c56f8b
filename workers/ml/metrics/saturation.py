"""From which size of the synthetic set on more of it no longer helps.

The saturation point is the smallest size whose balanced accuracy, as the mean over seeds, lies at most `margin` below
that of the best size. Which size is best was read off the same images, so the test images show that more does not help only if
the paired interval of every larger size minus this one stays within the margin.
"""

from collections.abc import Mapping

import numpy as np

from workers.ml.metrics.arms import ArmPredictions, Labels, Resampled, describe, mean_interval, percent, resample, units
from workers.ml.metrics.intervals import TINY, Difference
from workers.ml.metrics.paired import difference, same_classes
from workers.ml.metrics.reports import Report, number

METRIC = "balanced_accuracy"
LEAST_SIZES = 3


def saturation(
    *,
    arms: Mapping[float, ArmPredictions],
    labels: Labels,
    groups: Labels | None,
    margin: float,
    num_bootstrap: int,
    confidence: float,
    seed: int,
) -> Report:
    """The saturation point of a size sweep, in JSON-able form.

    arms: by size, in any unit, all tested on the same images. margin: of balanced accuracy, 0 to 1.

    Keys: state: `saturated`, `rises` (only the largest size comes near the best: larger ones may be better still) or
    `too_few` (under LEAST_SIZES); size: the point, else null; shown: whether the interval of each
    larger size minus the point stays within the margin, null without a point; best: the size of the highest value, the smallest of equals; margin; sentence; points, by rising
    size: [{size, per_seed, value, low, high, shortfall: {value, low, high}}], shortfall being the best size's value minus this one's.

    Raises ValueError for arrays that do not fit, no sizes, or a margin outside 0 to 1.
    """
    if not arms or not 0 <= margin < 1:
        raise ValueError(
            f"{len(arms)} sizes and a margin of {margin} have no saturation point; give sizes, and e.g. 0.01."
        )
    sizes = sorted(arms)
    for size in sizes:
        same_classes(arms[size], arms[sizes[0]])
    found = {
        size: resample(arm=arms[size], labels=labels, groups=groups, num_bootstrap=num_bootstrap, seed=seed)
        for size in sizes
    }
    about = describe(
        labels=labels, groups=groups, num_classes=arms[sizes[0]].probabilities.shape[2], num_bootstrap=num_bootstrap,
        confidence=confidence, seed=seed,
    )  # fmt: skip
    best = max(sizes, key=lambda size: float(np.mean(found[size].per_seed[METRIC])))
    shortfalls = [difference(found[best], found[size], METRIC, confidence=confidence) for size in sizes]
    points = [_point(size, found[size], under, confidence) for size, under in zip(sizes, shortfalls, strict=True)]
    verdict = _verdict(found, shortfalls, about, margin=margin)
    return {**about, "margin": margin, "best": best, "points": points, **verdict}


def _point(size: float, found: Resampled, shortfall: Difference, confidence: float) -> Report:
    value, low, high = mean_interval(found, METRIC, confidence=confidence)
    return {
        "size": size, "per_seed": found.per_seed[METRIC].tolist(), "value": value, "low": number(low), "high": number(high),
        "shortfall": {name: number(getattr(shortfall, name)) for name in ("value", "low", "high")},
    }  # fmt: skip


def _verdict(found: Mapping[float, Resampled], shortfalls: list[Difference], about: Report, *, margin: float) -> Report:
    """found: by rising size, with the shortfall of each."""
    none: Report = {"size": None, "shown": None}
    sizes = list(found)
    if len(sizes) < LEAST_SIZES:
        says = f"A saturation point needs {LEAST_SIZES} sizes; there are {len(sizes)}."
        return {**none, "state": "too_few", "sentence": says}
    place = next(place for place, shortfall in enumerate(shortfalls) if shortfall.value <= margin + TINY)
    size, *larger = sizes[place:]
    if not larger:
        says = f"The curve still rises: no smaller size comes within {margin:g} of size {size:g}, the largest."
        return {**none, "state": "rises", "sentence": says}
    gains = {each: difference(found[each], found[size], METRIC, confidence=about["confidence"]) for each in larger}
    doubtful = {each: gain for each, gain in gains.items() if not (gain.same or gain.high <= margin)}
    says = f"{_point_in_words(size, shortfalls[place], about, margin=margin)} {_shown_in_words(doubtful, about, margin=margin)}"
    return {"size": size, "shown": not doubtful, "state": "saturated", "sentence": says}


def _point_in_words(size: float, shortfall: Difference, about: Report, *, margin: float) -> str:
    interval = ""
    if not np.isnan(shortfall.high):
        interval = f", {percent(about)} interval {shortfall.low:.3f} to {shortfall.high:.3f} from paired resamples of {units(about)}"
    return (
        f"Size {size:g} is the smallest whose mean balanced accuracy over seeds lies at most {margin:g} below that of the best "
        f"size: {shortfall.value:.3f} below{interval}."
    )


def _shown_in_words(doubtful: Mapping[float, Difference], about: Report, *, margin: float) -> str:
    """doubtful: larger sizes minus the point, of which a gain above the margin cannot be ruled out."""
    said = f"that no larger size is better than it by more than {margin:g}"
    if not doubtful:
        return f"The test images show {said}."
    each, gain = max(doubtful.items(), key=lambda pair: np.nan_to_num(pair[1].high, nan=-np.inf))
    if np.isnan(gain.high):
        return f"The test images do not show {said}: there is no interval."
    return (
        f"The test images do not show {said}: size {each:g} may be better by up to {gain.high:.3f} "
        f"({percent(about)} interval, paired)."
    )
