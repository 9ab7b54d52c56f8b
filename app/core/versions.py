"""What makes a dataset version: its images, which of them belong together, and where its splits leak.

Plain functions over entries; the import in the worker and the changes that a person makes in the browser both end here.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from app.core import duplicates, splits
from app.core.fingerprints import Fingerprint
from app.core.unions import Unions
from models import Split

LEAK_KINDS = ("patients", "identical", "near")


class Entry(NamedTuple):
    """One image of a version: the columns of its row, without those that the database fills in."""

    path: str
    label: int
    split: Split
    group: str | None
    series: str | None
    position: float | None
    cluster: int | None
    width: int
    height: int
    mode: str
    bit_depth: int
    conversion: str
    file_sha256: str
    pixel_sha256: str
    stored_sha256: str
    thumbnail_sha256: str
    metadata_kinds: str = ""

    @property
    def patient(self) -> str | None:
        """The patient's pseudonym, or, where none is known, that of the series or volume: it is of one patient at least."""
        return self.group or self.series


class LookAlike(NamedTuple):
    """Two stored pictures, by their keys, first < second, that look the same."""

    first: str
    second: str
    mirrored: bool
    distance: int
    agreement: float


def look_alikes(fingerprints: Mapping[str, Fingerprint]) -> list[LookAlike]:
    """All pairs of stored pictures (by key) that are the same picture again."""
    keys = sorted(fingerprints)
    gallery = duplicates.Gallery([fingerprints[key] for key in keys])
    return [
        LookAlike(keys[pair.first], keys[pair.second], pair.mirrored, pair.distance, pair.agreement)
        for pair in duplicates.near_pairs(gallery)
    ]


def new_look_alikes(known: Mapping[str, Fingerprint], new: Mapping[str, Fingerprint]) -> list[LookAlike]:
    """The pairs of stored pictures, one of `known` and one of `new`, that are the same picture again."""
    known_keys, new_keys = sorted(known), sorted(new.keys() - known.keys())
    gallery = duplicates.Gallery([known[key] for key in known_keys])
    others = duplicates.Gallery([new[key] for key in new_keys])
    found = duplicates.cross_pairs(gallery, others)
    pairs = ((sorted((known_keys[pair.first], new_keys[pair.second])), pair) for pair in found)
    return [LookAlike(first, second, pair.mirrored, pair.distance, pair.agreement) for (first, second), pair in pairs]


def with_clusters(entries: Sequence[Entry], pairs: Iterable[tuple[str, str]]) -> list[Entry]:
    """The entries, each with the number of its cluster: equal pixels, or joined by pairs of stored pictures. None: alone."""
    unions = Unions[str]()
    for entry in entries:
        unions.join(entry.pixel_sha256, entry.stored_sha256)
    present = {entry.stored_sha256 for entry in entries}
    for first, second in pairs:
        if first in present and second in present:
            unions.join(first, second)
    roots = [unions.root(entry.pixel_sha256) for entry in entries]
    sizes = Counter(roots)
    numbers: dict[str, int] = {}
    for _, root in sorted((entry.path, root) for entry, root in zip(entries, roots, strict=True)):
        if sizes[root] > 1:
            numbers.setdefault(root, len(numbers) + 1)
    return [entry._replace(cluster=numbers.get(root)) for entry, root in zip(entries, roots, strict=True)]


def units(entries: Sequence[Entry]) -> list[str]:
    """Of each entry the key of what must stay on one side: patient, copies and look-alikes, joined where they overlap.

    The key is the least pixel hash of the unit, so that it does not depend on names.
    """
    unions = Unions[object]()
    for entry in entries:
        if entry.cluster is not None:
            unions.join(entry.pixel_sha256, ("cluster", entry.cluster))
        if entry.patient is not None:
            unions.join(entry.pixel_sha256, ("patient", entry.patient))
    roots = [unions.root(entry.pixel_sha256) for entry in entries]
    least: dict[object, str] = {}
    for entry, root in zip(entries, roots, strict=True):
        least[root] = min(entry.pixel_sha256, least.get(root, entry.pixel_sha256))
    return [least[root] for root in roots]


def deal(
    entries: Sequence[Entry],
    given: Sequence[Split | None],
    *,
    seed: int,
    train_percent: int,
    val_percent: int,
    by: splits.By,
) -> list[Split | None]:
    """The split of each entry; given: those that the layout brings, or None. See `splits.assign`."""
    places = {path: place for place, path in enumerate(sorted((entry.path for entry in entries), key=natural))}
    items = [
        splits.Item(entry.pixel_sha256, unit, entry.label, split, places[entry.path])
        for entry, unit, split in zip(entries, units(entries), given, strict=True)
    ]
    return splits.assign(items, seed=seed, train_percent=train_percent, val_percent=val_percent, by=by)


def natural(path: str) -> list[tuple[str, int]]:
    """Sorts names as people count: "slice 9" before "slice 10"."""
    parts = re.split(r"([0-9]+)", path)
    return [("", int(part)) if place % 2 else (part, 0) for place, part in enumerate(parts)]


def leaks(entries: Iterable[Entry]) -> dict[str, int]:
    """How many patients, pixel-identical pictures and look-alikes (identical ones included) stand in several splits."""
    sides: dict[str, dict[object, set[Split]]] = {kind: defaultdict(set) for kind in LEAK_KINDS}
    for entry in entries:
        sides["identical"][entry.pixel_sha256].add(entry.split)
        if entry.patient is not None:
            sides["patients"][entry.patient].add(entry.split)
        if entry.cluster is not None:
            sides["near"][entry.cluster].add(entry.split)
    return {kind: sum(len(found) > 1 for found in groups.values()) for kind, groups in sides.items()}


def counts(entries: Iterable[Entry], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """{class: {split: number}}."""
    found = Counter((entry.label, entry.split) for entry in entries)
    return {name: {str(split): found[label, split] for split in Split} for label, name in enumerate(classes)}


def manifest_sha256(entries: Iterable[Entry], classes: Sequence[str]) -> str:
    """Over (path, class, group, split, pixels) of every image, by path: the same for the same files and choices."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.path):
        line = [entry.path, classes[entry.label], entry.group, str(entry.split), entry.pixel_sha256]
        digest.update(json.dumps(line).encode() + b"\n")
    return digest.hexdigest()


class Match(NamedTuple):
    """Image number `image` of a set is known: it is image number `known` of another. kind: identical, near or mirrored."""

    image: int
    known: int
    kind: str
    agreement: float


def known_images(
    known: Sequence[tuple[str, str]], images: Sequence[tuple[str, str]],
    known_looks: Mapping[str, Fingerprint], looks: Mapping[str, Fingerprint],
) -> list[Match]:  # fmt: skip
    """The best match of every image that is among `known`, identical before near before mirrored, then by agreement.

    known, images: (pixel_sha256, stored_sha256) of each. Pictures without a fingerprint are compared by pixels only.
    """
    by_pixels: dict[str, int] = {}
    by_key: dict[str, int] = {}
    for place, (pixels, key) in enumerate(known):
        by_pixels.setdefault(pixels, place)
        by_key.setdefault(key, place)
    similar = _best_look_alikes(known_looks, looks)
    matches = []
    for place, (pixels, key) in enumerate(images):
        if pixels in by_pixels:
            matches.append(Match(place, by_pixels[pixels], "identical", 1.0))
        elif key in similar and similar[key][0] in by_key:
            known_key, mirrored, agreement = similar[key]
            matches.append(Match(place, by_key[known_key], "mirrored" if mirrored else "near", agreement))
    return matches


def _best_look_alikes(
    known_looks: Mapping[str, Fingerprint], looks: Mapping[str, Fingerprint]
) -> dict[str, tuple[str, bool, float]]:
    """Of every picture in `looks` that agrees with known ones: the best of these, plain before mirrored."""
    known_keys, keys = sorted(known_looks), sorted(looks)
    gallery = duplicates.Gallery([known_looks[key] for key in known_keys])
    others = duplicates.Gallery([looks[key] for key in keys])
    best: dict[str, tuple[str, bool, float]] = {}
    for pair in duplicates.cross_pairs(gallery, others):
        key, found = keys[pair.second], (known_keys[pair.first], pair.mirrored, pair.agreement)
        if key not in best or (not found[1], found[2]) > (not best[key][1], best[key][2]):
            best[key] = found
    return best
