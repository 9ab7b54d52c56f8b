"""Where an image may stand among images that stand on several sides already, so that no leak is made or made worse."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from app.core.unions import Unions
from app.core.versions import Entry
from models import Split


class Sides:
    """The splits in which patients, pixels and clusters of look-alikes stand. pairs: pictures that look the same."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._like: dict[str, set[str]] = defaultdict(set)
        for first, second in pairs:
            self._like[first].add(second)
            self._like[second].add(first)
        self._present: set[str] = set()
        self._pixels: dict[str, set[Split]] = defaultdict(set)
        self._patients: dict[str, set[Split]] = defaultdict(set)
        self._clusters: dict[str, set[Split]] = {}
        self._unions = Unions[str]()

    def put_well(self, entry: Entry, held: Counter[Split]) -> Split | None:
        """Put the image into the split that holds most of its unit, of those where it is no new leak; None: it is one in each."""
        may = self._where(entry)
        if not may:
            return None
        split = max(may, key=lambda split: (held[split], split == Split.TRAIN, split))
        self.put(entry, split)
        return split

    def put(self, entry: Entry, split: Split) -> None:
        roots = self._roots(entry)
        splits = {split}.union(*(self._clusters.pop(root, set()) for root in roots))
        for root in roots:
            self._unions.join(entry.pixel_sha256, root)
        self._clusters[self._unions.root(entry.pixel_sha256)] = splits
        self._present.add(entry.stored_sha256)
        self._pixels[entry.pixel_sha256].add(split)
        if entry.patient is not None:
            self._patients[entry.patient].add(split)

    def _where(self, entry: Entry) -> set[Split]:
        clusters = [found for root in self._roots(entry) if (found := self._clusters.get(root))]
        together = set().union(*clusters) if clusters else set()
        if len(together) > 1 and all(len(found) == 1 for found in clusters):
            return set()  # it would join look-alikes of two sides
        groups = [together, self._pixels.get(entry.pixel_sha256, set())]
        if entry.patient is not None:
            groups.append(self._patients.get(entry.patient, set()))
        return set(Split).intersection(*(found for found in groups if len(found) == 1))

    def _roots(self, entry: Entry) -> set[str]:
        """Of the clusters that the image would belong to."""
        keys = {entry.pixel_sha256, entry.stored_sha256} | (self._like.get(entry.stored_sha256, set()) & self._present)
        return {self._unions.root(key) for key in keys}
