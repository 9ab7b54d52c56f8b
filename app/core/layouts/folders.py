"""Class folders, with or without train, val and test folders around them: what the paths alone say.

Folders inside a class belong to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core import relative_paths
from app.core.archives import Member
from app.core.layouts.collecting import Collector
from app.core.layouts.columns import split_of
from app.core.layouts.layout import Ignored, Layout
from models import Split


@dataclass(frozen=True)
class Folders:
    """Where the class folders are. depth: of the class folder; split_at: of the split folder, None if there is none."""

    top: str
    depth: int
    split_at: int | None

    @classmethod
    def of(cls, images: Sequence[Member]) -> "Folders":
        top, depth = _top_folder(images)
        has_splits = _has_split_folders(images, depth, inside=2)
        return cls(top, depth + has_splits, depth if has_splits else None)

    def class_of(self, path: str) -> str:
        """The class folder that a path goes through, or empty."""
        return _part(path, self.depth).strip()

    def split_of(self, path: str) -> Split | None:
        return None if self.split_at is None else split_of(_part(path, self.split_at))


def folder_layout(members: Sequence[Member], images: Sequence[Member], *, is_addition: bool) -> Layout:
    """The layout of class folders. `members`: all of the upload, so that folders without an image are seen.

    Its `classes` are empty if no class folder holds an image.
    """
    folders = Folders.of(images)
    collector = Collector(is_addition=is_addition)
    ignored = []
    for member in images:
        reason = _why_outside(folders, member.path)
        if reason is None:
            collector.add(member, folders.class_of(member.path), folders.split_of(member.path))
        else:
            ignored.append(Ignored(member.path, reason))
    empty = sorted(
        name for name in _folders_at(members, folders.depth) if relative_paths.key(name.strip()) not in collector.found
    )
    warnings = [*collector.warnings(), *_deeper_warning(collector, folders.depth), *map(_empty_warning, empty)]
    classes = list(collector.names.values())
    return Layout(folders.top, collector.uses_splits, classes, collector.images(), ignored, empty, warnings)


def _why_outside(folders: Folders, path: str) -> str | None:
    if folders.split_at is not None and folders.split_of(path) is None:
        return "It lies beside the train, val and test folders, in none of them."
    if not folders.class_of(path):
        return "It lies beside the class folders, in none of them."
    return None


def split_folders(images: Sequence[Member]) -> dict[str, Split]:
    """{image: its split} where most images lie right in folders named as splits; empty if they do not."""
    _, depth = _top_folder(images)
    if not _has_split_folders(images, depth, inside=1):
        return {}
    found = ((member.path, split_of(_part(member.path, depth))) for member in images)
    return {path: split for path, split in found if split is not None}


def common_folder(images: Sequence[Member]) -> str:
    """The folder, or folders, that all images lie in; never a split folder."""
    parents = [member.path.split("/")[:-1] for member in images]
    first, last = min(parents), max(parents)
    depth = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    depth = next((i for i, part in enumerate(first[:depth]) if split_of(part)), depth)
    return "/".join(first[:depth])


def _top_folder(images: Sequence[Member]) -> tuple[str, int]:
    """The folder, or folders, around everything, and how many they are. A split folder is never taken for one."""
    paths = [member.path.split("/") for member in images]
    depth = 0
    while _is_wrapped(paths, depth):
        depth += 1
    return "/".join(paths[0][:depth]) if depth else "", depth


def _is_wrapped(paths: Sequence[list[str]], depth: int) -> bool:
    firsts = {path[depth] for path in paths if len(path) > depth + 1}
    if len(firsts) != 1 or any(len(path) < depth + 2 for path in paths) or split_of(*firsts) is not None:
        return False
    inner_folders = {path[depth + 1] for path in paths if len(path) > depth + 2}
    return len(inner_folders) > 1 or all(len(path) > depth + 2 for path in paths)


def _has_split_folders(images: Sequence[Member], depth: int, *, inside: int) -> bool:
    """Whether folders named as splits hold most of the images, at least `inside` levels below `depth`."""
    held = [path for path in (member.path for member in images) if split_of(_part(path, depth))]
    return 2 * sum(path.count("/") >= depth + inside for path in held) > len(images)


def _part(path: str, depth: int) -> str:
    parts = path.split("/")
    return parts[depth] if depth < len(parts) - 1 else ""


def _deeper_warning(collector: Collector, depth: int) -> list[str]:
    number = sum(member.path.count("/") > depth + 1 for members in collector.found.values() for member, _ in members)
    if not number:
        return []
    return [f"{number:,} images lie in folders inside class folders; they count for the class around them."]


def _empty_warning(folder: str) -> str:
    return f"The folder {folder} holds no image that can be read, and becomes no class."


def _folders_at(members: Sequence[Member], depth: int) -> set[str]:
    """Names of folders at the depth of classes, with or without images; what is hidden or the system's left out."""
    found = set()
    for member in members:
        parts = member.path.rstrip("/").split("/")
        folders = parts if member.is_folder else parts[:-1]
        if len(folders) > depth and not any(part.startswith(".") or part == "__MACOSX" for part in folders):
            found.add(folders[depth])
    return found
