"""What jobs make: checkpoints, synthetic sets, classifiers, evaluations, explanations."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from phantom.gate import Gate, Light
from phantom.transport import Transport
from phantom.unpack import download_into

CHUNK = 1 << 16


class Result:
    """Something that a job made. `data` is what the studio says of it, complete."""

    def __init__(self, transport: Transport, data: dict[str, Any]) -> None:
        self._transport = transport
        self.data = data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.data.get('name', '')!r}>"

    @property
    def id(self) -> int:
        return int(self.data["id"])

    @property
    def url(self) -> str:
        """Its page in the browser."""
        return self._transport.url + str(self.data["url"])

    @property
    def classes(self) -> list[str]:
        return list(self.data["classes"])

    def _download_folder(self, folder: str | Path) -> list[Path]:
        """Unpack its download into `folder`; every file is checked against the manifest."""
        with self._transport.stream(self.data["download_url"]) as response:
            return download_into(Path(folder), response.iter_bytes(CHUNK))


R = TypeVar("R", bound=Result)


class Collection(Generic[R]):
    """All results of one kind: `studio.checkpoints`, `studio.classifiers` ..."""

    def __init__(self, transport: Transport, path: str, kind: Callable[[Transport, dict[str, Any]], R]) -> None:
        self._transport = transport
        self._path = path
        self._kind = kind

    def __iter__(self) -> Iterator[R]:
        return iter(self.list())

    def get(self, result_id: int) -> R:
        """One, by its id."""
        return self._kind(self._transport, self._transport.get(f"{self._path}/{result_id}"))

    def list(self, *, limit: int | None = None, **filters: Any) -> builtins.list[R]:
        """The newest `limit`, all if not given; filters as the REST API takes them (dataset_id, classifier_id ...)."""
        return [self._kind(self._transport, data) for data in self._transport.pages(self._path, limit=limit, **filters)]


class Checkpoint(Result):
    """A diffusion network that can draw."""

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def image_size(self) -> int:
        """Side of the images it draws, pixels."""
        return int(self.data["image_size"])

    @property
    def guarantee(self) -> dict[str, Any] | None:
        """Differential privacy of its training: epsilon, delta and what they follow from; None: none was asked for."""
        found = self.data["guarantee"]
        return dict(found) if found is not None else None

    @property
    def copy_watch(self) -> dict[str, Any] | None:
        """Of a training with stop_on_copies: a sentence, the step at which it stopped (None: it went through), every check, the floor."""
        found = self.data["copy_watch"]
        return dict(found) if found is not None else None

    def download(self, folder: str | Path) -> list[Path]:
        """Save network.safetensors, config.json and a card; returns the files written."""
        return self._download_folder(folder)


class SyntheticSet(Result):
    """Images that a checkpoint drew."""

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.data["counts"])

    @property
    def num_images(self) -> int:
        return int(self.data["num_images"])

    def images(
        self, *, label: str | None = None, mark: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Its images: {id, index, label, seed, mark, sha256, url}."""
        return list(
            self._transport.pages(f"/api/v1/synthetic-sets/{self.id}/images", limit=limit, label=label, mark=mark)
        )

    def download(self, folder: str | Path) -> list[Path]:
        """Save as class folders with metadata.jsonl, a card and gate.json; returns the files written."""
        return self._download_folder(folder)

    @property
    def gate(self) -> Gate:
        """The release gate as it stands now: the verdict and its four lights."""
        return Gate(self._transport.get(f"/api/v1/synthetic-sets/{self.id}/gate"))

    def release(self, reason: str) -> Gate:
        """Release it against its lights. Your name, the reason (10 characters at least) and the lights stay in the audit trail."""
        return Gate(self._transport.post(f"/api/v1/synthetic-sets/{self.id}/release", {"reason": reason}))

    def withdraw_release(self) -> Gate:
        """Take the release back."""
        path = f"/api/v1/synthetic-sets/{self.id}/release"
        return Gate(self._transport.send("DELETE", path, again=False).json())

    @property
    def filtered_from_id(self) -> int | None:
        """The set that this one is without its copies; None: it was drawn."""
        source: int | None = self.data["filtered_from_id"]
        return source


class Audit(Result):
    """How near a synthetic set comes to real images, and what it gives away of those that were learnt."""

    def __repr__(self) -> str:
        return f"<Audit {self.id}: {', '.join(f'{light.name} {light.state}' for light in self.lights)}>"

    @property
    def lights(self) -> list[Light]:
        return [Light(each["name"], each["state"], each["sentence"]) for each in self.data["lights"]]

    @property
    def fidelity(self) -> dict[str, Any]:
        """KID and the others by extractor, whole and by class, each with interval, n and floor; MS-SSIM."""
        return dict(self.data["fidelity"])

    @property
    def privacy(self) -> dict[str, Any]:
        """Copies, memorised images, authenticity, power and membership."""
        return dict(self.data["privacy"])

    @property
    def num_flagged(self) -> int | None:
        """Images flagged as copies; None: too few held-out images to say."""
        number: int | None = self.data["num_flagged"]
        return number

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """Synthetic images beside the training images that they are nearest to: every flagged one, and the nearest others."""
        return list(self._transport.pages(f"/api/v1/audits/{self.id}/pairs"))

    @property
    def filtered(self) -> SyntheticSet:
        """The set to train on: without the copies, or the audited one where none were left out."""
        path = f"/api/v1/synthetic-sets/{self.data['set_to_train_on_id']}"
        return SyntheticSet(self._transport, self._transport.get(path))


class Classifier(Result):
    """A CNN trained on real, synthetic or both kinds of images."""

    @property
    def name(self) -> str:
        return str(self.data["name"])

    @property
    def architecture(self) -> str:
        return str(self.data["architecture"])

    @property
    def val_balanced_accuracy(self) -> float:
        """Of the best epoch, on real validation images."""
        return float(self.data["val_balanced_accuracy"])

    def download(self, folder: str | Path) -> list[Path]:
        """Save network.safetensors, config.json and a card; returns the files written."""
        return self._download_folder(folder)


class Interval(NamedTuple):
    """A figure with the bounds of its bootstrap interval; None where it cannot be computed."""

    value: float | None
    low: float | None
    high: float | None


class Evaluation(Result):
    """A classifier tested on one split of real images. `report` holds every figure."""

    def __repr__(self) -> str:
        return f"<Evaluation {self.id}: accuracy {_text(self.metric('accuracy'))} on {self.num_images} images>"

    @property
    def report(self) -> dict[str, Any]:
        return dict(self.data["report"])

    @property
    def num_images(self) -> int:
        return int(self.data["num_images"])

    @property
    def accuracy(self) -> float | None:
        return self.metric("accuracy").value

    @property
    def leaks(self) -> dict[str, int] | None:
        """Tested images that training had seen: patients, identical, near. None while nobody has looked."""
        found: dict[str, int] | None = self.data["leaks"]
        return found

    @property
    def num_openings(self) -> int | None:
        """How often the test images of the dataset were looked at so far; None for other splits."""
        number: int | None = self.data["num_openings"]
        return number

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean recall over the classes that occur in the test images."""
        return self.metric("balanced_accuracy").value

    @property
    def confusion_matrix(self) -> list[list[int]]:
        """Counts [true][predicted], in the order of `classes`."""
        return [list(row) for row in self.report["confusion_matrix"]]

    @property
    def intervals(self) -> dict[str, Interval]:
        """Every metric of the whole split by name, with its interval."""
        return {
            name: Interval(entry["value"], entry["low"], entry["high"])
            for name, entry in self.report.items()
            if isinstance(entry, dict) and {"value", "low", "high"} <= entry.keys()
        }

    def metric(self, name: str) -> Interval:
        """One of `intervals`."""
        return self.intervals[name]

    def predictions(
        self, *, label: str | None = None, predicted: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """What was predicted, image by image; of one row, column or cell of the confusion matrix if given."""
        path = f"/api/v1/evaluations/{self.id}/predictions"
        return list(self._transport.pages(path, limit=limit, label=label, predicted=predicted))


class Spread(NamedTuple):
    """A figure over the images for which it was measured."""

    num_images: int
    mean: float
    least: float
    greatest: float


class Explanation(Result):
    """What LIME says of a classifier on some images."""

    @property
    def items(self) -> list[dict[str, Any]]:
        """One for each image: prediction, the weight of each segment for each class, deletion and insertion curves, stability."""
        return list(self._transport.pages(f"/api/v1/explanations/{self.id}/items"))

    @property
    def summary(self) -> dict[str, Spread]:
        """What says whether to believe it, over the images: deletion_auc, insertion_auc, overlap, correlation, if measured."""
        return {name: Spread(**entry) for name, entry in self.data["summary"].items() if entry is not None}

    @property
    def deletion_auc(self) -> float | None:
        """Mean area under the deletion curves; the smaller, the better the regions were found. None: not measured."""
        return self._mean("deletion_auc")

    @property
    def insertion_auc(self) -> float | None:
        """Mean area under the insertion curves; the larger, the better. In random order it would equal the deletion's."""
        return self._mean("insertion_auc")

    @property
    def overlap(self) -> float | None:
        """Mean overlap of the strongest regions over seeds, 0 to 1. None unless asked for: `stability_seeds=3`."""
        return self._mean("overlap")

    @property
    def correlation(self) -> float | None:
        """Mean correlation of all weights over seeds, -1 to 1. None unless asked for: `stability_seeds=3`."""
        return self._mean("correlation")

    def _mean(self, name: str) -> float | None:
        return self.summary[name].mean if name in self.summary else None

    def download(self, folder: str | Path) -> list[Path]:
        """Save overlays, pictures, segment maps, weights, curves and stability; returns the files written."""
        return self._download_folder(folder)


def _text(interval: Interval) -> str:
    if interval.value is None:
        return "unknown"
    return f"{interval.value:.3f}" + (
        f" ({interval.low:.3f} to {interval.high:.3f})" if interval.low is not None else ""
    )
