"""Two classifiers explained on the same images: where they agree, which explanation holds, and whether one looks at the edge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.ml.explanation.agreement import Agreement, Weighted, agreement
from workers.ml.explanation.differences import Groups, flip_signs, mean_of
from workers.ml.explanation.lime import Segments
from workers.ml.explanation.shortcut import check_shortcut
from workers.ml.metrics.families import holm

CONFIDENCE = 0.95
METHOD = (
    "Mean over images of second arm minus first, with Student's 95 % interval. p, two-sided, is the share of sign patterns "
    "of these differences whose mean lies as far from 0 (sign flipping, {how}); p_holm is corrected for the tests of this table. "
    "It holds for other images like these, not for other seeds of the training."
)
OF_OVERLAP = (
    "Overlap between the arms minus the mean overlap of two seeds within an arm, by image, all for the class that the first "
    "arm's classifier predicts; interval and p as in the table. "
    "Below 0, the arms look at other places than training with another seed alone would bring about."
)


@dataclass(frozen=True)
class ExplainedImage:
    """What one classifier's explanation says of one image. weights: by class, then by segment.

    places: {label, border, corners, outside, reason}, as `places.Places` has them; stability: overlap over LIME's seeds.
    """

    item_id: int
    predicted: int
    probability: float
    segments: Segments
    weights: Sequence[Mapping[int, float]]
    deletion_auc: float
    insertion_auc: float
    stability: float | None
    places: Mapping[str, Any]

    def of_class(self, label: int) -> Weighted:
        return Weighted(self.segments, self.weights[label])


@dataclass(frozen=True)
class Subject:
    """An image with its true class, its explanation by each arm's classifier of the first seed, and, where there is a
    second seed in `again`, by that one."""

    image_id: int
    label: int
    arms: Mapping[str, ExplainedImage]
    again: Mapping[str, ExplainedImage]


def compare_explanations(
    *, subjects: Sequence[Subject], arms: tuple[str, str], classes: Sequence[str], groups: Groups | None, top_k: int
) -> dict[str, Any]:
    """What a study's answer holds under "explanations", but for {architecture, arms: [a, b], seed, reason}, which its job adds.

    {
      "images": [{
        "image_id", "label": index of the true class, "items": {arm: id of the explanation's item},
        "predicted": {arm: index of the class}, "probability": {arm: of that class},
        "overlap": Jaccard index of the top_k positive regions of both arms, for the class that the first arm predicts,
        "correlation": Spearman's, of all weights for that class, or None,
        "deletion_auc": {arm: float}, "insertion_auc": {arm: float},
        "stability": {arm: overlap over LIME's own seeds, or None},
        "seed_overlap": {arm: overlap of the classifiers of two seeds, for the same class, or None},
        "border": {arm: {area, positive, absolute}}, "corners": the same, "outside": {arm: the same, or None},
        "outside_reason": why outside is None, else ""
      }],
      "summary": [{"what": deletion_auc | insertion_auc | border | corners | outside | stability, "values": {arm: mean or None},
        "difference": second arm minus first, "low", "high", "p", "p_holm", "num_images", "method"}]; None where not measured,
      "agreement": {"overlap": mean, "correlation": mean or None, "seed_overlap": {arm: mean or None}, "difference", "low", "high", "p", "method"},
      "shortcut": {arm: {"is_flagged": None where too few images can tell, "sentence", "tests": as `check_shortcut` has them}}
    }

    border, corners, outside: shares of the weight for the predicted class; in the summary, of the positive weight.
    groups: (N,) of images that are not independent, or None. Raises ValueError without subjects.
    """
    if not subjects:
        raise ValueError("There is no image that both classifiers explained; give at least one.")
    agreed = [_between(subject, arms, top_k) for subject in subjects]
    images = [_image(subject, arms, found, top_k) for subject, found in zip(subjects, agreed, strict=True)]
    return {
        "images": images,
        "summary": _summary(images, arms, groups),
        "agreement": _agreement(images, arms, groups),
        "shortcut": {arm: _shortcut(subjects, arm, classes, groups) for arm in arms},
    }


def _between(subject: Subject, arms: tuple[str, str], top_k: int) -> Agreement:
    label = _compared_class(subject, arms)
    first, second = (subject.arms[arm].of_class(label) for arm in arms)
    return agreement(first=first, second=second, top_k=top_k)


def _compared_class(subject: Subject, arms: tuple[str, str]) -> int:
    """Every overlap of an image is for one class, between arms and between seeds: else they could not be held against each other."""
    return subject.arms[arms[0]].predicted


def _seed_overlap(subject: Subject, arm: str, label: int, top_k: int) -> float | None:
    """Of the classifiers of two seeds, for one class."""
    if arm not in subject.again:
        return None
    first, second = (explained.of_class(label) for explained in (subject.arms[arm], subject.again[arm]))
    return agreement(first=first, second=second, top_k=top_k).overlap


def _image(subject: Subject, arms: tuple[str, str], found: Agreement, top_k: int) -> dict[str, Any]:
    def of_each(read: Callable[[ExplainedImage], Any]) -> dict[str, Any]:
        return {arm: read(subject.arms[arm]) for arm in arms}

    label = _compared_class(subject, arms)
    return {
        "image_id": subject.image_id, "label": subject.label, "items": of_each(lambda each: each.item_id),
        "predicted": of_each(lambda each: each.predicted), "probability": of_each(lambda each: each.probability),
        "overlap": found.overlap, "correlation": found.correlation,
        "deletion_auc": of_each(lambda each: each.deletion_auc), "insertion_auc": of_each(lambda each: each.insertion_auc),
        "stability": of_each(lambda each: each.stability),
        "seed_overlap": {arm: _seed_overlap(subject, arm, label, top_k) for arm in arms},
        "border": of_each(lambda each: each.places["border"]), "corners": of_each(lambda each: each.places["corners"]),
        "outside": of_each(lambda each: each.places["outside"]), "outside_reason": subject.arms[arms[0]].places["reason"],
    }  # fmt: skip


def _summary(images: Sequence[Mapping[str, Any]], arms: tuple[str, str], groups: Groups | None) -> list[dict[str, Any]]:
    figures = ("deletion_auc", "insertion_auc", "border", "corners", "outside", "stability")
    rows = [_row(name, images, arms, groups) for name in figures]
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


def _row(
    name: str, images: Sequence[Mapping[str, Any]], arms: tuple[str, str], groups: Groups | None
) -> dict[str, Any]:
    first, second = ([_figure(image[name][arm]) for image in images] for arm in arms)
    pairs = {k: (a, b) for k, (a, b) in enumerate(zip(first, second, strict=True)) if a is not None and b is not None}
    values = {arm: mean_of([pair[place] for pair in pairs.values()]) for place, arm in enumerate(arms)}
    return {"what": name, "values": values, **_tested([b - a for a, b in pairs.values()], list(pairs), groups)}


def _figure(entry: Any) -> float | None:
    """A figure itself, or the positive share of a place."""
    found: float | None = entry["positive"] if isinstance(entry, Mapping) else entry
    return found


def _tested(differences: Sequence[float], known: Sequence[int], groups: Groups | None) -> dict[str, Any]:
    if not known:
        return {
            "difference": None, "low": None, "high": None, "p": None, "num_images": 0, "method": "Measured for no image."
        }  # fmt: skip
    mine = None if groups is None else groups[list(known)]
    found = flip_signs(differences=np.array(differences), groups=mine, confidence=CONFIDENCE)
    how = f"{found.num_images} images" + ("" if mine is None else f" in {found.num_units} groups")
    return {
        "difference": found.mean, "low": found.low, "high": found.high, "p": found.p, "num_images": found.num_images,
        "method": METHOD.format(how=how),
    }  # fmt: skip


def _agreement(images: Sequence[Mapping[str, Any]], arms: tuple[str, str], groups: Groups | None) -> dict[str, Any]:
    known = [k for k, image in enumerate(images) if None not in image["seed_overlap"].values()]
    differences = [
        images[k]["overlap"] - sum(images[k]["seed_overlap"][arm] for arm in arms) / len(arms) for k in known
    ]
    tested = _tested(differences, known, groups)
    return {
        "overlap": mean_of([image["overlap"] for image in images]),
        "correlation": mean_of([image["correlation"] for image in images]),
        "seed_overlap": {arm: mean_of([image["seed_overlap"][arm] for image in images]) for arm in arms},
        **tested,
        "method": OF_OVERLAP if known else "One seed of the classifiers was explained.",
    }


def _shortcut(subjects: Sequence[Subject], arm: str, classes: Sequence[str], groups: Groups | None) -> dict[str, Any]:
    explained = [subject.arms[arm] for subject in subjects]
    return check_shortcut(
        places=[each.places for each in explained], predicted=[each.predicted for each in explained], classes=classes,
        groups=groups, confidence=CONFIDENCE,
    )  # fmt: skip
