"""Joins what is new in an upload to the images of a dataset: in which split each stands, and what is to be said of it.

Nothing here touches an image that is there, but for the number of its cluster. No leak is made or made worse: an image that
would be one wherever it stood is left out.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from app.core import versions
from app.core.errors import ConflictError
from app.core.naming import plain
from app.core.splits import RANK
from app.core.version_rows import Left
from app.core.versions import Entry
from models import RefusedKind, Split
from models.specs import ImportSpec
from workers.jobs.import_assembling import Decoded, class_lost
from workers.jobs.import_sides import Sides
from workers.jobs.import_sifting import Base, New, Pair, Sifted, as_named, named_apart, sift


@dataclass(frozen=True)
class Joined:
    """The next version: all images of the base, as they were, and the added ones."""

    classes: list[str]
    channels: int
    entries: list[Entry]
    left: list[Left]
    warnings: list[str]
    num_added: int

    @property
    def change(self) -> str:
        return f"Add {_count(self.num_added, 'image', 'images')}"


def join(base: Base, decoded: Decoded, pairs: Iterable[Pair], spec: ImportSpec) -> Joined:
    """The base with what is new in the upload. pairs: further pictures that look the same, among new and old.

    Raises ConflictError, saying what the images are, if none of them is new.
    """
    decoded = as_named(base, decoded)
    sifted = sift(base, decoded)
    news, renamed = named_apart(base.entries, sifted.news)
    classes = [*base.classes, *(name for name in decoded.classes if name not in base.classes)]
    fresh = [new.entry._replace(label=classes.index(new.name)) for new in news]
    all_pairs = base.pairs | (set(pairs) - base.told_apart)
    placed = _place(base.entries, fresh, [new.brought for new in news], all_pairs, spec)
    added = [entry._replace(split=split) for entry, split in zip(fresh, placed, strict=True) if split is not None]
    leaking = [entry.path for entry, split in zip(fresh, placed, strict=True) if split is None]
    if not added:
        raise _nothing_new(base, decoded, sifted, len(leaking))
    kept = [new for new, split in zip(news, placed, strict=True) if split is not None]
    classes, added = _without_empty_classes(len(base.classes), classes, added)
    entries = versions.with_clusters([*base.entries, *added], all_pairs)
    reason = (
        "Images of its patient, or that look like it, stand in several splits: wherever it stood it would be a leak."
    )
    return Joined(
        classes=classes,
        channels=max(base.channels, *(new.channels for new in kept)),
        entries=entries,
        left=sorted([*decoded.left, *sifted.left, *(Left(path, RefusedKind.LEAKING, reason) for path in leaking)]),
        warnings=[
            *decoded.layout.warnings,
            *_class_warnings(base.classes, decoded.classes, classes),
            *_warnings(base, kept, entries[len(base.entries) :], sifted.num_withdrawn, renamed, len(leaking)),
        ],
        num_added=len(added),
    )


def _place(
    old: Sequence[Entry], fresh: Sequence[Entry], brought: Sequence[Split | None], pairs: set[Pair], spec: ImportSpec
) -> list[Split | None]:
    """The split of each fresh entry; None where it would be a leak in any."""
    entries = versions.with_clusters([*old, *fresh], pairs)
    units = versions.units(entries)
    old_units, new_units = units[: len(old)], units[len(old) :]
    held: dict[str, Counter[Split]] = {}
    for entry, unit in zip(old, old_units, strict=True):
        held.setdefault(unit, Counter())[entry.split] += 1
    said: dict[str, Counter[Split]] = {}
    for split, unit in zip(brought, new_units, strict=True):
        if split is not None and unit not in held:
            said.setdefault(unit, Counter())[split] += 1
    side = {unit: _most(splits, first=Split.TRAIN) for unit, splits in held.items()}
    side |= {unit: _most(splits, first=Split.TEST) for unit, splits in said.items()}
    side |= _dealt(entries[len(old) :], new_units, side.keys(), spec)
    torn = {unit for unit, splits in held.items() if len(splits) > 1}
    sides = Sides(pairs)
    for entry, unit in zip(old, old_units, strict=True):
        if unit in torn:
            sides.put(entry, entry.split)
    placed: list[Split | None] = [side[unit] for unit in new_units]
    for place in sorted(range(len(fresh)), key=lambda place: fresh[place].path):
        unit = new_units[place]
        if unit in torn:
            placed[place] = sides.put_well(fresh[place], held[unit])
    return placed


def _most(splits: Counter[Split], *, first: Split) -> Split:
    """The split that holds most; of equals `first`, then that of highest rank."""
    return max(splits, key=lambda split: (splits[split], split == first, RANK[split]))


def _dealt(
    fresh: Sequence[Entry], units: Sequence[str], settled: Collection[str], spec: ImportSpec
) -> dict[str, Split]:
    """Of the units that neither the dataset nor the upload puts anywhere: where the seed puts them."""
    loose = [place for place, unit in enumerate(units) if unit not in settled]
    dealt = versions.deal(
        [fresh[place] for place in loose], [None] * len(loose), seed=spec.seed, train_percent=spec.train_percent,
        val_percent=spec.val_percent, by=spec.split_by,
    )  # fmt: skip
    return {units[place]: split for place, split in zip(loose, dealt, strict=True) if split is not None}


def _without_empty_classes(num_old: int, classes: list[str], added: list[Entry]) -> tuple[list[str], list[Entry]]:
    """New classes none of whose images was added are none; the numbers of the old ones stay."""
    present = [*range(num_old), *sorted({entry.label for entry in added if entry.label >= num_old})]
    number = {label: index for index, label in enumerate(present)}
    return [classes[label] for label in present], [entry._replace(label=number[entry.label]) for entry in added]


def _nothing_new(base: Base, decoded: Decoded, sifted: Sifted, num_leaking: int) -> ConflictError:
    found = {
        f"in version {base.number} already": len(sifted.left),
        "left out of the dataset by hand before": sifted.num_withdrawn,
        "on several sides of the split, wherever they stood": num_leaking,
        "not to be read": sum(file.kind == RefusedKind.BROKEN for file in decoded.left),
    }
    said = ", ".join(f"{number:,} {what}" for what, number in found.items() if number)
    return ConflictError(
        f"Nothing is new, so no version was made. Of the images there are: {said}.",
        hint="Add images that the dataset has not; to use some that were left out, go back to the version that has them.",
    )


def _class_warnings(known: Sequence[str], brought: Sequence[str], classes: Sequence[str]) -> list[str]:
    spelt = {plain(name): name for name in known}
    new = classes[len(known) :]
    alike = [f"{name} and {spelt[plain(name)]}" for name in new if plain(name) in spelt]
    warnings = [class_lost(name) for name in brought if name not in classes]
    if new:
        warnings.append(f"New classes, numbered after those that were there: {', '.join(new)}.")
    if alike:
        warnings.append(f"Classes whose names differ in spelling only are two classes: {', '.join(alike)}.")
    return warnings


def _warnings(
    base: Base, kept: Sequence[New], added: Sequence[Entry], num_withdrawn: int, renamed: Sequence[Pair], num_leaking: int
) -> list[str]:  # fmt: skip
    conflicts = sum(new.is_conflict for new in kept)
    moved = sum(new.brought not in (None, entry.split) for new, entry in zip(kept, added, strict=True))
    similar = sum(entry.cluster is not None for entry in added)
    warnings = []
    if base.channels < max(new.channels for new in kept):
        warnings.append("The dataset was grey; the added images have colour, so from this version on it is colour.")
    if num_withdrawn:
        said = _count(num_withdrawn, "image was", "images were")
        warnings.append(f"{said} left out of the dataset by hand before, and not added again.")
    if conflicts:
        said = _count(conflicts, "image has", "images have")
        warnings.append(f"{said} the pixels of an image of another class; one of the labels is wrong.")
    if similar:
        said = _count(similar, "image is or looks", "images are or look")
        warnings.append(f"{said} the same as another; copies and look-alikes stand on one side of the split.")
    if moved:
        said = _count(moved, "image stands", "images stand")
        warnings.append(f"{said} where their patient or look-alikes stand, in another split than the upload says.")
    if num_leaking:
        warnings.append(f"{_count(num_leaking, 'image was', 'images were')} left out, being a leak in whatever split.")
    if renamed:
        before, after = renamed[0]
        said = _count(len(renamed), "file has", "files have")
        warnings.append(f"{said} the name of another file of the dataset, and a new one here: {before} is {after}.")
    return warnings


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
