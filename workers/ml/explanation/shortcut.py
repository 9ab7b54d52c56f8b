"""Does a classifier decide by what stands at the edge? A check over a set of explained images.

A burnt-in letter, a ruler, a frame or the scanner's table can tell the classes apart, and then says nothing about patients.
Of the images together, and of those taken for each class, the share of positive weight on the border, in the corners
and outside the body is compared with the share of the area: what weight spread evenly would give.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from workers.ml.explanation.differences import Groups, Tested, above_zero
from workers.ml.metrics.families import holm

LEVEL = 0.05
LEAST_UNITS = 4  # images, or groups of them, in a test; with fewer a lucky draw looks like a rule
PLACES = {"border": "on the border", "corners": "in the corners", "outside": "outside the body"}


class Looked(NamedTuple):
    """One test. taken_for: the predicted class of its images; None: all of them."""

    place: str
    taken_for: int | None
    share: float
    area: float
    tested: Tested


def check_shortcut(
    *,
    places: Sequence[Mapping[str, Any]],
    predicted: Sequence[int],
    classes: Sequence[str],
    groups: Groups | None,
    confidence: float,
) -> dict[str, Any]:
    """{is_flagged, sentence, tests: [{place, taken_for, share, area, difference, low, high, p, p_holm, num_images}]}.

    places: of each image {border, corners, outside}, each {area, positive, ...} or None. predicted: their classes.
    is_flagged is None where there are too few images to tell. One-sided t-tests of share minus area; Holm's correction
    over all of them keeps a classifier without a shortcut from being flagged, but for one in twenty.
    """
    looked = list(_looks(places, np.array(predicted), groups, confidence))
    adjusted = holm([each.tested.p for each in looked])
    tests = [_entry(each, p, classes) for each, p in zip(looked, adjusted, strict=True)]
    found = [each for each in tests if each["p_holm"] is not None and each["p_holm"] <= LEVEL]
    known = any(each["p"] is not None for each in tests)
    if not known:
        return {"is_flagged": None, "sentence": _too_few(places, groups), "tests": tests}
    return {"is_flagged": bool(found), "sentence": _sentence(found), "tests": tests}


def _looks(
    places: Sequence[Mapping[str, Any]], predicted: Groups, groups: Groups | None, confidence: float
) -> Iterator[Looked]:
    for taken_for in (None, *np.unique(predicted).tolist()):
        for place in PLACES:
            known = [k for k in _measured(places, place) if taken_for in (None, predicted[k])]
            if _num_units(known, groups) < LEAST_UNITS:
                continue
            mine = None if groups is None else groups[known]
            shares, areas = (np.array([places[k][place][name] for k in known]) for name in ("positive", "area"))
            tested = above_zero(differences=shares - areas, groups=mine, confidence=confidence)
            yield Looked(place, taken_for, float(shares.mean()), float(areas.mean()), tested)


def _measured(places: Sequence[Mapping[str, Any]], place: str) -> list[int]:
    """Images of which a share of the weight at this place is known."""
    return [k for k, each in enumerate(places) if (each[place] or {}).get("positive") is not None]


def _num_units(images: Sequence[int], groups: Groups | None) -> int:
    return len(images) if groups is None else len(set(groups[list(images)].tolist()))


def _entry(each: Looked, p_holm: float | None, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "place": each.place, "taken_for": None if each.taken_for is None else classes[each.taken_for],
        "share": each.share, "area": each.area, "difference": each.tested.mean, "low": each.tested.low,
        "high": each.tested.high, "p": each.tested.p, "p_holm": p_holm, "num_images": each.tested.num_images,
    }  # fmt: skip


def _too_few(places: Sequence[Mapping[str, Any]], groups: Groups | None) -> str:
    """Of the place that was measured in most units; they are groups where there are groups."""
    best = max((_measured(places, place) for place in PLACES), key=lambda images: _num_units(images, groups))
    told = f"{len(best)} image{'' if len(best) == 1 else 's'}"
    if groups is not None:
        units = _num_units(best, groups)
        told += f" of {units} patient{' or group' if units == 1 else 's or groups'}"
    if len(best) < len(places):
        told += f" with weight to compare, among {len(places)} explained"
    return f"Too few images to tell: {told}; at least {LEAST_UNITS} are needed."


def _sentence(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "No more weight on the border, in the corners or outside the body than chance would put there."
    worst = max(found, key=lambda each: each["share"] - each["area"])
    what = "the predicted class" if worst["taken_for"] is None else worst["taken_for"]
    p = "< 0.001" if worst["p_holm"] < 0.001 else f"= {worst['p_holm']:.3f}"
    return (
        f"{100 * worst['share']:.0f} % of the weight that speaks for {what} lies {PLACES[worst['place']]}, which is "
        f"{100 * worst['area']:.0f} % of the area (n = {worst['num_images']} images, p {p}). Look whether a mark there decides."
    )
