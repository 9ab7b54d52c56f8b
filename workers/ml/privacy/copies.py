"""Which images of a synthetic set are copies of training images, and how often real images would be called so."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.ml.metrics.reports import Report, number
from workers.ml.privacy.calibration import (
    Calibration,
    TooFewHeldOutError,
    beyond,
    calibrate,
    cross_fitted,
    statistic,
)
from workers.ml.privacy.neighbours import KINDS, Flags, Floats, Indices, Neighbours
from workers.ml.privacy.rates import nothing, rate

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Copies:
    """What was found of M synthetic images.

    scores: (M,) robust deviations by which each is nearer than a typical held-out image; NaN for blank ones. flagged: (M,).
    floor: the rate at which held-out real images are flagged, cross-fitted. leaks: places of held-out images that look like
    copies of training images themselves. num_known: held-out images left out because their look-alikes are in training.
    """

    neighbours: Neighbours
    scores: Floats
    flagged: Flags
    calibration: Calibration
    held_out: Neighbours
    floor: Report
    leaks: Indices
    num_known: int


def find_copies(
    *, synthetic: Neighbours, held_out: Neighbours, known: Flags | None, groups: Indices | None, level: float, seed: int
) -> Copies:
    """Flag synthetic images that lie nearer to a training image than `level` of held-out real images do.

    synthetic, held_out: what one search found for each (M, N). known: (N,) held-out images of which a look-alike is
    known to be among the training images; they take no part. groups: (N,) patients, or None: no group is torn between
    fitting and testing the floor. Raises TooFewHeldOutError where nothing can be calibrated.
    """
    counted = np.flatnonzero(~held_out.is_blank if known is None else ~held_out.is_blank & ~known)
    reference = held_out.of(counted)
    calibration = calibrate(held_out=reference, level=level)
    own_groups = None if groups is None else groups[counted]
    return Copies(
        neighbours=synthetic,
        scores=-statistic(calibration=calibration, neighbours=synthetic),
        flagged=beyond(calibration=calibration, neighbours=synthetic),
        calibration=calibration,
        held_out=held_out,
        floor=floor_of(reference=reference, groups=own_groups, level=level, seed=seed),
        leaks=counted[beyond(calibration=calibration, neighbours=reference)],
        num_known=0 if known is None else int(known.sum()),
    )


def floor_of(*, reference: Neighbours, groups: Indices | None, level: float, seed: int) -> Report:
    """The rate at which held-out images are flagged, cross-fitted; n is 0, with a reason, where they are too few for that.

    The interval takes images as independent. With groups, num_groups and num_groups_flagged say of how many the images and the
    flagged ones are.
    """
    own = np.arange(len(reference.is_blank)) if groups is None else groups
    try:
        flags = cross_fitted(held_out=reference, groups=own, level=level, seed=seed)
    except TooFewHeldOutError as error:
        return {**nothing(f"The threshold cannot be tested on images that did not set it. {error}"), "n": 0, "count": 0}
    found = rate(count=int(flags.sum()), total=len(flags), confidence=CONFIDENCE)
    if groups is None:
        return found
    return {**found, "num_groups": len(np.unique(groups)), "num_groups_flagged": len(np.unique(groups[flags]))}


def copies_report(*, copies: Copies, labels: Indices | None, num_worst: int) -> Report:
    """JSON-able: rate and floor with 95 % intervals, whether the first is above the second, threshold, leaks, worst pairs.

    labels: (M,) classes of the synthetic images, for a rate of each class; or None.
    """
    compared = ~copies.neighbours.is_blank
    result = rate(count=int(copies.flagged.sum()), total=int(compared.sum()), confidence=CONFIDENCE)
    return {
        "rate": result,
        "floor": copies.floor,
        "above_floor": above_floor(result, copies.floor),
        "num_blank": int((~compared).sum()),
        "classes": [] if labels is None else _by_class(copies, compared, labels),
        "threshold": _threshold_report(copies),
        "suspected_leaks": [
            {"held_out": int(place), "train": int(copies.held_out.nearest[place]), "kind": KINDS[copies.held_out.kind[place]]}
            for place in copies.leaks
        ],
        "worst": [image_row(copies, int(place)) for place in _ranked(copies.scores)[:num_worst]],
    }  # fmt: skip


def image_row(copies: Copies, place: int) -> dict[str, Any]:
    """One synthetic image: {synthetic, train, kind, similarity, score, flagged}; a blank one has no training image."""
    found = copies.neighbours
    blank = bool(found.is_blank[place])
    return {
        "synthetic": place,
        "train": None if blank else int(found.nearest[place]),
        "kind": None if blank else KINDS[found.kind[place]],
        "similarity": number(found.similarity[place]),
        "score": number(copies.scores[place]),
        "flagged": bool(copies.flagged[place]),
    }


def _ranked(scores: Floats) -> Indices:
    """Places by falling score, without blank images."""
    order = np.argsort(-scores, kind="stable")
    return np.asarray(order[~np.isnan(scores[order])], dtype=np.int64)


def above_floor(result: Report, floor: Report) -> Report:
    """Fisher's exact test, one-sided: more synthetic than held-out real images are flagged. It takes images as independent."""
    from scipy.stats import fisher_exact

    if not result["n"] or not floor["n"]:
        return {"p_value": None, "is_above": None, "reason": result.get("reason") or floor["reason"]}
    table = [[each["count"], each["n"] - each["count"]] for each in (result, floor)]
    p_value = float(fisher_exact(table, alternative="greater").pvalue)
    return {"p_value": p_value, "is_above": p_value < 1 - CONFIDENCE}


def _by_class(copies: Copies, compared: Flags, labels: Indices) -> list[Report]:
    return [
        {"label": int(label)}
        | rate(
            count=int(copies.flagged[labels == label].sum()),
            total=int(compared[labels == label].sum()),
            confidence=CONFIDENCE,
        )
        for label in np.unique(labels)
    ]


def _threshold_report(copies: Copies) -> Report:
    fit = copies.calibration
    proven = rate(count=len(copies.leaks), total=fit.num_held_out, confidence=CONFIDENCE)["high"]
    return {
        "value": -fit.threshold, "low": -fit.high, "high": -fit.low, "level": fit.level, "num_held_out": fit.num_held_out,
        "num_known_look_alikes": copies.num_known, "num_tail": fit.num_tail, "num_censored": fit.num_censored, "num_left_out": fit.num_left_out,
        "proven_level": proven,
        "method": (
            f"A score above {-fit.threshold:.1f} (95 % interval {-fit.high:.1f} to {-fit.low:.1f}) is expected of {fit.level:.1%} of real images that "
            f"nobody trained on: the exponential tail of the nearest {fit.num_tail} of {fit.num_held_out} held-out images, continued; the nearest {fit.num_censored} "
            f"count only as beyond, {fit.num_left_out} that look like leaks were left out. Counting alone, without a law for the tail, so many images prove no more than that at most {proven:.1%} are flagged.{_independence(copies.floor)}"
        ),
    }  # fmt: skip


def _independence(floor: Report) -> str:
    """What interval and test of the floor take for granted, and of how many groups its images really are."""
    if not floor["n"]:
        return ""
    said = f" The floor ({floor['count']} of {floor['n']} held-out images) and Fisher's test against it count images as independent"
    if "num_groups" not in floor:
        return f"{said}; no patients and no look-alikes are known among them."
    flagged = f", the flagged ones of {floor['num_groups_flagged']}" if floor["count"] else ""
    return (
        f"{said}; they are of {floor['num_groups']} patients or groups{flagged}. Images of one group resemble each other, so "
        "the floor's interval may be too narrow and p too small or too large."
    )
