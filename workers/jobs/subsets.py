"""Parts of a lot of images: never by the order of arrival, and each smaller part within the larger."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from workers.jobs.arrays import Source


def at_most_per_class(sources: Sequence[Source], most: int | None, *, rng: np.random.Generator) -> list[Source]:
    """At most `most` sources of each class, drawn at random and kept in their order; all if `most` is None."""
    if most is None:
        return list(sources)
    kept: list[int] = []
    for label in sorted({source.label for source in sources}):
        places = [place for place, source in enumerate(sources) if source.label == label]
        kept += rng.permutation(places)[:most].tolist()
    return [sources[place] for place in sorted(kept)]


def first_share(sources: Sequence[Source], share: float) -> list[Source]:
    """The first of each class in their order, `share` of them, rounded, at least one: for synthetic images, which are
    independent of each other and whose order is that of their making."""
    wanted = _wanted(sources, share)
    have: Counter[int] = Counter()
    kept = []
    for source in sources:
        if have[source.label] < wanted[source.label]:
            have[source.label] += 1
            kept.append(source)
    return kept


def share_by_groups(sources: Sequence[Source], share: float) -> list[Source]:
    """About `share` of the images of each class, whole groups (patients, copies): the same ones for equal pixels.

    Groups come in the order of a hash of their first image's stored file, so the part depends on no seed, and is the same for
    whoever asks; a smaller share lies within a larger one as far as whole groups allow.
    """
    if share >= 1:
        return list(sources)
    groups: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        groups[source.group if source.group is not None else f"image {source.id}"].append(source)
    wanted, have, kept = _wanted(sources, share), Counter[int](), set[int]()
    for group in sorted(groups.values(), key=_order):
        labels = Counter(source.label for source in group)
        if all(have[label] < wanted[label] for label in labels):
            have += labels
            kept |= {source.id for source in group}
    return [source for source in sources if source.id in kept]


def _wanted(sources: Sequence[Source], share: float) -> dict[int, int]:
    counts = Counter(source.label for source in sources)
    return {label: max(1, round(share * number)) for label, number in counts.items()}


def _order(group: Sequence[Source]) -> bytes:
    return hashlib.sha256(min(source.key for source in group).encode()).digest()
