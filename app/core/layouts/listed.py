"""Images that a table lists: the table gives classes and splits, or only says more about class folders."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.core import relative_paths
from app.core.archives import Member
from app.core.layouts import columns
from app.core.layouts.collecting import Collector, some
from app.core.layouts.columns import Labels
from app.core.layouts.folders import common_folder, split_folders
from app.core.layouts.layout import Ignored, Layout, refused
from app.core.layouts.listing import Listing
from models import Split
from models.specs import LayoutOptions

AGREEING = 0.5  # of the images that both name: then the column says what the folders say
FAITHFUL = 0.9  # of the images: then each folder stands for one value of the column
MANY_ROWS = 0.5  # of the images must be listed before a table overrules class folders


def choose_labels(listing: Listing, options: LayoutOptions) -> Labels:
    """The column asked for, else the one that is guessed; BadInputError if what is asked for cannot be had."""
    if options.label_by is None:
        return columns.guess_labels(listing)
    name = options.label_by
    if name not in listing.columns or name == listing.file_column:
        others = ", ".join(column for column in listing.columns if column != listing.file_column)
        why = "names the files" if name == listing.file_column else f"is not in {listing.names}"
        raise refused("label_by", f"The column {name!r} {why}.", f"Choose one of these: {others}.")
    number = len(listing.distinct(name))
    if not 1 <= number <= columns.MAX_CLASSES:
        detail = f"The column {name!r} has {number:,} different values; classes are 1 to {columns.MAX_CLASSES:,}."
        raise refused("label_by", detail, "Choose the column that says the class.")
    return Labels(name, is_sure=True)


def is_overruled(folders: Layout, listing: Listing, labels: Labels, options: LayoutOptions) -> bool:
    """Whether the table, rather than the folders, gives the classes (or would, if it were known which column does)."""
    if options.classes_from != "auto" or options.label_by is not None:
        return options.classes_from != "folders"
    if len(folders.classes) < 2 or all(columns.split_of(name) for name in folders.classes):
        return True
    if not labels.is_sure or len(listing.rows) < MANY_ROWS * len(folders.images):
        return False
    return _compared(folders, with_labels(listing, labels)) is None


def table_layout(images: Sequence[Member], listing: Listing, labels: Labels, *, is_addition: bool) -> Layout:
    """The layout that the table gives; without classes, and with `needs`, if no column is known to say the class."""
    listing = with_labels(listing, labels)
    listing, splits, warnings = _with_splits(images, listing)
    top = common_folder(images)
    if not labels:
        return _undecided(listing, top)
    collector = Collector("column" if listing.split_column else "folder", is_addition)
    named = columns.labels_of(listing)
    ignored = []
    for member in images:
        reason = _why_left_out(member.path, listing, named)
        if reason is None:
            collector.add(member, named[member.path][0], splits.get(member.path))
        else:
            ignored.append(Ignored(member.path, reason))
    if not collector.found:
        raise refused("label_by", f"No image has a class in {listing.names}.", "Choose the column that says the class.")
    return Layout(
        top, collector.uses_splits, list(collector.names.values()), collector.images(), ignored, [],
        [*collector.warnings(), *warnings, *_joined_warning(collector), *missing_warning(listing)], kind="table", listing=listing,
    )  # fmt: skip


def folders_with_table(folders: Layout, listing: Listing, labels: Labels) -> Layout:
    """Class folders about which a table says more; where the two contradict each other, a warning."""
    warnings = [*folders.warnings, *missing_warning(listing)]
    if labels.is_sure:
        listing = with_labels(listing, labels)
        warnings += _contradictions(_compared(folders, listing), listing)
    return replace(folders, listing=listing, warnings=warnings)


def missing_warning(listing: Listing) -> list[str]:
    number = len(listing.missing)
    if not number:
        return []
    what = "1 file that is" if number == 1 else f"{number:,} files that are"
    return [f"{listing.names} names {what} not among the images ({some(listing.missing)})."]


def with_labels(listing: Listing, labels: Labels) -> Listing:
    return replace(listing, label_column=labels.column, one_hot=labels.one_hot)


def _with_splits(images: Sequence[Member], listing: Listing) -> tuple[Listing, Mapping[str, Split], list[str]]:
    """The split of every image by a column, by the folders, or by the tables' names; empty if nothing says it."""
    column, warning = columns.guess_split(listing)
    warnings = [warning] if warning else []
    if column:
        values = listing.values(column)
        found = {path: columns.split_of(value) for path, value in values.items()}
        return replace(listing, split_column=column), {path: split for path, split in found.items() if split}, warnings
    if splits := split_folders(images):
        return listing, splits, warnings
    by_table = {path: columns.split_of(path.rsplit("/", 1)[-1].rsplit(".", 1)[0]) for path in listing.paths}
    if len(by_table) < 2 or not all(by_table.values()):
        return listing, {}, warnings
    found = {path: by_table[listing.sources[row]] for path, row in listing.rows.items()}
    return replace(listing, splits_by_table=True), {path: split for path, split in found.items() if split}, warnings


def _why_left_out(path: str, listing: Listing, named: Mapping[str, Sequence[str]]) -> str | None:
    if path not in named:
        return f"{listing.names} does not list it."
    if not named[path]:
        return f"{listing.names} says no class for it."
    if len({relative_paths.key(name) for name in named[path]}) > 1:
        return f"{listing.names} gives it several classes: {some(named[path])}."
    return None


def _undecided(listing: Listing, top: str) -> Layout:
    others = [name for name in listing.columns if name != listing.file_column]
    warning = f"Say which column of {listing.names} is the class; none of {some(others)} is known to be."
    return Layout(top, False, [], [], [], [], [warning], kind="table", listing=listing, needs="label_by")


def _joined_warning(collector: Collector) -> list[str]:
    joined = [name for name in collector.names.values() if "|" in name]
    if not joined:
        return []
    return [f"{len(joined):,} classes join several findings ({some(joined)}); each combination is a class of its own."]


class _Compared(NamedTuple):
    """Images whose class in the table is another than their folder's: (path, folder, the table's class)."""

    contradictions: list[tuple[str, str, str]]


def _compared(folders: Layout, listing: Listing) -> _Compared | None:
    """How class folders and a column go together; None if the column says something else than the folders."""
    named = columns.labels_of(listing)
    both = [
        (image.path, folders.classes[image.label], named[image.path][0])
        for image in folders.images
        if named.get(image.path)
    ]
    other = [each for each in both if relative_paths.key(each[1]) != relative_paths.key(each[2])]
    if len(other) <= (1 - AGREEING) * len(both):
        return _Compared(other)
    stands_for = _codes(both)
    other = [each for each in both if stands_for.get(each[1]) != each[2]]
    is_code = len(set(stands_for.values())) == len(stands_for) > 1
    return _Compared(other) if is_code and len(other) <= (1 - FAITHFUL) * len(both) else None


def _codes(both: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """{folder: the value that most of its images have}."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for _, folder, value in both:
        counted[folder][value] += 1
    return {folder: min(values, key=lambda value: (-values[value], value)) for folder, values in counted.items()}


def _contradictions(compared: _Compared | None, listing: Listing) -> list[str]:
    if compared is None or not compared.contradictions:
        return []
    path, folder, value = compared.contradictions[0]
    number = len(compared.contradictions)
    what = "1 image lies" if number == 1 else f"{number:,} images lie"
    example = f"{path} is in {folder}, and said to be {value}"
    return [f"{what} in another class folder than {listing.names} says ({example}); the folder counts."]
