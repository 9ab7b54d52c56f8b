"""Bootstrap weights: how often each image stands in each resample.

Whole groups are drawn, of images of one patient where known, copies and look-alikes together, because these resemble each
other: intervals from single images would be too narrow. Images of one patient whom nobody knows are drawn as if independent. A resample is a row of counts, so that every metric becomes a matrix product over all resamples.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CHUNK_VALUES = 4_000_000  # resamples x images held at once: 32 MB of float64


def group_indices(groups: NDArray[np.int64] | None, *, num_images: int) -> NDArray[np.int64]:
    """(N,) group numbers 0 .. G-1; without groups every image is its own. Raises ValueError for a wrong length or type."""
    if groups is None:
        return np.arange(num_images)
    if not np.issubdtype(groups.dtype, np.integer):
        raise ValueError(f"Groups are of type {groups.dtype}; give each group a whole number.")
    if len(groups) != num_images:
        raise ValueError(f"There are {len(groups)} groups for {num_images} images; give one for each image.")
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def bootstrap_weights(*, indices: NDArray[np.int64], num_bootstrap: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Chunks (B, N) of counts, num_bootstrap rows in all: G groups drawn with replacement per row.

    indices: (N,) group numbers from group_indices. The rows depend on the seed and the groups, not on the chunks.
    """
    rng = np.random.default_rng(seed)
    num_groups = int(indices.max()) + 1
    chunk = max(1, CHUNK_VALUES // max(len(indices), num_groups))
    for start in range(0, num_bootstrap, chunk):
        rows = min(chunk, num_bootstrap - start)
        drawn = rng.integers(0, num_groups, size=(rows, num_groups))  # (B, G)
        flat = (drawn + num_groups * np.arange(rows)[:, None]).ravel()
        counts = np.bincount(flat, minlength=rows * num_groups).reshape(rows, num_groups)
        yield counts[:, indices].astype(np.float64)  # (B, N)
