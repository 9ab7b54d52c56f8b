"""Datasets: real labelled images in the studio, and how they get there.

A folder goes in batches of files with their paths, an archive in pieces that go on where a broken connection
stopped them. Symbolic links are not followed.
"""

from __future__ import annotations

import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phantom.errors import NameTaken, PhantomError, ProblemError, StudioUnreachable
from phantom.jobs import Job
from phantom.transport import Transport

if TYPE_CHECKING:
    from phantom.studio import Studio

BATCH_FILES = 200
BATCH_BYTES = 32_000_000
PIECE_BYTES = 8_000_000
PIECE_TRIES = 8


class Health(dict[str, Any]):
    """What the studio found out about a dataset's images; prints as a few lines, the first of them empty."""

    def __str__(self) -> str:
        sizes, duplicates, refused = self["sizes"], self["duplicates"], self["refused"]
        balance = ", ".join(f"{name} {share:.0%}" for name, share in self["class_balance"].items())
        modes = ", ".join(f"{mode} {number}" for mode, number in self["modes"].items())
        spans = "{groups} groups, {across_splits} across splits, {across_classes} across classes".format(**duplicates)
        left_out = ", ".join(f"{number} {kind}" for kind, number in refused.items())
        return "\n".join(
            [
                "",
                f"images      {self['num_images']}  ({balance})",
                f"sizes       {sizes['width']['min']}x{sizes['height']['min']} to {sizes['width']['max']}x{sizes['height']['max']} px",
                f"modes       {modes}",
                f"duplicates  {duplicates['images']} images have the same pixels as an earlier one",
                f"            {spans}",
                f"left out    {left_out}",
            ]
        )


@dataclass(frozen=True)
class ImageRef:
    """One image of a dataset."""

    id: int
    path: str
    label: str
    split: str
    width: int
    height: int
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class UploadedImage:
    """A single image uploaded to be explained."""

    id: int
    name: str


@dataclass(frozen=True)
class DatasetSplit:
    """The training, validation or test images of a dataset."""

    dataset: Dataset
    name: str

    @property
    def num_images(self) -> int:
        return sum(splits.get(self.name, 0) for splits in self.dataset.counts.values())

    def images(self, *, limit: int | None = None, label: str | None = None) -> list[ImageRef]:
        """The first `limit` images, all if not given; of one class if `label` is given."""
        return self.dataset.images(split=self.name, label=label, limit=limit)


class Dataset:
    """Labelled images under one name. `data` is what the studio says of it."""

    def __init__(self, transport: Transport, data: dict[str, Any]) -> None:
        self._transport = transport
        self.data = data

    def __repr__(self) -> str:
        return f"<Dataset {self.id} {self.name!r}: {self.num_images} images of {len(self.classes)} classes>"

    @property
    def id(self) -> int:
        return int(self.data["id"])

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def version(self) -> dict[str, Any]:
        """The newest version; PhantomError while there is none."""
        version = self.data["version"]
        if version is None:
            raise PhantomError(
                f"Dataset {self.name!r} is {self.data['state']}: it has no images yet.", hint="Wait for its import."
            )
        return dict(version)

    @property
    def classes(self) -> list[str]:
        return list(self.version["classes"])

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images by class and split: {"glioma": {"train": 28, "val": 4, "test": 8}, ...}."""
        return dict(self.version["counts"])

    @property
    def num_images(self) -> int:
        return int(self.version["num_images"])

    @property
    def health(self) -> Health:
        """Sizes, modes, duplicates, class balance and refused files, as measured by the studio."""
        return Health(self._transport.get(f"/api/v1/datasets/{self.id}/health"))

    def split(self, name: str) -> DatasetSplit:
        """The split `name`: train, val or test."""
        if name not in ("train", "val", "test"):
            raise PhantomError(f"There is no split {name!r}.", hint="Use train, val or test.")
        return DatasetSplit(self, name)

    def images(self, *, split: str | None = None, label: str | None = None, limit: int | None = None) -> list[ImageRef]:
        """Images, oldest first; of one split or class if given."""
        found = self._transport.pages(f"/api/v1/datasets/{self.id}/images", limit=limit, split=split, label=label)
        return [_image(raw) for raw in found]

    def refused(self) -> list[dict[str, Any]]:
        """The files that were uploaded and are not in the dataset: {path, kind, reason}."""
        return list(self._transport.pages(f"/api/v1/datasets/{self.id}/refused"))

    def delete(self) -> None:
        self._transport.send("DELETE", f"/api/v1/datasets/{self.id}", again=False)


def _image(raw: dict[str, Any]) -> ImageRef:
    return ImageRef(raw["id"], raw["path"], raw["label"], raw["split"], raw["width"], raw["height"], raw)


class Datasets:
    """`studio.datasets`."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._transport = studio.transport

    def __iter__(self) -> Iterator[Dataset]:
        return (Dataset(self._transport, data) for data in self._transport.pages("/api/v1/datasets"))

    def list(self) -> list[Dataset]:
        """All datasets, newest first."""
        return [*self]

    def get(self, which: int | str) -> Dataset:
        """A dataset by id or by name."""
        if isinstance(which, int):
            return Dataset(self._transport, self._transport.get(f"/api/v1/datasets/{which}"))
        found = self._transport.get("/api/v1/datasets", name=which)["items"]
        if not found:
            raise PhantomError(
                f"There is no dataset named {which!r}.", hint="studio.datasets.list() shows those there are."
            )
        return Dataset(self._transport, found[0])

    def upload(self, path: str | Path, *, name: str, progress: bool = True, **options: Any) -> Dataset:
        """Upload a folder or an archive (zip, tar, tar.gz), import it, and return it when it is ready.

        options: seed, train_percent, val_percent, keep_layout_splits, as the REST API's import takes them.

        Raises NameTaken before anything is sent, JobFailed if the import fails.
        """
        self._check_name(name)
        return self.start_import(self.send(path), name=name, **options).wait(progress=progress)

    def send(self, path: str | Path) -> dict[str, Any]:
        """Send the files only; returns the upload, whose plan can be looked at before it is imported."""
        path = Path(path).expanduser()
        if not path.exists():
            raise PhantomError(
                f"There is no file or folder {path}.", hint="Give the folder of your classes, or a zip or tar of it."
            )
        kind = "folder" if path.is_dir() else "archive"
        upload: dict[str, Any] = self._transport.post("/api/v1/uploads", {"kind": kind, "name": path.resolve().name})
        if kind == "folder":
            self._send_folder(upload["id"], path)
        else:
            self._send_archive(upload["id"], path)
        return dict(self._transport.get(f"/api/v1/uploads/{upload['id']}"))

    def plan(self, upload: dict[str, Any]) -> dict[str, Any]:
        """What an import of the upload would make: layout, classes, counts, ignored files with reasons, warnings."""
        return dict(self._transport.get(f"/api/v1/uploads/{upload['id']}/plan"))

    def start_import(self, upload: dict[str, Any], *, name: str, **options: Any) -> Job[Dataset]:
        """Import an upload; its plan is made first, so that what cannot be imported is said at once."""
        self.plan(upload)
        headers = {"Idempotency-Key": uuid.uuid4().hex}  # so that it may be sent again when a connection breaks
        data = self._transport.post(
            f"/api/v1/uploads/{upload['id']}/import", {"name": name, **options}, headers=headers
        )
        return Job(self._transport, data, lambda made: self.get(int(made["dataset_id"])))

    def _check_name(self, name: str) -> None:
        found = self._transport.get("/api/v1/datasets", name=name)["items"]
        for taken in (each for each in found if each["state"] != "failed"):  # a failed import gives its name up
            raise NameTaken(
                f"There is a dataset named {name!r} already (dataset {taken['id']}).",
                hint=f"Use it with studio.datasets.get({name!r}), delete it, or choose another name.",
            )

    def _send_folder(self, upload_id: int, folder: Path) -> None:
        files = sorted(_files(folder))
        if not files:
            raise PhantomError(
                f"The folder {folder} holds no files.", hint="Give the folder that holds your class folders."
            )
        for batch in _batches(files):
            with ExitStack() as opened:
                parts = [
                    (
                        "files",
                        (
                            f"{folder.resolve().name}/{file.relative_to(folder).as_posix()}",
                            opened.enter_context(file.open("rb")),
                        ),
                    )
                    for file in batch
                ]
                self._transport.send("POST", f"/api/v1/uploads/{upload_id}/files", files=parts, again=False)

    def _send_archive(self, upload_id: int, path: Path) -> None:
        """Send the archive in pieces; after a broken connection ask how much arrived and go on from there."""
        size, offset, tries = path.stat().st_size, 0, 0
        with path.open("rb") as source:
            while offset < size:
                source.seek(offset)
                try:
                    offset = self._send_piece(upload_id, offset, source.read(PIECE_BYTES))
                    tries = 0
                except (StudioUnreachable, ProblemError) as error:
                    tries += 1
                    if tries > PIECE_TRIES or (isinstance(error, ProblemError) and error.status != 409):
                        raise
                    time.sleep(min(0.2 * 2**tries, 5.0))
                    offset = self._offset(upload_id)

    def _send_piece(self, upload_id: int, offset: int, piece: bytes) -> int:
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        response = self._transport.send("PATCH", _content(upload_id), content=piece, headers=headers, again=False)
        return int(response.headers["Upload-Offset"])

    def _offset(self, upload_id: int) -> int:
        response = self._transport.send("HEAD", _content(upload_id), headers={"Tus-Resumable": "1.0.0"}, again=True)
        return int(response.headers["Upload-Offset"])


def _content(upload_id: int) -> str:
    return f"/api/v1/uploads/{upload_id}/content"


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below `folder`; links are left out, so nothing outside it is sent."""
    for root, _, names in os.walk(folder, followlinks=False):
        for name in names:
            file = Path(root, name)
            if stat.S_ISREG(file.lstat().st_mode):
                yield file


def _batches(files: list[Path]) -> Iterator[list[Path]]:
    """Cut into batches of at most BATCH_FILES files and, unless one file alone is larger, BATCH_BYTES bytes."""
    batch: list[Path] = []
    num_bytes = 0
    for file in files:
        size = file.stat().st_size
        if batch and (len(batch) == BATCH_FILES or num_bytes + size > BATCH_BYTES):
            yield batch
            batch, num_bytes = [], 0
        batch.append(file)
        num_bytes += size
    if batch:
        yield batch
