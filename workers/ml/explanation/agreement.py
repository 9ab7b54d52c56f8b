"""Do two explanations of one picture say the same: overlap of the strongest regions, and rank correlation of all weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.ml.explanation.drawing import stretch, strongest
from workers.ml.explanation.lime import Segments


@dataclass(frozen=True)
class Weighted:
    """An explanation of one class. segments: (S, S); weights: by segment, each has one."""

    segments: Segments
    weights: Mapping[int, float]


@dataclass(frozen=True)
class Agreement:
    """overlap: Jaccard index of the strongest positive regions, in [0, 1]; 1 also where neither has any.

    correlation: Spearman's, of all weights, in [-1, 1]; None where the weights of one do not vary.
    """

    overlap: float
    correlation: float | None


def agreement(*, first: Weighted, second: Weighted, top_k: int) -> Agreement:
    """By superpixel where both have the same ones, as they have for one picture at one input size; otherwise by pixel."""
    if np.array_equal(first.segments, second.segments):
        order = range(len(first.weights))
        a, b = (np.array([each.weights[segment] for segment in order]) for each in (first, second))
        tops = [np.isin(order, _top(each, top_k)) for each in (first, second)]
    else:
        side = max(first.segments.shape, second.segments.shape)
        maps = [stretch(each.segments, side) for each in (first, second)]
        a, b = (_paint(segments, each) for segments, each in zip(maps, (first, second), strict=True))
        tops = [
            np.isin(segments, _top(each, top_k)) for segments, each in zip(maps, (first, second), strict=True)
        ]  # fmt: skip
    return Agreement(_jaccard(*tops), _spearman(a, b))


def _top(explanation: Weighted, top_k: int) -> list[int]:
    """The segments that speak most for the class."""
    pairs = list(explanation.weights.items())
    return [segment for segment, _ in strongest(weights=pairs, top_k=top_k, positive=True, negative=False)]


def _paint(segments: Segments, explanation: Weighted) -> NDArray[np.float64]:
    """(P,) the weight under each pixel."""
    lookup = np.array([explanation.weights[segment] for segment in range(len(explanation.weights))])
    return np.asarray(lookup[segments].ravel(), dtype=np.float64)


def _jaccard(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    from scipy.stats import rankdata

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
