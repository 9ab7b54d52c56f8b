"""What a search for the nearest training image tells of each image, in whatever space it was made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

KINDS = ("plain", "left_right", "top_bottom", "rotated")  # rotated: mirrored both ways, which is half a turn
RANK = 10  # the nearest training image is compared with the tenth nearest one
LEAST_RESIDUAL = 1e-6  # of the variance: below it 8 bit images are equal


@dataclass(frozen=True)
class Neighbours:
    """nearest: (N,) of the nearest training image, -1 where an image is blank and cannot be compared.

    kind: (N,) places in KINDS: how the image was mirrored to resemble it. similarity: (N,) in [0, 1], 1 for equal.
    distances: (N,) in [0, inf). views: (N, V) logarithms of how much nearer it is than the training image that is tenth nearest,
    V ways to look (the lower, the more of a copy); NaN where nearest is -1.
    """

    nearest: Indices
    kind: Indices
    similarity: Floats
    distances: Floats
    views: Floats

    @property
    def is_blank(self) -> Flags:
        """(N,)."""
        return self.nearest < 0

    def of(self, rows: Indices | Flags) -> "Neighbours":
        """The same of some of the images."""
        return Neighbours(
            self.nearest[rows], self.kind[rows], self.similarity[rows], self.distances[rows], self.views[rows]
        )


def blank_neighbours(num: int, num_views: int) -> Neighbours:
    """Room for `num` images, of which nothing is known yet."""
    return Neighbours(
        nearest=np.full(num, -1, dtype=np.int64),
        kind=np.zeros(num, dtype=np.int64),
        similarity=np.full(num, np.nan),
        distances=np.full(num, np.nan),
        views=np.full((num, num_views), np.nan),
    )


def kinds_of(mirrors: tuple[str, ...]) -> Indices:
    """Places in KINDS of the plain image and of the mirrorings asked for; ValueError for an unknown one."""
    unknown = sorted(set(mirrors) - set(KINDS))
    if unknown:
        raise ValueError(f"There is no mirroring {', '.join(unknown)}; choose among {', '.join(KINDS[1:])}.")
    return np.array([place for place, kind in enumerate(KINDS) if place == 0 or kind in mirrors], dtype=np.int64)


def clusters_or_own(clusters: Indices | None, *, num_images: int, what: str) -> Indices:
    """(N,) numbers of clusters; without any each image is its own. Raises ValueError for a wrong length."""
    if clusters is None:
        return np.arange(num_images, dtype=np.int64)
    if clusters.shape != (num_images,):
        raise ValueError(f"There are clusters of shape {clusters.shape} for {num_images} {what}; give one for each.")
    return clusters


def rank_place(distances: Floats, clusters: Indices) -> int:
    """Which of (K,) distances is the RANK-th smallest, each cluster of look-alikes counted once; the last if there are fewer."""
    order = np.argsort(distances, kind="stable")
    _, first = np.unique(clusters[order], return_index=True)
    distinct = order[np.sort(first)]
    return int(distinct[min(RANK, len(distinct)) - 1])
