"""Which images a sampling asks for, and which of them each of its parts draws.

Image k of class c has the index c * 1,000,000 + k. Networks draw images in chunks of a fixed size, in which image k has a
fixed row (docs/decisions/0003), so parts are made of blocks of successive images of one class that fill whole chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from models.specs import Sampling

CLASS_STRIDE = 1_000_000  # a multiple of every chunk size, so that each class fills whole chunks
BLOCKS = (64, 32, 16, 8)  # images of a block; 64 is the largest chunk of a GPU, 8 that of a CPU
BLOCKS_OF_A_PART = 4  # so many at least, if there are enough images: parts then differ by about a quarter


@dataclass(frozen=True)
class Request:
    index: int
    label: int


def counts_of(spec: Sampling, classes: Sequence[str]) -> list[int]:
    """Images asked for of each class."""
    return [spec.counts.get(name, 0) if spec.counts is not None else spec.per_class or 0 for name in classes]


def requested(counts: Sequence[int]) -> list[Request]:
    """Every image asked for, taking turns between the classes, so that a set stopped early is balanced."""
    return [
        Request(label * CLASS_STRIDE + number, label)
        for number in range(max(counts))
        for label, count in enumerate(counts)
        if number < count
    ]


def requested_of_part(counts: Sequence[int], *, part: int, num_parts: int) -> list[Request]:
    """The images of one part, from 1, in the order of the whole: every image is in exactly one part."""
    size = _block_size(counts, num_parts)
    blocks = _blocks(counts, size)
    ends = _ends(_sizes(counts, size), num_parts)
    mine = set(blocks[ends[part - 1] : ends[part]])
    return [each for each in requested(counts) if (each.index % CLASS_STRIDE // size, each.label) in mine]


def num_of_parts(counts: Sequence[int], num_parts: int) -> list[int]:
    """How many images each part draws; no image is listed for it, since it is asked while a person waits."""
    sizes = _sizes(counts, _block_size(counts, num_parts))
    return [sum(sizes[start:end]) for start, end in pairwise(_ends(sizes, num_parts))]


def most_parts(counts: Sequence[int]) -> int:
    """Into how many parts these images can be divided so that none is empty."""
    return len(_blocks(counts, BLOCKS[-1]))


def _block_size(counts: Sequence[int], num_parts: int) -> int:
    wanted = BLOCKS_OF_A_PART * num_parts
    return next((size for size in BLOCKS if sum(counts) >= wanted * size), BLOCKS[-1])


def _blocks(counts: Sequence[int], size: int) -> list[tuple[int, int]]:
    """(number, label) of each block of `size` images of a class, the classes taking turns."""
    return [
        (start // size, label)
        for start in range(0, max(counts), size)
        for label, count in enumerate(counts)
        if start < count
    ]


def _sizes(counts: Sequence[int], size: int) -> list[int]:
    """Images of each block, in their order."""
    return [min(size, counts[label] - number * size) for number, label in _blocks(counts, size)]


def _ends(sizes: Sequence[int], num_parts: int) -> list[int]:
    """Where each part of these blocks ends, after a 0: as even as whole blocks allow, and no part without a block."""
    before = [0, *accumulate(sizes)]
    ends = [0]
    for part in range(1, num_parts):
        possible = range(ends[-1] + 1, len(sizes) - (num_parts - part) + 1)
        ends.append(min(possible, key=lambda end: abs(before[end] * num_parts - before[-1] * part)))
    return [*ends, len(sizes)]
