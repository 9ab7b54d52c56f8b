"""Fidelity and variety of synthetic images, as a whole and class by class, each figure beside its real-vs-real floor.

The floor is the same figure between the training images and real images held out from training: what perfect synthetic
images would score. FID and the neighbour figures depend on n, so the floor comes with a second figure of as many
synthetic images, of the same classes; those two compare, whatever the sizes of the sets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from workers.ml.fidelity.comparison import METRICS, FeatureSet, Figure, Settings, compare, missing
from workers.ml.fidelity.intervals import Indices

KID_FIRST_BELOW = 500  # images on either side
NO_HELD_OUT = "There are no real images held out from training."
_SMOOTH = "normal interval; standard error by the infinitesimal jackknife over images, or groups where they are known"
_SHARE = "Wilson interval for as few units as explain the spread over random halves of both sets, groups whole"
HOW = {
    "kid": f"{_SMOOTH}.",
    "fid": f"{_SMOOTH}; for FID at this n, whose bias it does not remove.",
    "precision": f"{_SHARE}.",
    "recall": f"{_SHARE}.",
    "density": "Score interval for a mean count, from the spread over random halves of both sets, groups whole.",
    "coverage": f"{_SHARE}.",
    "ms_ssim": f"{_SMOOTH}.",
}


class Section(NamedTuple):
    """One part that is measured, the whole (label None) or a class; done of total parts. figures can be held by JSON."""

    done: int
    total: int
    label: int | None
    figures: dict[str, Any]


def measure_fidelity(
    *, train: FeatureSet, held_out: FeatureSet | None, fake: FeatureSet, num_classes: int, settings: Settings
) -> Iterator[Section]:
    """Sections for the whole and then for each class 0 .. num_classes - 1, all from features of one extractor.

    train, held_out: real images that the generator did and did not learn from, at the synthetic resolution. The
    figures of a section are `order` (KID first below 500 images), `notes` in words, and each of METRICS as {synthetic,
    floor, synthetic_at_floor}, which are figures of compare() against the training images.
    """
    matched = None if held_out is None else _matched(held_out, fake, seed=settings.seed)
    for done, label in enumerate((None, *range(num_classes)), start=1):
        reference, others = _of_class(train, label), _of_class(fake, label)
        synthetic = compare(real=reference, fake=others, settings=settings)
        if matched is None:
            floor = at_floor = {name: missing(NO_HELD_OUT) for name in METRICS}
        else:
            real, as_many = (_of_class(each, label) for each in matched)
            floor = compare(real=reference, fake=real, settings=settings)
            same = len(as_many.features) == len(others.features)
            at_floor = synthetic if same else compare(real=reference, fake=as_many, settings=settings)
        yield Section(done, num_classes + 1, label, _figures(synthetic, floor, at_floor))


def matched_places(*, one: Indices, other: Indices, seed: int) -> tuple[Indices, Indices]:
    """Places in labels (N,) and (M,) of equally many images of each class: all of the side that has fewer, drawn from the other."""
    rng = np.random.default_rng(seed)
    found: tuple[list[Indices], list[Indices]] = ([], [])
    for label in np.intersect1d(one, other):
        places = [np.flatnonzero(labels == label) for labels in (one, other)]
        count = min(map(len, places))
        for chosen, of_class in zip(found, places, strict=True):
            chosen.append(rng.choice(of_class, count, replace=False))
    empty = np.empty(0, dtype=np.int64)
    return np.sort(np.concatenate([empty, *found[0]])), np.sort(np.concatenate([empty, *found[1]]))


def _matched(held_out: FeatureSet, fake: FeatureSet, *, seed: int) -> tuple[FeatureSet, FeatureSet]:
    of_real, of_fake = matched_places(one=held_out.labels, other=fake.labels, seed=seed)
    return held_out.of(of_real), fake.of(of_fake)


def _of_class(images: FeatureSet, label: int | None) -> FeatureSet:
    return images if label is None else images.of(np.flatnonzero(images.labels == label))


def _figures(synthetic: dict[str, Figure], floor: dict[str, Figure], at_floor: dict[str, Figure]) -> dict[str, Any]:
    fewest = min(synthetic["kid"]["n_real"], synthetic["kid"]["n_fake"])
    order = list(METRICS) if fewest < KID_FIRST_BELOW else ["fid", "kid", *METRICS[2:]]
    figures = {
        name: {"synthetic": synthetic[name], "floor": floor[name], "synthetic_at_floor": at_floor[name]}
        for name in METRICS
    }
    return {"order": order, "notes": _notes(figures), **figures}


def _notes(figures: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    notes = []
    if figures["fid"]["synthetic"].get("rank_deficient"):
        notes.append(
            "A set has no more images than the features have dimensions: FID is mostly bias and compares only with "
            "its floor at equal n. KID has no such bias."
        )
    for name in ("kid", "fid"):
        at_floor, floor = figures[name]["synthetic_at_floor"], figures[name]["floor"]
        if at_floor["high"] is not None and floor["low"] is not None and at_floor["high"] < floor["low"]:
            notes.append(
                f"{name.upper()}: synthetic images are nearer to the training images than unseen real ones are. "
                "Look for copies."
            )
    return notes


def fidelity_report(
    *,
    extractors: Sequence[tuple[Mapping[str, Any], Sequence[Section]]],
    ms_ssim: Mapping[str, Mapping[str, Any] | None],
    settings: Settings,
) -> dict[str, Any]:
    """The whole report, JSON-able.

    extractors: Extractor.to_json() and all sections of measure_fidelity(), the main extractor first. ms_ssim:
    measure_variety() of `synthetic`, `train` and `held_out`; None where there are no such images.
    Keys: settings; how: words on each interval; extractors: [{extractor, whole, per_class: [{label, ...}]}]; ms_ssim.
    """
    return {
        "settings": asdict(settings),
        "how": HOW,
        "extractors": [
            {
                "extractor": dict(about),
                "whole": next(section.figures for section in sections if section.label is None),
                "per_class": [{"label": each.label, **each.figures} for each in sections if each.label is not None],
            }
            for about, sections in extractors
        ],
        "ms_ssim": {name: None if one is None else dict(one) for name, one in ms_ssim.items()},
    }
