"""Finds out which images of an upload are new to a dataset, and gives them names that the dataset has not."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.core.errors import ConflictError
from app.core.naming import among
from app.core.relative_paths import MAX_LENGTH
from app.core.version_rows import Left
from app.core.versions import Entry
from models import RefusedKind, Split
from workers.jobs.import_assembling import Decoded, Planned, entry_of

NAME_AND_ENDING = re.compile(r"(.*?)((?:\.nii)?\.[^./]*)?", re.DOTALL)
Pair = tuple[str, str]


@dataclass(frozen=True)
class Base:
    """A dataset as it is: its current version, the pairs of pictures that look the same and that nobody has told apart.

    past: (path, pixels, class) of the upload's images in the versions that the current one was made from.
    is_looked_through: all pairs among its images are known.
    """

    version_id: int
    number: int
    classes: list[str]
    channels: int
    entries: list[Entry]
    pairs: set[Pair]
    told_apart: set[Pair]
    past: set[tuple[str, str, str]]
    is_looked_through: bool


class New(NamedTuple):
    """An image that the dataset has not. brought: the split that the upload says."""

    entry: Entry
    source: str
    name: str  # of its class
    brought: Split | None
    channels: int
    is_conflict: bool  # the dataset has its pixels under another class


def as_named(base: Base, decoded: Decoded) -> Decoded:
    """The upload with its classes as the dataset spells them."""
    return replace(decoded, classes=[among(name, base.classes) or name for name in decoded.classes])


class Sifted(NamedTuple):
    """num_withdrawn: images that a person has left out of the dataset before; they are listed there with the reason."""

    news: list[New]
    left: list[Left]
    num_withdrawn: int


def sift(base: Base, decoded: Decoded) -> Sifted:
    """Of the upload's images those that the dataset has not."""
    known = _Known(base)
    news, left, num_withdrawn = [], [], 0
    for image in decoded.images:
        entry, name = entry_of(image), decoded.classes[image.label]
        if (reason := known.as_what(entry, name)) is not None:
            left.append(Left(entry.path, RefusedKind.DUPLICATE, reason))
        elif known.is_withdrawn(entry):
            num_withdrawn += 1
        else:
            news.append(_new(image, entry, name, is_conflict=known.has_pixels(entry)))
    return Sifted(news, left, num_withdrawn)


def _new(image: Planned, entry: Entry, name: str, *, is_conflict: bool) -> New:
    return New(entry, image.file.source, name, image.split, image.file.channels, is_conflict)


class _Known:
    """What a dataset has, and had."""

    def __init__(self, base: Base) -> None:
        self._class_at = {(entry.path, entry.pixel_sha256): base.classes[entry.label] for entry in base.entries}
        self._past = base.past
        self._past_places = {(path, pixels) for path, pixels, _ in base.past}
        self._pixels = {entry.pixel_sha256 for entry in base.entries}
        self._path_of: dict[tuple[str, ...], str] = {}
        for entry in base.entries:
            name = base.classes[entry.label]
            self._path_of.setdefault((name, entry.pixel_sha256), entry.path)
            self._path_of.setdefault((name, entry.file_sha256, _frame(entry.path)), entry.path)

    def as_what(self, entry: Entry, name: str) -> str | None:
        """Why the image, of the class `name`, is no new one; None if it is."""
        place = (entry.path, entry.pixel_sha256)
        now = self._class_at.get(place)
        if now not in (None, name) and (*place, name) in self._past:
            return f"It is in the dataset as {now}: its class was changed by hand."
        if (path := self._path_of.get((name, entry.pixel_sha256))) is not None:
            return f"It is in the dataset already: {path} has the same pixels."
        if (path := self._path_of.get((name, entry.file_sha256, _frame(entry.path)))) is not None:
            return f"It is in the dataset already: {path} is the same file, converted by other options."
        return None

    def is_withdrawn(self, entry: Entry) -> bool:
        place = (entry.path, entry.pixel_sha256)
        return place in self._past_places and place not in self._class_at

    def has_pixels(self, entry: Entry) -> bool:
        return entry.pixel_sha256 in self._pixels


def _frame(path: str) -> str:
    """Which image of its file: "frame 003" of cine.dcm#frame 003; empty for a file of one image."""
    return path.rpartition("#")[2] if "#" in path else ""


def named_apart(old: Sequence[Entry], news: Sequence[New]) -> tuple[list[New], list[Pair]]:
    """The new images under names that the dataset has not: scan.dcm becomes "scan (2).dcm", for all images of the file.

    Also the changed names, as (before, after).
    """
    paths = {entry.path for entry in old}
    files = {(entry.path.rpartition("#")[0] or entry.path, entry.file_sha256) for entry in old}
    sources = {source for source, _ in files}
    taken = {
        new.source
        for new in news
        if new.entry.path in paths or (new.source in sources and (new.source, new.entry.file_sha256) not in files)
    }
    used = paths | sources | {new.source for new in news}
    names: dict[str, str] = {}
    for source in sorted(taken):
        names[source] = _free_name(source, used)
        used.add(names[source])
    return [_renamed(new, names) for new in news], sorted(names.items())


def _free_name(source: str, used: Collection[str]) -> str:
    match = NAME_AND_ENDING.fullmatch(source)
    assert match is not None, "the pattern matches everything"
    stem, ending = match[1], match[2] or ""
    number = 2
    while (name := f"{stem} ({number}){ending}") in used:
        number += 1
    return name


def _renamed(new: New, names: dict[str, str]) -> New:
    name = names.get(new.source)
    if name is None:
        return new
    path = name + new.entry.path.removeprefix(new.source)
    if len(path) > MAX_LENGTH:
        raise ConflictError(
            f"The dataset has another image named {new.source}, and {name} is longer than {MAX_LENGTH} characters.",
            hint="Rename the file, and add the images again.",
        )
    return new._replace(entry=new.entry._replace(path=path), source=name)
