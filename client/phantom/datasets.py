"""Datasets: real labelled images in the studio, and how they get there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from phantom.errors import JobFailed, NameTaken, PhantomError
from phantom.health import Health
from phantom.jobs import Job
from phantom.progress import Progress
from phantom.sending import ArchiveSender, FolderSender
from phantom.transport import Transport

CARD_FILES = ("card.md", "croissant.json", "manifest.csv")


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
class Overlap:
    """Images of another dataset that are also in this one. `raw` is what the studio says of it."""

    raw: dict[str, Any] = field(repr=False)

    @property
    def identical(self) -> int:
        """With the same pixels."""
        return int(self.raw["identical"])

    @property
    def near(self) -> int:
        """The same picture: re-encoded, resized, brighter; identical ones included."""
        return int(self.raw["near"])

    @property
    def mirrored(self) -> int:
        """Found as mirror images only."""
        return int(self.raw["mirrored"])

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """The first 1,000: image (of this dataset), other, kind, agreement."""
        return list(self.raw["pairs"])

    def __repr__(self) -> str:
        return f"<Overlap: {self.identical} identical, {self.near} near, {self.mirrored} mirrored of {self.raw['num_other']}>"


@dataclass(frozen=True)
class DatasetSplit:
    """The training, validation or test images of a dataset."""

    dataset: Dataset
    name: str

    @property
    def num_images(self) -> int:
        return sum(splits.get(self.name, 0) for splits in self.dataset.counts.values())

    def images(self, *, limit: int | None = None, label: str | None = None) -> list[ImageRef]:
        """The first `limit` images, all if not given; of one class if `label` is given.

        Each call for test images is counted as a look at them.
        """
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
        """The current version; PhantomError while there is none."""
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
        """Findings, the worst first, and what they rest on: sizes, copies, leaks, baselines and more."""
        return Health(self._transport.get(f"/api/v1/datasets/{self.id}/health"))

    def check(self) -> Job[Dataset]:
        """Look through the current version again; `health` tells what was found."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"kind": "check_dataset", "dataset_id": self.id}
        data = self._transport.post("/api/v1/jobs", body, headers=headers)
        return Job(self._transport, data, lambda _: self._anew())

    @property
    def card(self) -> dict[str, Any]:
        """What a person says of the current version's images (`text`), and what is measured of them (`facts`)."""
        return dict(self._transport.get(f"/api/v1/datasets/{self.id}/card"))

    def describe(self, **text: str) -> dict[str, Any]:
        """Write on the card: source, licence, consent, population, acquisition, known_problems, contact, citation.

        What is not named stays. It makes no new version.
        """
        body = {**self.card["text"], **text}
        return dict(self._transport.send("PUT", f"/api/v1/datasets/{self.id}/card", json=body, again=True).json())

    def download_card(self, folder: str | Path) -> list[Path]:
        """Write card.md, croissant.json (MLCommons) and the manifest.csv that it describes into `folder`."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        version = {"version": self.card["version"]}  # one for all three, whatever is changed meanwhile
        for name in CARD_FILES:
            found = self._transport.send("GET", f"/api/v1/datasets/{self.id}/{name}", again=True, params=version)
            (target / name).write_bytes(found.content)
        return [target / name for name in CARD_FILES]

    def _anew(self) -> Dataset:
        return Dataset(self._transport, self._transport.get(f"/api/v1/datasets/{self.id}"))

    def split(self, name: str) -> DatasetSplit:
        """The split `name`: train, val or test."""
        if name not in ("train", "val", "test"):
            raise PhantomError(f"There is no split {name!r}.", hint="Use train, val or test.")
        return DatasetSplit(self, name)

    def images(self, *, split: str | None = None, label: str | None = None, limit: int | None = None) -> list[ImageRef]:
        """Images, by path; of one split or class if given. Asking for test images is counted as a look at them."""
        opening = self._open_test_images(limit) if split == "test" else None
        found = self._transport.pages(
            f"/api/v1/datasets/{self.id}/images", limit=limit, split=split, label=label, opening=opening
        )
        return [_image(raw) for raw in found]

    def _open_test_images(self, limit: int | None) -> int:
        asked = {"kind": "listing", "num_images": limit}
        return int(self._transport.post(f"/api/v1/datasets/{self.id}/openings", asked)["id"])

    @property
    def versions(self) -> list[dict[str, Any]]:
        """All versions, newest first: number, change, counts, leaks, manifest_sha256, is_current."""
        return list(self._transport.get(f"/api/v1/datasets/{self.id}/versions")["items"])

    @property
    def leaks(self) -> dict[str, int] | None:
        """Patients, identical pictures and look-alikes that stand in several splits; None while nobody has looked."""
        found: dict[str, int] | None = self._transport.get(f"/api/v1/datasets/{self.id}/leaks")["counts"]
        return found

    @property
    def openings(self) -> dict[str, Any]:
        """The lock of the test images, how often they were looked at, and each look."""
        return dict(self._transport.get(f"/api/v1/datasets/{self.id}/openings"))

    def change(self, action: str, **options: Any) -> Dataset:
        """Make a new version, or go back to an old one; this dataset then shows it.

        action: exclude, relabel, move (each with image_ids), resplit, mend_leaks, thin, restore (with number); options as the
        REST API takes them.
        """
        self._transport.post(f"/api/v1/datasets/{self.id}/versions", {"action": action, **options})
        self.data = self._transport.get(f"/api/v1/datasets/{self.id}")
        return self

    def add(
        self,
        path: str | PurePath,
        *,
        on_server: bool = False,
        group_by: str | None = None,
        group_pattern: str | None = None,
        label_by: str | None = None,
        progress: bool = True,
        **options: Any,
    ) -> Dataset:
        """Upload a folder or an archive, and add its images: a new version, which this dataset then shows.

        Options as in `studio.datasets.upload`. on_server: `path` lies on the server; nothing is sent. Images that are there
        already are left out; what belongs to one of them (patient, copy, look-alike) stands in its split, and the others are dealt.

        Raises JobFailed, and leaves the dataset as it was, if nothing is new.
        """
        options |= _given(group_by=group_by, group_pattern=group_pattern, label_by=label_by)
        datasets = Datasets(self._transport)
        upload = datasets.name_on_server(path) if on_server else datasets.send(Path(path), progress=progress)
        job = datasets.start_import(upload, dataset_id=self.id, **options)
        self.data = datasets.when_checked(job, progress=progress).data
        return self

    def difference(self, before: int, after: int) -> dict[str, Any]:
        """What differs between two versions, by their numbers: counts, and items with path, what, before, after."""
        return dict(self._transport.get(f"/api/v1/datasets/{self.id}/difference", before=before, after=after))

    def duplicates(self, *, span: str | None = None) -> Iterator[dict[str, Any]]:
        """Groups of identical pictures and look-alikes; span: "splits" or "classes" for those that span several."""
        after: int | None = 0
        while after is not None:
            page = self._transport.get(f"/api/v1/datasets/{self.id}/duplicates", span=span, after=after)
            yield from page["items"]
            after = page["next_after"]

    def tell_apart(self, group: int) -> None:
        """Remember that the look-alikes of a group are different pictures."""
        self._transport.post(f"/api/v1/datasets/{self.id}/duplicates/{group}/tell-apart", {})

    def overlap(self, other: Dataset) -> Overlap:
        """Images of `other` that are also in this dataset. Do this before testing on `other`."""
        return Overlap(self._transport.post(f"/api/v1/datasets/{self.id}/overlap", {"other_dataset_id": other.id}))

    def refused(self) -> list[dict[str, Any]]:
        """The files that were uploaded and are not in the dataset: {path, kind, reason}."""
        return list(self._transport.pages(f"/api/v1/datasets/{self.id}/refused"))

    def delete(self) -> None:
        self._transport.send("DELETE", f"/api/v1/datasets/{self.id}", again=False)


def _image(raw: dict[str, Any]) -> ImageRef:
    return ImageRef(raw["id"], raw["path"], raw["label"], raw["split"], raw["width"], raw["height"], raw)


class Datasets:
    """`studio.datasets`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

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

    def upload(
        self,
        path: str | Path,
        *,
        name: str,
        group_by: str | None = None,
        group_pattern: str | None = None,
        label_by: str | None = None,
        progress: bool = True,
        **options: Any,
    ) -> Dataset:
        """Upload a folder or an archive (zip, tar, tar.gz, npz), import it, and return it when it is ready.

        group_by: column of the upload's table that says which images are of one patient; or group_pattern: a regular
        expression over the paths, whose first group says it, such as r"(person\\d+)". label_by: column of the class.
        options: seed, train_percent, val_percent, keep_layout_splits, split_by, scaling, slice_axis and what else the REST API's
        import takes.

        Raises NameTaken before anything is sent, JobFailed if the import fails.
        """
        options |= _given(group_by=group_by, group_pattern=group_pattern, label_by=label_by)
        self._check_name(name)
        return self.when_checked(
            self.start_import(self.send(path, progress=progress), name=name, **options), progress=progress
        )

    def upload_server_folder(
        self,
        path: str | PurePath,
        *,
        name: str,
        group_by: str | None = None,
        group_pattern: str | None = None,
        label_by: str | None = None,
        progress: bool = True,
        **options: Any,
    ) -> Dataset:
        """Import a folder or an archive that lies on the server already, by its path there; nothing is sent.

        It must be in one of the folders that the studio's PHANTOM_IMPORT_ROOTS allows. Options as in `upload`.
        """
        options |= _given(group_by=group_by, group_pattern=group_pattern, label_by=label_by)
        self._check_name(name)
        return self.when_checked(self.start_import(self.name_on_server(path), name=name, **options), progress=progress)

    def when_checked(self, job: Job[Dataset], *, progress: bool = True) -> Dataset:
        """The dataset of an import once its check has ended, too; a check that failed is told by `data.health`."""
        data = job.wait(progress=progress)
        check = self._transport.get(f"/api/v1/jobs/{job.data['result']['check_job_id']}")
        with suppress(JobFailed):
            Job(self._transport, check, lambda _: data).wait(progress=progress)
        return data

    def name_on_server(self, path: str | PurePath) -> dict[str, Any]:
        """An upload of what lies on the server, below PHANTOM_IMPORT_ROOTS; nothing is sent."""
        return dict(self._transport.post("/api/v1/uploads", {"kind": "server", "path": str(path)}))

    def send(self, path: str | Path, *, progress: bool = True) -> dict[str, Any]:
        """Send the files only; returns the upload, whose plan can be looked at before it is imported.

        Of a folder that was sent before and not imported, also in part, only what is missing or has changed is sent.
        """
        path = Path(path).expanduser()
        if not path.exists():
            raise PhantomError(
                f"There is no file or folder {path}.", hint="Give the folder of your classes, or a zip or tar of it."
            )
        kind = "folder" if path.is_dir() else "archive"
        upload: dict[str, Any] = self._transport.post("/api/v1/uploads", {"kind": kind, "name": path.resolve().name})
        with Progress(path.name, quiet=not progress) as shown:
            if kind == "folder":
                FolderSender(self._transport, upload["id"], path).send(shown)
            else:
                ArchiveSender(self._transport, upload["id"], path).send()
        return dict(self._transport.get(f"/api/v1/uploads/{upload['id']}"))

    def plan(self, upload: dict[str, Any], **options: Any) -> dict[str, Any]:
        """What an import of the upload would make: layout, classes, counts, ignored files with reasons, warnings.

        With options (group_by, group_pattern, label_by, classes_from) as they would have it, and with examples of
        groups under `grouped` and `ungrouped`.
        """
        path = f"/api/v1/uploads/{upload['id']}/plan"
        return dict(self._transport.post(path, options) if options else self._transport.get(path))

    def start_import(self, upload: dict[str, Any], **options: Any) -> Job[Dataset]:
        """Import an upload as the dataset `name`, or into that of the id `dataset_id`; further options as in `upload`.

        Its plan is made first, so that what cannot be imported is said at once.
        """
        self.plan(upload)
        headers = {"Idempotency-Key": uuid.uuid4().hex}  # so that it may be sent again when a connection breaks
        data = self._transport.post(f"/api/v1/uploads/{upload['id']}/import", options, headers=headers)
        return Job(self._transport, data, lambda made: self.get(int(made["dataset_id"])))

    def _check_name(self, name: str) -> None:
        found = self._transport.get("/api/v1/datasets", name=name)["items"]
        for taken in (each for each in found if each["state"] != "failed"):  # a failed import gives its name up
            raise NameTaken(
                f"There is a dataset named {name!r} already (dataset {taken['id']}).",
                hint=f"Use it with studio.datasets.get({name!r}), delete it, or choose another name.",
            )


def _given(**options: str | None) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
