"""Import an upload: decode every image in a safe place, store it, split it, and make the dataset's version of it.

All rows are written in the transaction that ends the job; before it, there are only files named by their content.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core import layouts, versions
from app.core.commits import after_commit
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import BadInputError, ConflictError
from app.core.fingerprints import Fingerprint
from app.core.layouts import Layout
from app.core.pseudonyms import Pseudonyms
from app.core.submission import add_check
from app.core.upload_folder import UploadFolder
from app.core.versions import Entry, LookAlike
from models import Dataset, DatasetState, DatasetVersion, Image, Job, RefusedFile, Split, Upload, UploadState
from models.specs import ConversionOptions, ImportSpec
from workers.context import JobContext, Recorder
from workers.jobs.import_decoding import Kept, decode_all
from workers.jobs.looks import record_looks

ROWS_AT_ONCE = 2000


def run(context: JobContext, spec: ImportSpec) -> Recorder:
    context.report(0, message="Reading the list of files.", unit="files")
    folder = _upload_folder(context, spec.upload_id)
    layout = layouts.detect(folder.members(), folder, spec)
    if not spec.keep_layout_splits:
        layout = replace(layout, brings_splits=False, images=[image._replace(split=None) for image in layout.images])
    kept = decode_all(context, folder, {image.path for image in layout.images}, spec)
    made = assemble(layout, kept, spec, Pseudonyms(context.settings))
    context.log(made.in_words())
    context.report(len(layout.images), len(layout.images), message="Writing it down.")
    return lambda session, job: _record(session, job, spec, made, folder)


def _upload_folder(context: JobContext, upload_id: int) -> UploadFolder:
    with context.database.read() as session:
        upload = session.get(Upload, upload_id)
        if upload is None or upload.state in (UploadState.IMPORTED, UploadState.DISCARDED):
            raise ConflictError(f"The files of upload {upload_id} are gone.", hint="Upload the images again.")
        folder = UploadFolder(context.settings, upload)
    forget_leftovers(context.settings, context.database)
    return folder


def forget_leftovers(settings: Settings, database: Database) -> None:
    """Delete the bytes of uploads that were imported or discarded by a process that died before it could."""
    folders = [folder for folder in settings.uploads_dir.glob("*") if folder.name.isdigit()]
    with database.read() as session:
        over = (UploadState.IMPORTED, UploadState.DISCARDED)
        ended = set(session.scalars(select(Upload.id).where(Upload.state.in_(over))))
    for folder in folders:
        if int(folder.name) in ended:
            shutil.rmtree(folder, ignore_errors=True)


class Planned(NamedTuple):
    """An image with its class, the split that the upload brings, if it brings one, and its patient's pseudonym, if known."""

    file: Kept
    label: int
    split: Split | None
    group: str | None


class Left(NamedTuple):
    """A file that is not in the version. kind: ignored, broken or duplicate."""

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Made:
    """A version before it is written down. looks, facts: of the stored pictures, by key."""

    classes: list[str]
    channels: int  # 1 if every image is grey
    entries: list[Entry]
    left: list[Left]
    layout: dict[str, Any]
    looks: dict[str, Fingerprint]
    facts: dict[str, dict[str, Any]]
    look_alikes: list[LookAlike]

    def in_words(self) -> str:
        kinds = Counter(left.kind for left in self.left)
        return (
            f"{len(self.entries):,} images of {len(self.classes)} classes; {kinds['broken']:,} broken, "
            f"{kinds['ignored']:,} ignored, {kinds['duplicate']:,} left out as copies; "
            f"{len(self.look_alikes):,} pairs look the same."
        )


def assemble(layout: Layout, kept: Sequence[Kept], spec: ImportSpec, pseudonyms: Pseudonyms) -> Made:
    """Split what could be decoded, and say of everything else why it is left out.

    Raises BadInputError if no image could be decoded.
    """
    left = [Left(path, "ignored", reason) for path, reason in layout.ignored]
    left += [Left(file.path, "broken", file.problem) for file in kept if file.problem is not None]
    classes, planned = plan(layout, [file for file in kept if file.problem is None], pseudonyms)
    if not planned:
        raise _all_broken(left)
    if not spec.keep_layout_splits:
        planned = [image._replace(split=None) for image in planned]
    files = [image.file for image in planned]
    looks = {file.stored_sha256: Fingerprint(*file.look) for file in files if file.look is not None}
    look_alikes = versions.look_alikes(looks)
    entries = versions.with_clusters(
        [_entry(image) for image in planned], [(pair.first, pair.second) for pair in look_alikes]
    )
    dealt = versions.deal(
        entries, [image.split for image in planned], seed=spec.seed, train_percent=spec.train_percent,
        val_percent=spec.val_percent, by=spec.split_by,
    )  # fmt: skip
    copies = [entry.path for entry, split in zip(entries, dealt, strict=True) if split is None]
    left += [
        Left(path, "duplicate", "Its pixels are also in a test or validation image; that one is kept.")
        for path in copies
    ]
    placed = [entry._replace(split=split) for entry, split in zip(entries, dealt, strict=True) if split is not None]
    classes, placed, lost = _without_empty_classes(classes, placed)
    warnings = [*layout.warnings, *lost, *_duplicate_warnings(classes, placed, len(copies))]
    return Made(
        classes=classes,
        channels=max(file.channels for file in files),
        entries=placed,
        left=sorted(left),
        layout=_about(layout, spec, warnings, left, brings_splits=any(image.split for image in planned)),
        looks=looks,
        facts={file.stored_sha256: file.facts for file in files if file.facts is not None},
        look_alikes=look_alikes,
    )


def _entry(image: Planned) -> Entry:
    """The image as a row; its split is dealt later."""
    file = image.file
    return Entry(
        path=file.path, label=image.label, split=Split.TRAIN, group=image.group, series=file.series,
        position=file.position, cluster=None, width=file.width, height=file.height, mode=file.mode,
        bit_depth=file.bit_depth, conversion=file.conversion,
        file_sha256=file.file_sha256, pixel_sha256=file.pixel_sha256, stored_sha256=file.stored_sha256,
        thumbnail_sha256=file.thumbnail_sha256, metadata_kinds=file.metadata_kinds,
    )  # fmt: skip


def _about(
    layout: Layout, spec: ImportSpec, warnings: list[str], left: Sequence[Left], *, brings_splits: bool
) -> dict[str, Any]:
    """What is remembered of how the version came about."""
    percent = {
        "train": spec.train_percent, "val": spec.val_percent, "test": 100 - spec.train_percent - spec.val_percent,
    }  # fmt: skip
    return layout.as_json() | {
        "warnings": warnings,
        "seed": spec.seed,
        "percent": percent,
        "split_by": "folders" if brings_splits else spec.split_by,
        "conversion": {name: getattr(spec, name) for name in ConversionOptions.model_fields},
        "left": dict(Counter(file.kind for file in left)),
    }


def plan(layout: Layout, files: Sequence[Kept], pseudonyms: Pseudonyms) -> tuple[list[str], list[Planned]]:
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
    lost = [name for label, name in enumerate(classes) if label not in number]
    warnings = [f"No image of the class {name} is left; it is not in the dataset." for name in lost]
    return (
        [classes[label] for label in present],
        [entry._replace(label=number[entry.label]) for entry in entries],
        warnings,
    )


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
    broken = [file for file in left if file.kind == "broken"]
    return BadInputError(
        f"None of the {len(broken):,} images can be read; the first is {broken[0].path}: {broken[0].reason}",
        hint="Open some of the files in an image viewer; save them as PNG if it can read them.",
    )


def _record(session: Session, job: Job, spec: ImportSpec, made: Made, folder: UploadFolder) -> dict[str, Any]:
    dataset = _dataset(session, job, spec.name)
    version = DatasetVersion(
        dataset_id=dataset.id, number=1, job_id=job.id, change="Import", classes=made.classes, channels=made.channels,
        num_images=len(made.entries), counts=versions.counts(made.entries, made.classes), layout=made.layout,
        manifest_sha256=versions.manifest_sha256(made.entries, made.classes), leaks=versions.leaks(made.entries),
    )  # fmt: skip
    session.add(version)
    session.flush()
    _insert(
        session,
        Image,
        [{"version_id": version.id, **entry._asdict()} for entry in sorted(made.entries, key=attrgetter("path"))],
    )
    _insert(session, RefusedFile, [{"version_id": version.id, **left._asdict()} for left in made.left])
    record_looks(session, dataset.id, made.looks, made.facts, made.look_alikes)
    dataset.state = DatasetState.READY
    upload = session.get_one(Upload, spec.upload_id)
    upload.state, upload.plan = UploadState.IMPORTED, layouts.without_examples(upload.plan or {})
    after_commit(session, folder.delete)
    check = add_check(session, version, project_id=job.project_id, created_by=job.created_by)
    return {"dataset_id": dataset.id, "version_id": version.id, "check_job_id": check.id}


def _dataset(session: Session, job: Job, name: str) -> Dataset:
    """The row that waits for this import; a new one if its name was given away after an earlier failure."""
    dataset = session.scalar(select(Dataset).where(Dataset.job_id == job.id))
    if dataset is not None:
        return dataset
    taken = session.scalar(select(Dataset.id).where(Dataset.project_id == job.project_id, Dataset.name == name))
    if taken is not None:
        raise ConflictError(f"There is a dataset named {name!r} by now.", hint="Import the images under another name.")
    dataset = Dataset(project_id=job.project_id, name=name, job_id=job.id)
    session.add(dataset)
    session.flush()
    return dataset


def _insert(session: Session, table: type[Image | RefusedFile], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        session.execute(insert(table), rows[start : start + ROWS_AT_ONCE])
