"""Tells apart what an upload consists of: images, tables, npz files, and what is none of them, with the reason."""

from collections.abc import Iterable
from typing import NamedTuple

from app.core.archives import Member
from app.core.images import IMAGE_SUFFIXES, suffix_of
from app.core.layouts.layout import Ignored

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl"})
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
SHEET_SUFFIXES = frozenset({".xls", ".xlsx", ".ods", ".parquet"})
SYSTEM_FILES = {"thumbs.db": "Windows", "ehthumbs.db": "Windows", "desktop.ini": "Windows", "icon\r": "macOS"}


class Sorted(NamedTuple):
    """The members of an upload by kind, each in the order of paths."""

    images: list[Member]
    tables: list[Member]
    arrays: list[Member]
    ignored: list[Ignored]


def has_no_ending(path: str) -> bool:
    """DICOM files are often named by a number or an identifier (1.2.840.113619.2) and nothing else."""
    suffix = suffix_of(path.rsplit("/", 1)[-1])
    return not suffix or suffix[1:].isdecimal()


def may_be_used(member: Member) -> bool:
    """Whether nothing but its ending could speak against a file."""
    return not member.is_folder and member.problem is None and _why_unusable(member) is None


def sort_out(members: Iterable[Member], *, unnamed_are_dicom: bool) -> Sorted:
    """unnamed_are_dicom: whether files without an ending are taken for DICOM files."""
    found = Sorted([], [], [], [])
    for member in members:
        if member.is_folder:
            continue
        suffix = suffix_of(member.path.rsplit("/", 1)[-1])
        reason = member.problem or _why_unusable(member)
        if reason is not None:
            found.ignored.append(Ignored(member.path, reason))
        elif suffix in TABLE_SUFFIXES:
            found.tables.append(member)
        elif suffix == ".npz":
            found.arrays.append(member)
        elif unnamed_are_dicom and has_no_ending(member.path):
            found.images.append(member)
        elif (reason := _why_no_image(suffix)) is not None:
            found.ignored.append(Ignored(member.path, reason))
        else:
            found.images.append(member)
    return found


def _why_unusable(member: Member) -> str | None:
    """What speaks against a file of whatever kind."""
    parts = member.path.split("/")
    name = parts[-1].lower()
    if "__MACOSX" in parts:
        return "It was put there by macOS and is no image."
    if any(part.startswith(".") for part in parts):
        return "It is hidden: its name, or its folder's, begins with a dot."
    if name in SYSTEM_FILES:
        return f"It was put there by {SYSTEM_FILES[name]} and is no image."
    if member.size == 0 and suffix_of(name) in IMAGE_SUFFIXES | TABLE_SUFFIXES | {".npz"}:
        return "The file is empty."
    return None


def _why_no_image(suffix: str) -> str | None:
    if suffix in IMAGE_SUFFIXES:
        return None
    if suffix in ARCHIVE_SUFFIXES:
        return "Archives inside an upload are not opened; upload it by itself."
    if suffix in SHEET_SUFFIXES:
        return f"Its ending {suffix} is not that of a table that is read; save it as CSV."
    return (
        f"Its ending {suffix} is not that of an image that is read." if suffix else "It has no ending, as images have."
    )
