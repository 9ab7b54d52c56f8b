"""Import an upload: decode every image in a safe place, store it, split it, and make the dataset's version of it.

All rows are written in the transaction that ends the job; before it, there are only files named by their content.
"""

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core import layouts, splits
from app.core.commits import after_commit
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import BadInputError, ConflictError
from app.core.layouts import Layout
from app.core.upload_folder import UploadFolder
from models import Dataset, DatasetState, DatasetVersion, Image, Job, RefusedFile, Split, Upload, UploadState
from models.specs import ImportSpec
from workers.context import JobContext, Recorder
from workers.jobs.import_decoding import Kept, decode_all

ROWS_AT_ONCE = 2000


def run(context: JobContext, spec: ImportSpec) -> Recorder:
    context.report(0, message="Reading the list of files.", unit="files")
    folder = _upload_folder(context, spec.upload_id)
    layout = layouts.detect(folder.members())
    if not spec.keep_layout_splits:
        layout = replace(layout, brings_splits=False, images=[image._replace(split=None) for image in layout.images])
    kept = decode_all(context, folder, {image.path for image in layout.images})
    made = assemble(layout, kept, spec)
    context.log(made.in_words())
    context.report(len(kept), len(kept), message="Writing it down.")
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


class Placed(NamedTuple):
    """An image with its class and its split."""

    file: Kept
    label: int
    split: Split


class Left(NamedTuple):
    """A file that is not in the version. kind: ignored, broken or duplicate."""

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Made:
    """A version before it is written down."""

    classes: list[str]
    images: list[Placed]
    left: list[Left]
    layout: dict[str, Any]

    @property
    def channels(self) -> int:
        """1 if every image is grey."""
        return max(image.file.channels for image in self.images)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        found = Counter((image.label, image.split) for image in self.images)
        return {name: {str(split): found[label, split] for split in Split} for label, name in enumerate(self.classes)}

    @property
    def manifest_sha256(self) -> str:
        """Over (path, class, group, split, pixels) of every image, by path: the same for the same files and seed."""
        digest = hashlib.sha256()
        for file, label, split in sorted(self.images):
            digest.update(
                json.dumps([file.path, self.classes[label], None, str(split), file.pixel_sha256]).encode() + b"\n"
            )
        return digest.hexdigest()

    def in_words(self) -> str:
        kinds = Counter(left.kind for left in self.left)
        return (
            f"{len(self.images):,} images of {len(self.classes)} classes; {kinds['broken']:,} broken, "
            f"{kinds['ignored']:,} ignored, {kinds['duplicate']:,} left out as copies."
        )


def assemble(layout: Layout, kept: Sequence[Kept], spec: ImportSpec) -> Made:
    """Split what could be decoded, and say of everything else why it is left out.

    Raises BadInputError if no image could be decoded.
    """
    files = {file.path: file for file in kept if file.problem is None}
    left = [Left(path, "ignored", reason) for path, reason in layout.ignored]
    left += [Left(file.path, "broken", file.problem) for file in kept if file.problem is not None]
    planned = [image for image in layout.images if image.path in files]
    if not planned:
        raise _all_broken(left)
    items = [splits.Item(files[image.path].pixel_sha256, image.label, image.split) for image in planned]
    dealt = splits.assign(items, seed=spec.seed, train_percent=spec.train_percent, val_percent=spec.val_percent)
    placed = [
        Placed(files[image.path], image.label, split)
        for image, split in zip(planned, dealt, strict=True)
        if split is not None
    ]
    copies = [image.path for image, split in zip(planned, dealt, strict=True) if split is None]
    left += [
        Left(path, "duplicate", "Its pixels are also in a test or validation image; that one is kept.")
        for path in copies
    ]
    classes, placed, lost = _without_empty_classes(layout.classes, placed)
    warnings = [*layout.warnings, *lost, *_duplicate_warnings(classes, placed, len(copies))]
    about = layout.as_json() | {
        "warnings": warnings,
        "seed": spec.seed,
        "percent": {
            "train": spec.train_percent,
            "val": spec.val_percent,
            "test": 100 - spec.train_percent - spec.val_percent,
        },
        "split_by": "folders" if layout.brings_splits else "seed",
        "left": dict(Counter(file.kind for file in left)),
    }
    return Made(classes, placed, sorted(left), about)


def _without_empty_classes(classes: list[str], placed: list[Placed]) -> tuple[list[str], list[Placed], list[str]]:
    """Classes none of whose images is left are no classes; labels move up. Also the warnings about it."""
    present = sorted({image.label for image in placed})
    number = {label: index for index, label in enumerate(present)}
    lost = [name for label, name in enumerate(classes) if label not in number]
    warnings = [f"No image of the class {name} is left; it is not in the dataset." for name in lost]
    return (
        [classes[label] for label in present],
        [image._replace(label=number[image.label]) for image in placed],
        warnings,
    )


def _duplicate_warnings(classes: list[str], placed: Sequence[Placed], num_copies: int) -> list[str]:
    labels: dict[str, list[int]] = defaultdict(list)
    for image in placed:
        labels[image.file.pixel_sha256].append(image.label)
    twice = sum(len(found) - 1 for found in labels.values())
    torn = [sorted(set(found)) for found in labels.values() if len(set(found)) > 1]
    warnings = []
    if num_copies:
        warnings.append(f"{num_copies:,} images were left out, since a test or validation image has the same pixels.")
    if twice:
        warnings.append(f"{twice:,} images have the same pixels as another; copies are always in the same split.")
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
        dataset_id=dataset.id, number=1, job_id=job.id, classes=made.classes, channels=made.channels,
        num_images=len(made.images), counts=made.counts, layout=made.layout, manifest_sha256=made.manifest_sha256,
    )  # fmt: skip
    session.add(version)
    session.flush()
    _insert(session, Image, [_image_row(version.id, image) for image in sorted(made.images)])
    _insert(session, RefusedFile, [{"version_id": version.id, **left._asdict()} for left in made.left])
    dataset.state = DatasetState.READY
    session.get_one(Upload, spec.upload_id).state = UploadState.IMPORTED
    after_commit(session, folder.delete)
    return {"dataset_id": dataset.id, "version_id": version.id}


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


def _image_row(version_id: int, image: Placed) -> dict[str, Any]:
    about = image.file._asdict()
    del about["problem"], about["channels"]
    return {"version_id": version_id, "label": image.label, "split": image.split, "group": None, **about}


def _insert(session: Session, table: type[Image | RefusedFile], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        session.execute(insert(table), rows[start : start + ROWS_AT_ONCE])
