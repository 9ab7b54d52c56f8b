"""Can an explanation be believed: curves of deletion and insertion, and agreement over seeds.

Both curves follow the order of one class's weights, from the most positive to the most negative. A faithful order
makes the probability fall early on deletion (small area) and rise early on insertion (large area). Deletion in one
order and insertion in the reverse of it have the same area, so over random orders both areas are equal on average.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from workers.ml.classification.prediction import LoadedClassifier
from workers.ml.explanation.drawing import strongest
from workers.ml.explanation.lime import LimeExplanation, LimeProgress, hide_segments, judge_masks, prepare_image


@dataclass(frozen=True)
class FaithfulnessCurves:
    """Probability of the class after each superpixel. shares: (F+1,) of the image's area changed, 0 to 1.

    deletion: (F+1,) from the whole image to all hidden; insertion: the other way. Areas under them, in [0, 1].
    """

    label: int
    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    deletion_auc: float
    insertion_auc: float


def faithfulness_curves(
    *,
    classifier: LoadedClassifier,
    image_uint8: NDArray[np.uint8],
    explanation: LimeExplanation,
    label: int,
    batch_size: int,
    device: str,
) -> Iterator[LimeProgress | FaithfulnessCurves]:
    """Hide, and show, the superpixels of `explanation` one after another (arXiv:1806.07421).

    Yields a LimeProgress for each batch of the 2 (F + 1) copies, and the FaithfulnessCurves last. image_uint8: (H, W, C),
    the explained image. Superpixels are hidden as they were for the explanation.
    Raises ValueError for a label that was not explained.
    """
    if not 0 <= label < len(explanation.classes):
        raise ValueError(f"Label {label} was not explained; choose one of 0 to {len(explanation.classes) - 1}.")
    image = prepare_image(classifier=classifier, image_uint8=image_uint8, device=device)
    hidden = hide_segments(image=image, segments=explanation.segments, hide=explanation.hide)
    order = [segment for segment, _ in sorted(explanation.classes[label].weights, key=lambda pair: (-pair[1], pair[0]))]
    deleted = _deletion_masks(order)
    kept = np.concatenate([deleted, 1 - deleted])
    rows = []
    for batch in judge_masks(
        classifier=classifier,
        image=image,
        hidden=hidden,
        segments=explanation.segments,
        kept=kept,
        batch_size=batch_size,
    ):
        rows.append(batch)
        yield LimeProgress(done=sum(map(len, rows)), total=len(kept))
    judged = np.concatenate(rows)[:, label]
    yield _curves(label, order, explanation, deletion=judged[: len(deleted)], insertion=judged[len(deleted) :])


def _deletion_masks(order: Sequence[int]) -> NDArray[np.int64]:
    """(F+1, F): row i hides the first i superpixels of the order."""
    kept = np.ones((len(order) + 1, len(order)), dtype=np.int64)
    for step, segment in enumerate(order, start=1):
        kept[step:, segment] = 0
    return kept


def _curves(
    label: int,
    order: Sequence[int],
    explanation: LimeExplanation,
    *,
    deletion: NDArray[np.float64],
    insertion: NDArray[np.float64],
) -> FaithfulnessCurves:
    areas = np.bincount(explanation.segments.ravel()) / explanation.segments.size
    shares = np.concatenate([[0.0], np.cumsum(areas[list(order)])])
    shares[-1] = 1.0
    return FaithfulnessCurves(
        label=label,
        shares=tuple(shares.tolist()),
        deletion=tuple(deletion.tolist()),
        insertion=tuple(insertion.tolist()),
        deletion_auc=float(np.trapezoid(deletion, shares)),
        insertion_auc=float(np.trapezoid(insertion, shares)),
    )


@dataclass(frozen=True)
class Stability:
    """Agreement of explanations of one image with different seeds, over all pairs of them.

    overlap: mean Jaccard index of the top_k positive superpixels, in [0, 1]; 1 also where neither has any.
    correlation: mean Pearson correlation of all weights, in [-1, 1]; None where weights do not vary.
    deviations: (F,) standard deviation of each superpixel's weight over the seeds.
    """

    num_seeds: int
    overlap: float
    correlation: float | None
    deviations: tuple[float, ...]


def stability(*, explanations: Sequence[LimeExplanation], label: int, top_k: int) -> Stability:
    """Compare explanations of the same image by the same classifier, with the same superpixels and different seeds.

    Raises ValueError for fewer than two, or if their superpixels or seeds do not fit.
    """
    _check_comparable(explanations)
    weights = np.stack([_weight_vector(explanation, label) for explanation in explanations])  # (seeds, F)
    tops = [
        {s for s, _ in strongest(weights=e.classes[label].weights, top_k=top_k, positive=True, negative=False)}
        for e in explanations
    ]
    return Stability(
        num_seeds=len(explanations),
        overlap=float(np.mean([_jaccard(a, b) for a, b in combinations(tops, 2)])),
        correlation=_mean_correlation(weights),
        deviations=tuple(weights.std(axis=0, ddof=1).tolist()),
    )


def _check_comparable(explanations: Sequence[LimeExplanation]) -> None:
    if len(explanations) < 2 or len({explanation.seed for explanation in explanations}) < len(explanations):
        raise ValueError("Stability needs at least two explanations, each with a seed of its own.")
    first = explanations[0].segments
    if not all(np.array_equal(explanation.segments, first) for explanation in explanations):
        raise ValueError("The explanations have different superpixels; explain one image with one num_segments.")


def _weight_vector(explanation: LimeExplanation, label: int) -> NDArray[np.float64]:
    vector = np.zeros(explanation.num_segments)
    for segment, weight in explanation.classes[label].weights:
        vector[segment] = weight
    return vector


def _jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0


def _mean_correlation(weights: NDArray[np.float64]) -> float | None:
    if np.any(np.ptp(weights, axis=1) == 0):
        return None
    correlations = np.atleast_2d(np.corrcoef(weights))
    return float(np.mean([correlations[i, j] for i, j in combinations(range(len(weights)), 2)]))
