"""Which training images make up which batch: a pure function of the seed and the position.

Only the position (the number of images seen) has to be stored to go on exactly where a run stopped.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workers.ml.seeding import numpy_generator

Indices = NDArray[np.int64]


class BatchOrder:
    """The endless order in which the images of a training set are visited.

    Plain: every image once per epoch. Class-balanced: blocks that hold each class once, and within a class every
    image once per round, so classes come up equally often whatever their sizes.
    """

    def __init__(self, labels: Indices, *, class_balanced: bool, seed: int) -> None:
        self.labels = labels
        self.seed = seed
        every = np.arange(len(labels), dtype=np.int64)
        self.groups: list[Indices] = [every]
        if class_balanced:
            self.groups = [every[labels == label] for label in np.unique(labels)]
        self._shuffled = lru_cache(maxsize=4 * len(self.groups))(self._shuffle)
        self._block = lru_cache(maxsize=64)(self._draw_block)

    def take(self, start: int, num: int) -> Indices:
        """Return the (num,) indices of the images at positions start .. start + num - 1."""
        return np.array([self._at(position) for position in range(start, start + num)], dtype=np.int64)

    def _at(self, position: int) -> int:
        turn, slot = divmod(position, len(self.groups))
        group = int(self._block(turn)[slot])
        epoch, offset = divmod(turn, len(self.groups[group]))
        return int(self._shuffled(group, epoch)[offset])

    def _draw_block(self, turn: int) -> Indices:
        return numpy_generator("block", self.seed, turn).permutation(len(self.groups))

    def _shuffle(self, group: int, epoch: int) -> Indices:
        return numpy_generator("order", self.seed, group, epoch).permutation(self.groups[group])
