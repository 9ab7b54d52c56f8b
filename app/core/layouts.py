"""Says what an upload is, from the names in it alone: which folders are classes, which are splits, what is no image.

Nothing is decoded here, so a plan of 100,000 files is made at once. Spellings that differ by case only are one class,
and folders inside a class belong to it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from app.core import relative_paths
from app.core.archives import Member
from app.core.errors import BadInputError
from app.core.images import IMAGE_SUFFIXES
from models import Split

SPLIT_FOLDERS = {
    "train": Split.TRAIN, "training": Split.TRAIN,
    "val": Split.VAL, "valid": Split.VAL, "validation": Split.VAL,
    "test": Split.TEST, "testing": Split.TEST,
}  # fmt: skip
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
SYSTEM_FILES = {"thumbs.db": "Windows", "ehthumbs.db": "Windows", "desktop.ini": "Windows", "icon\r": "macOS"}
FEW_IMAGES = 10
ENOUGH_FOR_SPLITS = 3
ACCEPTED = (
    "Accepted: class folders that hold images (glioma/001.png); the same inside train, val and test folders "
    "(train/glioma/001.png); either inside one more folder. Images are PNG, JPEG, WebP, BMP or TIFF."
)


class PlannedImage(NamedTuple):
    """A file that is to become an image. path: as in the upload; split: the layout's, None where it brings none."""

    path: str
    label: int
    split: Split | None
    size: int


class Ignored(NamedTuple):
    path: str
    reason: str


@dataclass(frozen=True)
class Layout:
    """What an import would make of an upload. top: the folder around everything, or empty. brings_splits: whether
    the upload has train / val / test folders that are used. empty: folders that would be classes if they held images."""

    top: str
    brings_splits: bool
    classes: list[str]
    images: list[PlannedImage]
    ignored: list[Ignored]
    empty: list[str]
    warnings: list[str]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """{class: {split: number}}; the split is "all" where the layout brings none."""
        counts: dict[str, dict[str, int]] = {name: {} for name in self.classes}
        for (label, split), number in sorted(Counter((i.label, str(i.split or "all")) for i in self.images).items()):
            counts[self.classes[label]][split] = number
        return counts

    @property
    def summary(self) -> str:
        inside = f" inside the folder {self.top}" if self.top else ""
        if self.brings_splits:
            splits = [str(split) for split in Split if any(image.split == split for image in self.images)]
            return f"Class folders inside {', '.join(splits)} folders{inside}"
        return f"Class folders{inside}"

    def as_json(self) -> dict[str, Any]:
        """The description that is stored with an upload and with a version."""
        return {
            "summary": self.summary,
            "top": self.top,
            "brings_splits": self.brings_splits,
            "classes": self.classes,
            "counts": self.counts,
            "num_images": len(self.images),
            "empty": self.empty,
            "warnings": self.warnings,
        }


def detect(members: Iterable[Member]) -> Layout:
    """The layout of the files and folders of an upload; the same in whatever order they come.

    Raises BadInputError, saying what was found and what is accepted, if no class folder holds an image.
    """
    members = sorted(members)
    images, ignored = _sort_out(members)
    top, depth = _top_folder(images)
    splits_used = _has_split_folders(images, depth)
    finder = _Finder(depth=depth + splits_used, split_at=depth if splits_used else None)
    for member in images:
        finder.add(member)
    if not finder.found:
        raise _nothing_usable(members, images)
    return finder.layout(top, [*ignored, *finder.ignored], _folders(members, depth + splits_used))


def _sort_out(members: Sequence[Member]) -> tuple[list[Member], list[Ignored]]:
    images, ignored = [], []
    for member in members:
        if member.is_folder:
            continue
        reason = member.problem or _why_no_image(member)
        if reason is None:
            images.append(member)
        else:
            ignored.append(Ignored(member.path, reason))
    return images, ignored


def _why_no_image(member: Member) -> str | None:
    parts = member.path.split("/")
    name, suffix = parts[-1].lower(), PurePosixPath(parts[-1]).suffix.lower()
    if "__MACOSX" in parts:
        return "It was put there by macOS and is no image."
    if any(part.startswith(".") for part in parts):
        return "It is hidden: its name, or its folder's, begins with a dot."
    if name in SYSTEM_FILES:
        return f"It was put there by {SYSTEM_FILES[name]} and is no image."
    if suffix in ARCHIVE_SUFFIXES:
        return "Archives inside an upload are not opened; upload it by itself."
    if suffix not in IMAGE_SUFFIXES:
        return (
            f"Its ending {suffix} is not that of an image that is read."
            if suffix
            else "It has no ending, as images have."
        )
    if member.size == 0:
        return "The file is empty."
    return None


def _top_folder(images: Sequence[Member]) -> tuple[str, int]:
    """The folder, or folders, around everything, and how many they are. A split folder is never taken for one."""
    paths = [member.path.split("/") for member in images]
    depth = 0
    while _is_wrapped(paths, depth):
        depth += 1
    return "/".join(paths[0][:depth]) if depth else "", depth


def _is_wrapped(paths: Sequence[list[str]], depth: int) -> bool:
    firsts = {path[depth] for path in paths if len(path) > depth + 1}
    if len(firsts) != 1 or any(len(path) < depth + 2 for path in paths) or _split_of(*firsts) is not None:
        return False
    inner_folders = {path[depth + 1] for path in paths if len(path) > depth + 2}
    return len(inner_folders) > 1 or all(len(path) > depth + 2 for path in paths)


def _has_split_folders(images: Sequence[Member], depth: int) -> bool:
    """Whether folders named as splits hold class folders, and hold most of the images."""
    inside = [member for member in images if _split_of(_part(member, depth)) and member.path.count("/") >= depth + 2]
    return 2 * len(inside) > len(images)


def _split_of(folder: str) -> Split | None:
    return SPLIT_FOLDERS.get(folder.strip().casefold())


def _part(member: Member, depth: int) -> str:
    parts = member.path.split("/")
    return parts[depth] if depth < len(parts) - 1 else ""


@dataclass
class _Finder:
    """Collects images class by class. depth: of the class folder; split_at: of the split folder, if there is one."""

    depth: int
    split_at: int | None
    found: dict[str, list[tuple[Member, Split | None]]] = field(default_factory=lambda: defaultdict(list))
    spellings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ignored: list[Ignored] = field(default_factory=list)
    num_deeper: int = 0

    def add(self, member: Member) -> None:
        split = None
        if self.split_at is not None:
            split = _split_of(_part(member, self.split_at))
            if split is None:
                self.ignored.append(
                    Ignored(member.path, "It lies beside the train, val and test folders, in none of them.")
                )
                return
        name = _part(member, self.depth)
        if not name:
            self.ignored.append(Ignored(member.path, "It lies beside the class folders, in none of them."))
            return
        key = relative_paths.key(name.strip())
        self.found[key].append((member, split))
        self.spellings[key][name.strip()] += 1
        self.num_deeper += member.path.count("/") > self.depth + 1

    def layout(self, top: str, ignored: list[Ignored], folders: set[str]) -> Layout:
        names = {
            key: min(spellings, key=lambda name: (-spellings[name], name)) for key, spellings in self.spellings.items()
        }
        order = sorted(names, key=lambda key: names[key])
        splits = {split for members in self.found.values() for _, split in members}
        uses_splits = Split.TRAIN in splits and len(splits) > 1
        images = [
            PlannedImage(member.path, label, split if uses_splits else None, member.size)
            for label, key in enumerate(order)
            for member, split in self.found[key]
        ]
        empty = sorted(folder for folder in folders if relative_paths.key(folder.strip()) not in names)
        warnings = [*self._warnings(order, names, splits, uses_splits), *map(_empty_warning, empty)]
        classes = [names[key] for key in order]
        return Layout(top, uses_splits, classes, sorted(images), sorted(ignored), empty, warnings)

    def _warnings(
        self, order: list[str], names: dict[str, str], splits: set[Split | None], uses_splits: bool
    ) -> list[str]:
        warnings = []
        if len(order) == 1:
            warnings.append(f"There is only one class, {names[order[0]]}. A classifier needs at least two.")
        if self.split_at is not None and not uses_splits:
            (one, *_) = sorted(str(split) for split in splits)
            what = "no train folder" if Split.TRAIN not in splits else f"only a {one} folder"
            warnings.append(f"There is {what}; all images are split anew, by the seed.")
        for key in order:
            warnings += self._class_warnings(key, names[key])
        if self.num_deeper:
            warnings.append(
                f"{self.num_deeper:,} images lie in folders inside class folders; they count for the class around them."
            )
        return warnings

    def _class_warnings(self, key: str, name: str) -> list[str]:
        warnings, number = [], len(self.found[key])
        if number < ENOUGH_FOR_SPLITS:
            warnings.append(
                f"{name} has {number} {'image' if number == 1 else 'images'}: too few for all three splits."
            )
        elif number < FEW_IMAGES:
            warnings.append(f"{name} has only {number} images.")
        if len(self.spellings[key]) > 1:
            spellings = " and ".join(sorted(self.spellings[key]))
            warnings.append(f"{spellings} are taken for one class, {name}.")
        return warnings


def _empty_warning(folder: str) -> str:
    return f"The folder {folder} holds no image that can be read, and becomes no class."


def _folders(members: Sequence[Member], depth: int) -> set[str]:
    """Names of folders at the depth of classes, with or without images; what is hidden or the system's left out."""
    found = set()
    for member in members:
        parts = member.path.rstrip("/").split("/")
        folders = parts if member.is_folder else parts[:-1]
        if len(folders) > depth and not any(part.startswith(".") or part == "__MACOSX" for part in folders):
            found.add(folders[depth])
    return found


def _nothing_usable(members: Sequence[Member], images: Sequence[Member]) -> BadInputError:
    files = [member for member in members if not member.is_folder]
    if not files:
        found = "The upload holds no files."
    elif images:
        found = f"All {len(images):,} images lie side by side, in no class folder ({images[0].path} is the first)."
    else:
        endings = Counter(PurePosixPath(member.path).suffix.lower() or "no ending" for member in files)
        listed = ", ".join(f"{number:,} {ending}" for ending, number in endings.most_common(5))
        found = f"None of the {len(files):,} files can be read as an image ({listed})."
    return BadInputError(found, hint=ACCEPTED)
