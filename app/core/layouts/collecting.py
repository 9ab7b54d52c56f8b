"""Gathers the images of an upload class by class, and says what is odd about the classes and splits.

Spellings that differ by case only are one class, named as most of its images have it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.core import relative_paths
from app.core.archives import Member
from app.core.layouts.layout import PlannedImage
from models import Split

FEW_IMAGES = 10
ENOUGH_FOR_SPLITS = 3


@dataclass
class Collector:
    """found: {class in one spelling: its images}. `split_source` says in warnings what brings the splits.

    is_addition: the images join others, so a single class, a few images or a single split are as they should be.
    """

    split_source: str = "folder"
    is_addition: bool = False
    found: dict[str, list[tuple[Member, Split | None]]] = field(default_factory=lambda: defaultdict(list))
    spellings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, member: Member, name: str, split: Split | None) -> None:
        key = relative_paths.key(name)
        self.found[key].append((member, split))
        self.spellings[key][name] += 1

    @property
    def names(self) -> dict[str, str]:
        """{class in one spelling: its name}, numbers in their order and all else in that of letters."""
        names = {
            key: min(spellings, key=lambda name: (-spellings[name], name)) for key, spellings in self.spellings.items()
        }
        return dict(sorted(names.items(), key=lambda item: _order(item[1])))

    @property
    def splits(self) -> set[Split]:
        return {split for members in self.found.values() for _, split in members if split is not None}

    @property
    def uses_splits(self) -> bool:
        return bool(self.splits) if self.is_addition else Split.TRAIN in self.splits and len(self.splits) > 1

    def images(self) -> list[PlannedImage]:
        """By path."""
        uses_splits = self.uses_splits
        return sorted(
            PlannedImage(member.path, label, split if uses_splits else None, member.size)
            for label, key in enumerate(self.names)
            for member, split in self.found[key]
        )

    def warnings(self) -> list[str]:
        warnings, names = [], self.names
        if len(names) == 1 and not self.is_addition:
            warnings.append(f"There is only one class, {next(iter(names.values()))}. A classifier needs at least two.")
        if self.splits and not self.uses_splits:
            only = f"only a {next(iter(self.splits))} {self.split_source}"
            what = f"no train {self.split_source}" if Split.TRAIN not in self.splits else only
            warnings.append(f"There is {what}; all images are split anew, by the seed.")
        for key, name in names.items():
            warnings += self._class_warnings(key, name)
        return warnings

    def _class_warnings(self, key: str, name: str) -> Iterable[str]:
        if not self.is_addition:
            yield from few_warnings(name, len(self.found[key]))
        if len(self.spellings[key]) > 1:
            yield f"{' and '.join(sorted(self.spellings[key]))} are taken for one class, {name}."


def few_warnings(name: str, number: int) -> list[str]:
    """What there is to say of a class of so many images: nothing, if they are enough."""
    if number < ENOUGH_FOR_SPLITS:
        return [f"{name} has {number} {'image' if number == 1 else 'images'}: too few for all three splits."]
    return [f"{name} has only {number} images."] if number < FEW_IMAGES else []


def _order(name: str) -> tuple[bool, int, str]:
    is_number = name.isascii() and name.isdigit() and len(name) < 19
    return not is_number, int(name) if is_number else 0, name


def some(things: Sequence[str]) -> str:
    """The first three, for a sentence."""
    return ", ".join(things[:3]) + (" …" if len(things) > 3 else "")
