"""The nearest training image of each image in an embedding: features of any extractor, compared by their angle.

As for pixels, what counts is how much nearer the nearest training image is than the tenth nearest one.
"""

import numpy as np
from numpy.typing import NDArray

from workers.ml.privacy.neighbours import (
    KINDS,
    Floats,
    Indices,
    Neighbours,
    blank_neighbours,
    clusters_or_own,
    kinds_of,
    rank_place,
)
from workers.ml.pulse import pulse

LEAST_DISTANCE = 1e-3  # between features of length 1: below it they are equal
ROWS_AT_ONCE = 256


def nearest_in_embedding(
    *, train: NDArray[np.floating], features: dict[str, NDArray[np.floating]], clusters: Indices | None, own: Indices | None
) -> Neighbours:  # fmt: skip
    """The nearest of T training images for each of N images, one view.

    train: (T, D). features: (N, D) by kind (KINDS), of the images as they are ("plain") and of their mirror images where wanted.
    clusters: (T,) numbers of known look-alikes, or None. own: (N,) clusters whose images do not count, or None. A row of zeros is a blank image.
    """
    _check(train, features)
    clusters = clusters_or_own(clusters, num_images=len(train), what="training images")
    kinds = kinds_of(tuple(features))
    known = _unit(train)
    asked = np.stack([_unit(features[KINDS[kind]]) for kind in kinds])  # (K, N, D)
    found = blank_neighbours(asked.shape[1], 1)
    for start in range(0, asked.shape[1], ROWS_AT_ONCE):
        cosines = asked[:, start : start + ROWS_AT_ONCE] @ known.T  # (K, n, T)
        kind_of, cosine = kinds[cosines.argmax(axis=0)], cosines.max(axis=0)
        for offset in range(cosine.shape[0]):
            row = start + offset
            counted = known.any(axis=1) if own is None else known.any(axis=1) & (clusters != own[row])
            if asked[0, row].any() and counted.any():
                _fill(found, row, cosine[offset], kind_of[offset], np.flatnonzero(counted), clusters)
        pulse()
    return found


def _fill(found: Neighbours, row: int, cosine: Floats, kind_of: Indices, places: Indices, clusters: Indices) -> None:
    distances = np.sqrt(np.maximum(2 - 2 * cosine[places], LEAST_DISTANCE**2))
    nearest = int(distances.argmin())
    tenth = rank_place(distances, clusters[places])
    found.nearest[row], found.kind[row] = places[nearest], kind_of[places[nearest]]
    found.similarity[row] = np.clip(cosine[places[nearest]], 0.0, 1.0)
    found.distances[row] = distances[nearest]
    found.views[row] = np.log(distances[nearest] / distances[tenth])


def _unit(features: NDArray[np.floating]) -> Floats:
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))


def _check(train: NDArray[np.floating], features: dict[str, NDArray[np.floating]]) -> None:
    if "plain" not in features:
        raise ValueError(
            f"Features are given for {', '.join(features) or 'nothing'}; those of the plain images are needed."
        )
    shapes = {kind: each.shape for kind, each in features.items()}
    if train.ndim != 2 or not len(train) or len(set(shapes.values())) > 1:
        raise ValueError(
            f"Features have shapes {train.shape} and {shapes}; expected (T, D) and one (N, D) for each kind."
        )
    if features["plain"].ndim != 2 or features["plain"].shape[1] != train.shape[1]:
        raise ValueError(
            f"Features of {train.shape[1]} and {features['plain'].shape[1:]} dimensions cannot be compared; extract both with one network."
        )
    if not all(np.isfinite(each).all() for each in (train, *features.values())):
        raise ValueError("Some features are not finite; check the network that extracted them.")
