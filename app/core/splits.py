"""Deals images out to training, validation and test, so that equal pixels never stand on two sides.

Images with equal pixels form a group, and groups are dealt, class by class. The order in which they are dealt comes
from a hash of the seed and the pixels: it does not depend on names, on order of arrival, or on other classes.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from models import Split

RANK = {Split.TEST: 2, Split.VAL: 1, Split.TRAIN: 0}  # of copies in several splits, the one of highest rank stays
Shares = Mapping[Split, int]


class Item(NamedTuple):
    """One image. key: equal for equal pixels. split: the layout's; None: to be dealt."""

    key: str
    label: int
    split: Split | None


def assign(items: Sequence[Item], *, seed: int, train_percent: int, val_percent: int) -> list[Split | None]:
    """The split of every item; None where a copy with equal pixels stands in a split of higher rank, so that this one
    is to be left out (only where the layout brought splits that leak).

    A class of at least three groups of its own gets at least one in each split; of two, one is to train and one to
    test; a single one is to train. A class that the layout brings in one split only is dealt anew; one that lacks one
    split gets it out of train. Pixels that occur under several labels are dealt by themselves, in the same way.
    """
    shares = {Split.TRAIN: train_percent, Split.VAL: val_percent, Split.TEST: 100 - train_percent - val_percent}
    fixed = _fixed_splits(items)
    strata: dict[frozenset[int], list[str]] = defaultdict(list)
    for key, labels in _labels_of(items).items():
        strata[labels].append(key)
    dealt: dict[str, Split] = {}
    for keys in strata.values():
        dealt |= _deal(sorted(keys, key=lambda key: _order(key, seed)), fixed, shares)
    return [None if item.split not in (None, fixed.get(item.key)) else dealt[item.key] for item in items]


def _fixed_splits(items: Iterable[Item]) -> dict[str, Split]:
    """Of every group that the layout puts somewhere: the split of highest rank that has a copy."""
    fixed: dict[str, Split] = {}
    for item in items:
        if item.split is not None:
            fixed[item.key] = max(item.split, fixed.get(item.key, item.split), key=RANK.__getitem__)
    return fixed


def _labels_of(items: Iterable[Item]) -> dict[str, frozenset[int]]:
    labels: dict[str, set[int]] = defaultdict(set)
    for item in items:
        labels[item.key].add(item.label)
    return {key: frozenset(found) for key, found in labels.items()}


def _order(key: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


def _deal(keys: Sequence[str], fixed: Mapping[str, Split], shares: Shares) -> dict[str, Split]:
    """Splits of one class's groups, given in the order of the seed."""
    held: dict[Split, list[str]] = {split: [key for key in keys if fixed.get(key) == split] for split in Split}
    if sum(bool(keys) for keys in held.values()) < 2:
        return _deal_anew(keys, shares)
    loose = [key for key in keys if key not in fixed]
    held[Split.TRAIN] += loose
    for missing in [split for split in Split if not held[split]]:
        _fill(held, missing, shares)
    return {key: split for split, keys in held.items() for key in keys}


def _deal_anew(keys: Sequence[str], shares: Shares) -> dict[str, Split]:
    counts = counts_by_share(len(keys), shares)
    sides = [split for split in (Split.TEST, Split.VAL, Split.TRAIN) for _ in range(counts[split])]
    return dict(zip(keys, sides, strict=True))


def _fill(held: dict[Split, list[str]], missing: Split, shares: Shares) -> None:
    """Move the share of a missing split out of train; out of the largest split if train has none to give."""
    donor = Split.TRAIN if len(held[Split.TRAIN]) > 1 else max(Split, key=lambda split: len(held[split]))
    have = len(held[donor])
    number = min(max(round(have * shares[missing] / (shares[missing] + shares[donor])), 1), have - 1)
    held[missing], held[donor] = held[donor][:number], held[donor][number:]


def counts_by_share(number: int, shares: Shares) -> dict[Split, int]:
    """`number` as a sum of whole parts closest to the shares (largest remainders), none of them 0 from three on."""
    exact = {split: number * shares[split] / 100 for split in Split}
    counts = {split: int(exact[split]) for split in Split}
    by_remainder = sorted(Split, key=lambda split: (counts[split] - exact[split], RANK[split]))
    for split in by_remainder[: number - sum(counts.values())]:
        counts[split] += 1
    needed = {1: (Split.TRAIN,), 2: (Split.TRAIN, Split.TEST)}.get(number, tuple(Split) if number else ())
    for split in needed:
        if not counts[split]:
            counts[max(Split, key=lambda other: counts[other])] -= 1
            counts[split] += 1
    return counts
