"""Deals images out to training, validation and test, by units that must not be torn apart.

A unit is whatever tells of one patient: the images of one group, copies, and pictures that look the same. Which unit goes where
comes from a hash of the seed and the unit's key (or, in blocks, from the order of the file names), never from the order of arrival.
"""

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from models import Split

RANK = {Split.TEST: 2, Split.VAL: 1, Split.TRAIN: 0}  # of copies in several splits, the one of highest rank stays
SPLITS = (Split.TEST, Split.VAL, Split.TRAIN)
Shares = Mapping[Split, int]
By = Literal["units", "blocks"]


class Item(NamedTuple):
    """One image. pixels: equal for equal pixels. unit: equal for all that must stay together, copies among them.

    split: the layout's; None: to be dealt. order: its place among the file names.
    """

    pixels: str
    unit: str
    label: int
    split: Split | None
    order: int = 0


def assign(
    items: Sequence[Item], *, seed: int, train_percent: int, val_percent: int, by: By = "units"
) -> list[Split | None]:
    """The split of every item; None where a copy with equal pixels stands in a split of higher rank, so that this one
    is to be left out (only where the layout brought splits that leak).

    A class of at least three units of its own gets at least one in each split; of two, one is to train and one to test; a
    single one is to train. A class that the layout brings in one split only is dealt anew; one that lacks one split gets it out
    of train. Units that the layout has torn apart stay torn: they are leaks, and are shown as such.

    by: "units" deals them in the order of the seed; "blocks" cuts each class's file names into three contiguous runs.
    """
    shares = {Split.TRAIN: train_percent, Split.VAL: val_percent, Split.TEST: 100 - train_percent - val_percent}
    fixed = _fixed_splits(items)
    units = _units(items, fixed)
    strata: dict[frozenset[int], list[_Unit]] = defaultdict(list)
    for unit in sorted(units.values(), key=lambda unit: _order(unit.key, seed)):
        strata[frozenset(unit.labels)].append(unit)
    anew = [stratum for _, stratum in sorted(strata.items(), key=_several_labels_first) if _is_dealt_anew(stratum)]
    dealt = _Dealer(shares, anew, seed=seed, by=by).deal()
    for stratum in strata.values():
        if not _is_dealt_anew(stratum):
            dealt |= _fill(stratum, shares)
    return [_split_of(item, fixed, dealt) for item in items]


@dataclass
class _Unit:
    """labels: images of each class; splits: those that the layout has put its images in; first: the earliest file's place."""

    key: str
    labels: Counter[int] = field(default_factory=Counter)
    splits: set[Split] = field(default_factory=set)
    first: int = 0


def _fixed_splits(items: Iterable[Item]) -> dict[str, Split]:
    """Of all pixels that the layout puts somewhere: the split of highest rank that has a copy."""
    fixed: dict[str, Split] = {}
    for item in items:
        if item.split is not None:
            fixed[item.pixels] = max(item.split, fixed.get(item.pixels, item.split), key=RANK.__getitem__)
    return fixed


def _units(items: Iterable[Item], fixed: Mapping[str, Split]) -> dict[str, _Unit]:
    """The units of all items that are not left out."""
    units: dict[str, _Unit] = {}
    for item in items:
        split = fixed.get(item.pixels)
        if item.split not in (None, split):
            continue
        unit = units.setdefault(item.unit, _Unit(item.unit, first=item.order))
        unit.labels[item.label] += 1
        unit.first = min(unit.first, item.order)
        if split is not None:
            unit.splits.add(split)
    return units


def _split_of(item: Item, fixed: Mapping[str, Split], dealt: Mapping[str, Split]) -> Split | None:
    split = fixed.get(item.pixels)
    if item.split not in (None, split):
        return None
    return dealt[item.unit] if item.unit in dealt or split is None else split


def _order(key: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


def _several_labels_first(stratum: tuple[frozenset[int], list[_Unit]]) -> tuple[int, list[int]]:
    """What has one class only can make up for what has several."""
    labels, _ = stratum
    return -len(labels), sorted(labels)


def _is_dealt_anew(stratum: Sequence[_Unit]) -> bool:
    return len(set().union(*(unit.splits for unit in stratum))) < 2


class _Dealer:
    """Deals whole units so that each class comes as near to its shares, in images, as the units allow."""

    def __init__(self, shares: Shares, strata: Sequence[list[_Unit]], *, seed: int, by: By) -> None:
        self._strata, self._seed, self._by = strata, seed, by
        totals: Counter[int] = Counter()
        for stratum in strata:
            for unit in stratum:
                totals += unit.labels
        targets = {label: counts_by_share(number, shares) for label, number in totals.items()}
        self._targets = {split: {label: targets[label][split] for label in targets} for split in Split}
        self._have: dict[Split, Counter[int]] = {split: Counter() for split in Split}

    def deal(self) -> dict[str, Split]:
        dealt: dict[str, Split] = {}
        for stratum in self._strata:
            in_blocks = self._by == "blocks" and len(stratum[0].labels) == 1
            dealt |= self._in_blocks(stratum) if in_blocks else self._one_by_one(stratum)
        return dealt

    def _one_by_one(self, stratum: Sequence[_Unit]) -> dict[str, Split]:
        """The largest units first, in the order of the seed; each to where it mends most."""
        dealt: dict[str, Split] = {}
        units = sorted(stratum, key=lambda unit: -unit.labels.total())
        for index, unit in enumerate(units):
            due = _due(set(dealt.values()), len(units), left=len(units) - index)
            dealt[unit.key] = self._put(unit, min(due, key=functools.partial(self._harm, unit)))
        return dealt

    def _in_blocks(self, stratum: Sequence[_Unit]) -> dict[str, Split]:
        """Contiguous runs of the file names: test, validation, training, from a place that the seed chooses."""
        units = sorted(stratum, key=lambda unit: unit.first)
        begin = int.from_bytes(_order(f"block:{sorted(units[0].labels)}", self._seed)[:4]) % len(units)
        dealt: dict[str, Split] = {}
        runs = [split for split in SPLITS if any(self._targets[split][label] for label in units[0].labels)]
        for index, unit in enumerate(units[begin:] + units[:begin]):
            left = len(units) - index
            while len(runs) > 1 and (left < len(runs) or (runs[0] in dealt.values() and self._is_full(runs[0], unit))):
                runs.pop(0)
            dealt[unit.key] = self._put(unit, runs[0])
            if left == len(runs) and len(runs) > 1:
                runs.pop(0)
        return dealt

    def _is_full(self, split: Split, unit: _Unit) -> bool:
        """Whether more than half of the unit would be too much."""
        return all(
            2 * (self._have[split][label] - self._targets[split][label]) + number > 0
            for label, number in unit.labels.items()
        )

    def _put(self, unit: _Unit, split: Split) -> Split:
        self._have[split] += unit.labels
        return split

    def _harm(self, unit: _Unit, split: Split) -> float:
        """How the squared distance from the targets, over the targets, changes when the unit goes there."""
        return sum(
            (number**2 + 2 * number * (self._have[split][label] - self._targets[split][label]))
            / max(self._targets[split][label], 0.5)
            for label, number in unit.labels.items()
        )


def _due(used: set[Split], number: int, *, left: int) -> Sequence[Split]:
    """The splits that the next of `left` units may go to, so that in the end three units are in three splits."""
    needed = {1: (Split.TRAIN,), 2: (Split.TRAIN, Split.TEST)}.get(number, SPLITS)
    missing = [split for split in needed if split not in used]
    return missing if len(missing) >= left else SPLITS


def _fill(stratum: Sequence[_Unit], shares: Shares) -> dict[str, Split]:
    """Where a layout brings two splits or three: loose units to train, and the share of a missing split out of train,
    or out of the largest split if train has none to give."""
    whole = {split: [unit for unit in stratum if unit.splits == {split}] for split in Split}
    loose = [unit for unit in stratum if not unit.splits]
    whole[Split.TRAIN] += loose
    dealt = {unit.key: Split.TRAIN for unit in loose}
    present = set().union(*(unit.splits for unit in stratum)) | ({Split.TRAIN} if loose else set())
    for missing in [split for split in Split if split not in present]:
        donor = Split.TRAIN if len(whole[Split.TRAIN]) > 1 else max(Split, key=lambda split: len(whole[split]))
        have = len(whole[donor])
        number = min(max(round(have * shares[missing] / (shares[missing] + shares[donor])), 1), have - 1)
        moved, whole[donor] = whole[donor][:number], whole[donor][number:]
        dealt |= {unit.key: missing for unit in moved}
    return dealt


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
