"""Makes the first version of an upload whose images are decoded: classes, splits, copies, and why each other file is left out.

Plain functions: nothing here reads or writes a database or a file.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core import versions
from app.core.errors import BadInputError
from app.core.fingerprints import Fingerprint
from app.core.layouts import Layout
from app.core.pseudonyms import Pseudonyms
from app.core.version_rows import Left
from app.core.versions import Entry, LookAlike
from models import RefusedKind, Split
from models.specs import ConversionOptions, ImportSpec
from workers.jobs.import_decoding import Kept
from workers.jobs.looks import PackedFacts


class Planned(NamedTuple):
    """An image with its class, the split that the upload brings, if it brings one, and its patient's pseudonym, if known."""

    file: Kept
    label: int
    split: Split | None
    group: str | None


@dataclass(frozen=True)
class Decoded:
    """An upload whose images are decoded. left: the files that give none; classes: of the upload, also those left empty."""

    layout: Layout
    classes: list[str]
    images: list[Planned]
    left: list[Left]

    @property
    def looks(self) -> dict[str, Fingerprint]:
        """What the pictures look like, by storage key."""
        return {image.file.stored_sha256: Fingerprint(*image.file.look) for image in self.images if image.file.look}

    @property
    def facts(self) -> PackedFacts:
        """Figures of the pictures, by storage key."""
        files = (image.file for image in self.images)
        return PackedFacts({file.stored_sha256: file.facts for file in files if file.facts is not None})


@dataclass(frozen=True)
class Made:
    """A version before it is written down."""

    classes: list[str]
    channels: int  # 1 if every image is grey
    entries: list[Entry]
    left: list[Left]
    layout: dict[str, Any]
    look_alikes: list[LookAlike]

    def in_words(self) -> str:
        kinds = Counter(left.kind for left in self.left)
        return (
            f"{len(self.entries):,} images of {len(self.classes)} classes; {kinds[RefusedKind.BROKEN]:,} broken, "
            f"{kinds[RefusedKind.IGNORED]:,} ignored, {kinds[RefusedKind.DUPLICATE]:,} left out as copies; "
            f"{len(self.look_alikes):,} pairs look the same."
        )


def sort_out(layout: Layout, kept: Sequence[Kept], spec: ImportSpec, pseudonyms: Pseudonyms) -> Decoded:
    """The images with what is said of each, and why every other file gives none.

    Raises BadInputError if no image could be decoded.
    """
    left = [Left(path, RefusedKind.IGNORED, reason) for path, reason in layout.ignored]
    left += [Left(file.path, RefusedKind.BROKEN, file.problem) for file in kept if file.problem is not None]
    classes, planned = _plan(layout, [file for file in kept if file.problem is None], pseudonyms)
    if not planned:
        raise _all_broken(left)
    if not spec.keep_layout_splits:
        planned = [image._replace(split=None) for image in planned]
    return Decoded(layout, classes, planned, left)


def assemble(decoded: Decoded, spec: ImportSpec) -> Made:
    """Split what could be decoded; training copies of test images are left out."""
    look_alikes = versions.look_alikes(decoded.looks)
    entries = versions.with_clusters(
        [entry_of(image) for image in decoded.images], [(pair.first, pair.second) for pair in look_alikes]
    )
    dealt = versions.deal(
        entries, [image.split for image in decoded.images], seed=spec.seed, train_percent=spec.train_percent,
        val_percent=spec.val_percent, by=spec.split_by,
    )  # fmt: skip
    copies = [entry.path for entry, split in zip(entries, dealt, strict=True) if split is None]
    reason = "Its pixels are also in a test or validation image; that one is kept."
    left = [*decoded.left, *(Left(path, RefusedKind.DUPLICATE, reason) for path in copies)]
    placed = [entry._replace(split=split) for entry, split in zip(entries, dealt, strict=True) if split is not None]
    classes, placed, lost = _without_empty_classes(decoded.classes, placed)
    warnings = [*decoded.layout.warnings, *lost, *_duplicate_warnings(classes, placed, len(copies))]
    return Made(
        classes=classes,
        channels=max(image.file.channels for image in decoded.images),
        entries=placed,
        left=sorted(left),
        layout=about(decoded, spec, warnings, left),
        look_alikes=look_alikes,
    )


def entry_of(image: Planned) -> Entry:
    """The image as a row; its split is dealt later."""
    file = image.file
    return Entry(
        path=file.path, label=image.label, split=Split.TRAIN, group=image.group, series=file.series,
        position=file.position, cluster=None, width=file.width, height=file.height, mode=file.mode,
        bit_depth=file.bit_depth, conversion=file.conversion,
        file_sha256=file.file_sha256, pixel_sha256=file.pixel_sha256, stored_sha256=file.stored_sha256,
        thumbnail_sha256=file.thumbnail_sha256, metadata_kinds=file.metadata_kinds,
    )  # fmt: skip


def about(decoded: Decoded, spec: ImportSpec, warnings: list[str], left: Sequence[Left]) -> dict[str, Any]:
    """What is remembered of how an upload was imported."""
    percent = {
        "train": spec.train_percent, "val": spec.val_percent, "test": 100 - spec.train_percent - spec.val_percent,
    }  # fmt: skip
    return decoded.layout.as_json() | {
        "warnings": warnings,
        "seed": spec.seed,
        "percent": percent,
        "split_by": "folders" if any(image.split for image in decoded.images) else spec.split_by,
        "conversion": {name: getattr(spec, name) for name in ConversionOptions.model_fields},
        "left": dict(Counter(file.kind for file in left)),
    }


def _plan(layout: Layout, files: Sequence[Kept], pseudonyms: Pseudonyms) -> tuple[list[str], list[Planned]]:
    """The classes, and every image with its label, split and patient: as its file says (npz, DICOM), else the layout."""
    by_source: dict[str, list[Kept]] = defaultdict(list)
    for file in files:
        by_source[file.source].append(file)
    classes = list(layout.classes)
    planned = []
    for image in layout.images:
        group = pseudonyms.patient(image.group) if image.group is not None else None
        for file in by_source.get(image.path, []):
            label = image.label if layout.kind != "npz" else classes.index(str(file.label))
            split = image.split if file.split is None else Split(file.split)
            planned.append(Planned(file, label, split, group or file.group))
    return classes, planned


def _without_empty_classes(classes: list[str], entries: list[Entry]) -> tuple[list[str], list[Entry], list[str]]:
    """Classes none of whose images is left are no classes; labels move up. Also the warnings about it."""
    present = sorted({entry.label for entry in entries})
    number = {label: index for index, label in enumerate(present)}
    warnings = [class_lost(name) for label, name in enumerate(classes) if label not in number]
    return (
        [classes[label] for label in present],
        [entry._replace(label=number[entry.label]) for entry in entries],
        warnings,
    )


def class_lost(name: str) -> str:
    return f"No image of the class {name} is left; it is not in the dataset."


def _duplicate_warnings(classes: list[str], entries: Sequence[Entry], num_copies: int) -> list[str]:
    labels: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        labels[entry.pixel_sha256].append(entry.label)
    twice = sum(len(found) - 1 for found in labels.values())
    torn = [sorted(set(found)) for found in labels.values() if len(set(found)) > 1]
    sizes = Counter(entry.cluster for entry in entries if entry.cluster is not None)
    similar = sum(sizes.values()) - len(sizes) - twice
    warnings = []
    if num_copies:
        warnings.append(f"{num_copies:,} images were left out, since a test or validation image has the same pixels.")
    if twice:
        warnings.append(f"{twice:,} images have the same pixels as another; copies are always in the same split.")
    if similar > 0:
        warnings.append(
            f"{similar:,} more images look the same as another: mirrored, resized, re-encoded or next slices."
        )
    if torn:
        example = " and ".join(classes[label] for label in torn[0])
        warnings.append(f"{len(torn):,} images occur under several classes ({example}, for one).")
    return warnings


def _all_broken(left: Sequence[Left]) -> BadInputError:
    broken = [file for file in left if file.kind == RefusedKind.BROKEN]
    return BadInputError(
        f"None of the {len(broken):,} images can be read; the first is {broken[0].path}: {broken[0].reason}",
        hint="Open some of the files in an image viewer; save them as PNG if it can read them.",
    )
