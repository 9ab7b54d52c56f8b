"""Says what an upload is, from its names and its tables: what is an image, which class and split it has, what is none.

No image is decoded here, so a plan of 100,000 files is made within seconds. What is known: class folders, with or
without train, val and test folders; images listed in a table (CSV, JSON lines, Hugging Face's imagefolder); class
folders with a table that says more, such as patients; one npz file in MedMNIST's form.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

from app.core.archives import Member
from app.core.errors import BadInputError
from app.core.images import looks_like_dicom
from app.core.layouts.columns import Column, describe, without_examples
from app.core.layouts.folders import folder_layout
from app.core.layouts.groups import with_groups
from app.core.layouts.layout import Groups, Ignored, Layout, PlannedImage, refused
from app.core.layouts.listed import choose_labels, folders_with_table, is_overruled, table_layout
from app.core.layouts.listing import Listing, find_listing
from app.core.layouts.naming import FileIndex
from app.core.layouts.npz import npz_layout
from app.core.layouts.sorting import Sorted, has_no_ending, may_be_used, sort_out
from app.core.layouts.tables import Table, read_table
from app.core.upload_folder import ReadFile
from models.specs import LayoutOptions

__all__ = [
    "Column", "Contents", "Groups", "Ignored", "Layout", "PlannedImage", "describe", "detect", "detect_ungrouped",
    "refused", "with_groups", "without_examples",
]  # fmt: skip

MAX_TABLES = 20
DICM_END = 132  # bytes that say whether a file is DICOM
MAX_TABLE_BYTES = 64 << 20  # all tables together
AS_FOUND = LayoutOptions()
ACCEPTED = (
    "Accepted: class folders that hold images (glioma/001.png); the same inside train, val and test folders "
    "(train/glioma/001.png); images with a table (CSV or JSON lines) that names each file and its class; any of these "
    "inside one more folder; one npz file as MedMNIST has it. Images are PNG, JPEG, WebP, BMP, TIFF, "
    "DICOM (also without an ending) or NIfTI."
)


class Contents(Protocol):
    """Where the files of an upload can be read."""

    def read(self, paths: Collection[str]) -> Iterator[ReadFile]: ...
    def open(self, path: str) -> AbstractContextManager[BinaryIO]: ...


def detect(members: Iterable[Member], contents: Contents, options: LayoutOptions = AS_FOUND) -> Layout:
    """The layout of the files and folders of an upload; the same in whatever order they come.

    Of `contents` only tables, npz files and the beginning of one file without an ending are read. Raises BadInputError, saying what was found and what is accepted,
    if nothing can be an image of a class, or pointing at the option that asks for what is not there.
    """
    return with_groups(detect_ungrouped(members, contents, options), options)


def detect_ungrouped(members: Iterable[Member], contents: Contents, options: LayoutOptions) -> Layout:
    """`detect` without the groups, which `with_groups` finds in no time."""
    members = sorted(members, key=lambda member: (member.path, member.size, member.problem or ""))
    found = sort_out(members, unnamed_are_dicom=_unnamed_are_dicom(members, contents))
    return _arrays(found, contents, options) if _is_npz(found) else _images(members, found, contents, options)


def _unnamed_are_dicom(members: Sequence[Member], contents: Contents) -> bool:
    """Whether the largest file without an ending begins as DICOM files do; it stands for the others."""
    unnamed = [member for member in members if has_no_ending(member.path) and may_be_used(member)]
    if not unnamed:
        return False
    largest = max(unnamed, key=lambda member: (member.size, member.path))
    try:
        with contents.open(largest.path) as file:
            return looks_like_dicom(file.read(DICM_END))
    except BadInputError:
        return False


def _is_npz(found: Sorted) -> bool:
    return not found.images and len(found.arrays) == 1


def _arrays(found: Sorted, contents: Contents, options: LayoutOptions) -> Layout:
    if options.label_by is not None:
        raise refused("label_by", "An npz file brings its labels by itself.", "Leave this out.")
    ignored = [
        Ignored(table.path, "An npz file is imported, which brings its labels by itself.") for table in found.tables
    ]
    (member,) = found.arrays
    with contents.open(member.path) as file:
        return npz_layout(member, file, sorted([*found.ignored, *ignored]), is_addition=options.is_addition)


def _images(members: Sequence[Member], found: Sorted, contents: Contents, options: LayoutOptions) -> Layout:
    if not found.images:
        raise _nothing_usable(members, found)
    tables, unread = _read_tables(found.tables, contents)
    listing, unused = find_listing(tables, FileIndex(member.path for member in found.images)) if tables else (None, {})
    left = [Ignored(path, reason) for path, reason in (unread | unused).items()]
    left += [
        Ignored(member.path, "An npz file is imported where it is alone; upload it by itself.")
        for member in found.arrays
    ]
    layout = _classed(members, found, listing, options)
    return replace(layout, ignored=sorted([*found.ignored, *left, *layout.ignored]))


def _classed(members: Sequence[Member], found: Sorted, listing: Listing | None, options: LayoutOptions) -> Layout:
    """By the table or by the folders, whichever says more or is asked for."""
    folders = folder_layout(members, found.images, is_addition=options.is_addition)
    if listing is None and (option := _needs_table(options)):
        detail = "There is no table (CSV or JSON lines) whose rows name images of this upload."
        raise refused(option, detail, "Leave this out, or add a table with a column of file names.")
    if listing is not None:
        labels = choose_labels(listing, options)
        if is_overruled(folders, listing, labels, options):
            return table_layout(found.images, listing, labels, is_addition=options.is_addition)
        folders = folders_with_table(folders, listing, labels)
    if not folders.classes:
        raise _nothing_usable(members, found)
    return folders


def _needs_table(options: LayoutOptions) -> str:
    if options.label_by is not None:
        return "label_by"
    return "classes_from" if options.classes_from == "table" else ""


def _read_tables(members: Sequence[Member], contents: Contents) -> tuple[list[Table], dict[str, str]]:
    """The tables, and why some files are none: {path: reason}."""
    wanted: list[str] = []
    refusals: dict[str, str] = {}
    total = 0
    for member in members:
        total += member.size
        if len(wanted) == MAX_TABLES or total > MAX_TABLE_BYTES:
            refusals[member.path] = f"At most {MAX_TABLES} tables of together {MAX_TABLE_BYTES >> 20} MiB are read."
        else:
            wanted.append(member.path)
    tables = []
    for path, content, problem in contents.read(wanted) if wanted else ():
        try:
            if problem is not None:
                raise BadInputError(problem)
            tables.append(read_table(path, content))
        except BadInputError as error:
            refusals[path] = error.detail
    return sorted(tables, key=lambda table: table.path), refusals


def _nothing_usable(members: Sequence[Member], found: Sorted) -> BadInputError:
    files = [member for member in members if not member.is_folder]
    if not files:
        what = "The upload holds no files."
    elif found.images:
        what = f"All {len(found.images):,} images lie side by side, in no class folder ({found.images[0].path} is the first), and no table names their classes."  # fmt: skip
    elif len(found.arrays) > 1:
        what = f"The upload holds {len(found.arrays)} npz files; one at a time is imported."
    else:
        endings = Counter(PurePosixPath(member.path).suffix.lower() or "no ending" for member in files)
        listed = ", ".join(f"{number:,} {ending}" for ending, number in endings.most_common(5))
        what = f"None of the {len(files):,} files can be read as an image ({listed})."
    return BadInputError(what, hint=ACCEPTED)
