"""What an import would make of an upload: the images with class, split and group, and all that is left out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.core.errors import BadInputError
from app.core.layouts.listing import Listing
from models import Split


def refused(option: str, detail: str, hint: str) -> BadInputError:
    """The error that an option of the import asks for what is not there."""
    return BadInputError(detail, hint=hint, errors=[{"pointer": f"/{option}", "detail": detail}])


class PlannedImage(NamedTuple):
    """A file that is to become an image. path: as in the upload; split: the layout's, None where it brings none;
    group: the patient or whatever else belongs together, as the table or the pattern names it, None where unknown.

    The one file of a layout of the kind `npz` has the label -1: each image in it has its own.
    """

    path: str
    label: int
    split: Split | None
    size: int
    group: str | None = None


class Ignored(NamedTuple):
    path: str
    reason: str


@dataclass(frozen=True)
class Groups:
    """Which images belong together. by: the column, or empty; pattern: over the paths, or empty.
    largest: how many images the largest group has."""

    by: str
    pattern: str
    num_groups: int
    without: int
    largest: int

    def as_json(self) -> dict[str, Any]:
        return {
            "by": self.by or None,
            "pattern": self.pattern or None,
            "num_groups": self.num_groups,
            "without_group": self.without,
            "largest": self.largest,
        }


@dataclass(frozen=True)
class Layout:
    """What an import would make of an upload.

    kind: folders (their names are the classes), table (a column is), or npz (the arrays bring labels and splits).
    top: the folder around everything, or empty. brings_splits: whether the upload has train / val / test folders,
    or a column, that are used. empty: folders that would be classes if they held images. listing: the table used.
    needs: the option without which nothing can be imported, or empty. array_counts: of an npz, {class: {split: n}}.
    """

    top: str
    brings_splits: bool
    classes: list[str]
    images: list[PlannedImage]
    ignored: list[Ignored]
    empty: list[str]
    warnings: list[str]
    kind: str = "folders"
    listing: Listing | None = None
    groups: Groups | None = None
    needs: str = ""
    array_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """{class: {split: number}}; the split is "all" where the layout brings none."""
        if self.kind == "npz":
            return {name: dict(splits) for name, splits in self.array_counts.items()}
        counts: dict[str, dict[str, int]] = {name: {} for name in self.classes}
        for (label, split), number in sorted(Counter((i.label, str(i.split or "all")) for i in self.images).items()):
            counts[self.classes[label]][split] = number
        return counts

    @property
    def num_images(self) -> int:
        return sum(sum(splits.values()) for splits in self.counts.values())

    @property
    def summary(self) -> str:
        inside = f" inside the folder {self.top}" if self.top else ""
        if self.kind == "npz":
            return f"Arrays of images with labels in {self.images[0].path}"
        if self.kind == "table":
            assert self.listing is not None
            splits = f", splits from {self._split_source()}" if self.brings_splits else ""
            return f"Images listed in {self.listing.names}, {self._label_source()}{splits}{inside}"
        table = f", and the table {self.listing.names}" if self.listing else ""
        if self.brings_splits:
            found = [str(split) for split in Split if any(image.split == split for image in self.images)]
            return f"Class folders inside {', '.join(found)} folders{inside}{table}"
        return f"Class folders{inside}{table}"

    def _label_source(self) -> str:
        assert self.listing is not None
        if self.listing.one_hot:
            return f"classes from the columns {', '.join(self.listing.one_hot)}"
        return (
            f"classes from the column {self.listing.label_column}" if self.listing.label_column else "classes unknown"
        )

    def _split_source(self) -> str:
        assert self.listing is not None
        if self.listing.split_column:
            return f"the column {self.listing.split_column}"
        return "the tables' names" if self.listing.splits_by_table else "folders"

    def as_json(self) -> dict[str, Any]:
        """The description that is stored with an upload and with a version: no value of any cell but the classes'."""
        return {
            "kind": self.kind,
            "summary": self.summary,
            "top": self.top,
            "brings_splits": self.brings_splits,
            "classes": self.classes,
            "counts": self.counts,
            "num_images": self.num_images,
            "empty": self.empty,
            "warnings": self.warnings,
            "needs": self.needs or None,
            "table": self.listing.as_json() if self.listing else None,
            "groups": self.groups.as_json() if self.groups else None,
        }
