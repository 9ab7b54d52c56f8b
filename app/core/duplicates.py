"""Finds pictures that are the same picture again: re-encoded, resized, mirrored, brightened, cropped a little.

Three sieves, each over what the one before let through: distance of the perceptual hashes, correlation of 16 x 16 tiles,
and `agreement`: how much of one 32 x 32 tile is explained by the other one after a change of brightness and contrast and a small
shift and stretch. All pairs are looked at, but by operations on whole arrays: 50,000 images take seconds where Python loops would take
days.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.core.fingerprints import SIDE, Fingerprint

MIN_CORRELATION = 0.85  # of 16 x 16 tiles
MAX_HASH_DISTANCE = 12  # of 64 bits
MIN_AGREEMENT = 0.99
FLAT_STD = 2.0  # grey levels; below it a tile shows nothing that could be recognised
ROWS_AT_ONCE = 64  # against all others: the arrays then stay within the processor's cache
TILES_AT_ONCE = 1024
BLUR = np.array([0.0096, 0.2054, 0.57, 0.2054, 0.0096], dtype=np.float32)  # Gaussian, standard deviation 0.7 pixel


class Pair(NamedTuple):
    """Two pictures that agree. first, second: places in what was searched. agreement in [0, 1]; distance in bits."""

    first: int
    second: int
    mirrored: bool
    distance: int
    agreement: float


class Gallery:
    """Fingerprints of N images, ready to be searched: about 5 KB of memory each."""

    def __init__(self, fingerprints: Sequence[Fingerprint]) -> None:
        self.hashes = _packed([each.perceptual_hash for each in fingerprints])
        self.mirrored_hashes = _packed([each.mirrored_hash for each in fingerprints])
        self.is_flat = np.zeros(len(fingerprints), dtype=bool)
        self.tiles = np.empty((len(fingerprints), SIDE, SIDE), dtype=np.float32)
        self.coarse = np.empty((len(fingerprints), (SIDE // 2) ** 2), dtype=np.float32)
        for start in range(0, len(fingerprints), TILES_AT_ONCE):
            part = slice(start, start + TILES_AT_ONCE)
            tiles = np.stack([each.pixels for each in fingerprints[part]])
            self.is_flat[part] = tiles.std(axis=(1, 2)) < FLAT_STD
            self.tiles[part] = _blurred(tiles)
            self.coarse[part] = _normalised(_halved(self.tiles[part]))

    def mirrored_coarse(self) -> NDArray[np.float32]:
        """`coarse` of the mirror images."""
        half = SIDE // 2
        return np.ascontiguousarray(self.coarse.reshape(-1, half, half)[:, :, ::-1]).reshape(-1, half * half)

    def __len__(self) -> int:
        return len(self.hashes)


def near_pairs(gallery: Gallery) -> Iterator[Pair]:
    """Every pair first < second within the gallery that agrees, each once, plain rather than mirrored if it is both."""
    yield from _search(gallery, gallery, within=True)


def cross_pairs(gallery: Gallery, others: Gallery) -> Iterator[Pair]:
    """Every pair of an image of `gallery` (first) and one of `others` (second) that agree."""
    yield from _search(gallery, others, within=False)


def _search(gallery: Gallery, others: Gallery, *, within: bool) -> Iterator[Pair]:
    coarse_mirrored = others.mirrored_coarse()
    for start in range(0, len(gallery), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        columns = slice(start if within else 0, None)
        found: dict[tuple[int, int], Pair] = {}
        for mirrored in (True, False):  # plain pairs overwrite mirrored ones
            coarse = coarse_mirrored if mirrored else others.coarse
            hashes = others.mirrored_hashes if mirrored else others.hashes
            distances = np.bitwise_count(gallery.hashes[rows, None] ^ hashes[None, columns])
            i, j = np.nonzero(distances <= MAX_HASH_DISTANCE)
            near = distances[i, j]
            i, j = i + start, j + columns.start
            keep = ~(gallery.is_flat[i] | others.is_flat[j])
            if within:
                keep &= i < j
            i, j, near = i[keep], j[keep], near[keep]
            close = _correlations(gallery.coarse, coarse, i, j) >= MIN_CORRELATION
            for pair in _agreeing(gallery, others, i[close], j[close], near[close], mirrored=mirrored):
                found[pair.first, pair.second] = pair
        yield from (found[key] for key in sorted(found))


def _correlations(
    firsts: NDArray[np.float32], seconds: NDArray[np.float32], i: NDArray[np.int64], j: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The products of rows firsts[i] and seconds[j], pair by pair; i ascending. Many pairs of a row go through one product."""
    result = np.empty(len(i), dtype=np.float32)
    starts = np.flatnonzero(np.diff(i, prepend=-1))
    for begin, end in zip(starts, np.append(starts, len(i))[1:], strict=True):
        result[begin:end] = seconds[j[begin:end]] @ firsts[i[begin]]
    return result


def _agreeing(
    gallery: Gallery, others: Gallery, i: NDArray[np.int64], j: NDArray[np.int64], distances: NDArray[np.uint8],
    *, mirrored: bool,
) -> Iterator[Pair]:  # fmt: skip
    """Of the candidates (i, j), i ascending, those whose agreement holds in both directions."""
    one_way = _explained(gallery.tiles, others.tiles, i, j, mirrored=mirrored)
    left = np.nonzero(one_way >= MIN_AGREEMENT**2)[0]
    order = left[np.argsort(j[left], kind="stable")]
    other_way = np.zeros(len(i))
    other_way[order] = _explained(others.tiles, gallery.tiles, j[order], i[order], mirrored=mirrored)
    agreement = np.sqrt(np.minimum(one_way, other_way))
    for k in np.nonzero(agreement >= MIN_AGREEMENT)[0]:
        yield Pair(int(i[k]), int(j[k]), mirrored, int(distances[k]), float(agreement[k]))


def _explained(
    tiles: NDArray[np.float32], explained: NDArray[np.float32], i: NDArray[np.int64], j: NDArray[np.int64],
    *, mirrored: bool,
) -> NDArray[np.float64]:  # fmt: skip
    """R squared of each tile `explained[j]` on tile i and its first-order deformations; i must be in runs."""
    result = np.zeros(len(i))
    starts = np.flatnonzero(np.diff(i, prepend=-1))
    for begin, end in zip(starts, np.append(starts, len(i))[1:], strict=True):
        tile = tiles[i[begin]]
        basis = _basis(tile[:, ::-1] if mirrored else tile)  # (1024, 5)
        result[begin:end] = np.square(_normalised(explained[j[begin:end]]) @ basis).sum(axis=1)
    return np.clip(result, 0.0, 1.0)


def _basis(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """An orthonormal basis, free of the mean, of what a tile becomes by gain, offset, a small shift and a small stretch."""
    by_y, by_x = np.gradient(tile)
    place = np.linspace(-1, 1, SIDE, dtype=np.float32)
    columns = np.stack(
        [tile, np.square(tile - tile.mean()), by_x, by_y, by_x * place[None, :], by_y * place[:, None]]
    ).reshape(6, -1)
    columns -= columns.mean(axis=1, keepdims=True)
    basis, _ = np.linalg.qr(columns.T)
    return np.asarray(basis, dtype=np.float32)


def _packed(hashes: Iterable[str]) -> NDArray[np.uint64]:
    return np.array([int(each, 16) for each in hashes], dtype=np.uint64)


def _blurred(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    blurred = tiles.astype(np.float32)
    for axis in (1, 2):
        padded = np.pad(blurred, [(0, 0)] + [(2, 2) if axis == each else (0, 0) for each in (1, 2)], mode="edge")
        parts = (weight * np.take(padded, range(k, k + SIDE), axis=axis) for k, weight in enumerate(BLUR))
        blurred = sum(parts, start=np.zeros_like(blurred))
    return blurred


def _halved(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    half = SIDE // 2
    return np.asarray(tiles.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)))


def _normalised(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, P): each without its mean and of length 1."""
    flat = tiles.reshape(len(tiles), tiles.shape[1] * tiles.shape[2])
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), dtype=np.float32)
