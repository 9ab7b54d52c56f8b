"""Which training image stands in which batch: a function of (seed, epoch) alone.

So a checkpoint stores no data position but the epoch. There is never a small last batch, on which batch norm would
compute statistics of one or two images: an epoch is cut into batches of nearly equal size.
"""

import numpy as np
from numpy.typing import NDArray


def num_batches(*, num_images: int, batch_size: int) -> int:
    """Batches of an epoch: near batch_size images each, two at least, and never a small remainder."""
    return max(1, min(round(num_images / batch_size), num_images // 2))


def epoch_batches(
    *, labels: NDArray[np.int64], batch_size: int, class_balanced: bool, seed: int, num_steps: int | None = None
) -> list[NDArray[np.int64]]:
    """Indices of each batch of one epoch, N = len(labels) in all; num_steps batches of batch_size if that is given.

    class_balanced: every class that occurs is drawn equally often in each batch, within one image; images of a
    rare class come several times and some of a frequent one not at all. Otherwise every image comes exactly once, or, with
    num_steps, as often as any other, within one.
    """
    rng = np.random.default_rng(seed)
    count = len(labels) if num_steps is None else num_steps * batch_size
    if class_balanced:
        order = _balanced_order(labels, count, rng)
    else:
        order = _repeat_shuffled(np.arange(len(labels)), count, rng)
    return np.array_split(order, num_steps or num_batches(num_images=len(labels), batch_size=batch_size))


def _balanced_order(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal one image of each class in turn, each class reshuffled whenever it is used up."""
    classes = np.unique(labels)
    rounds = -(-count // len(classes))
    columns = [_repeat_shuffled(np.flatnonzero(labels == label), rounds, rng) for label in classes]
    dealt = rng.permuted(np.stack(columns, axis=1), axis=1)  # (rounds, classes), each round in its own order
    return dealt.reshape(-1)[:count]


def _repeat_shuffled(indices: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    passes = [rng.permutation(indices) for _ in range(-(-count // len(indices)))]
    return np.concatenate(passes)[:count]
