"""`Studio`: the one object that a script needs.

Every method that starts work returns a Job at once. Options that a method does not name are passed on as they
are; the studio checks them against the spec of the job's kind (docs/rest.md) and refuses what it does not know.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from phantom.datasets import Dataset, Datasets, DatasetSplit, ImageRef, UploadedImage
from phantom.errors import PhantomError
from phantom.jobs import Job
from phantom.results import Audit, Checkpoint, Classifier, Collection, Evaluation, Explanation, Result, SyntheticSet
from phantom.studies import Study, external_tests, launch
from phantom.transport import Transport

Explained = ImageRef | UploadedImage | str | Path
# job kind: the key of its result, the collection in which it is, its class
_MADE: dict[str, tuple[str, str, Callable[[Transport, dict[str, Any]], Any]]] = {
    "import_dataset": ("dataset_id", "datasets", Dataset),
    "check_dataset": ("dataset_id", "datasets", Dataset),
    "train_diffusion": ("checkpoint_id", "checkpoints", Checkpoint),
    "sample": ("synthetic_set_id", "synthetic-sets", SyntheticSet),
    "train_classifier": ("classifier_id", "classifiers", Classifier),
    "evaluate": ("evaluation_id", "evaluations", Evaluation),
    "audit_set": ("audit_id", "audits", Audit),
    "explain": ("explanation_id", "explanations", Explanation),
}


class Studio:
    """A studio at PHANTOM_URL (http://127.0.0.1:8000 if not set), with the API token PHANTOM_TOKEN."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self.transport = Transport(url, token)
        self.datasets = Datasets(self.transport)
        self.checkpoints = Collection(self.transport, "/api/v1/checkpoints", Checkpoint)
        self.synthetic_sets = Collection(self.transport, "/api/v1/synthetic-sets", SyntheticSet)
        self.audits = Collection(self.transport, "/api/v1/audits", Audit)
        self.classifiers = Collection(self.transport, "/api/v1/classifiers", Classifier)
        self.evaluations = Collection(self.transport, "/api/v1/evaluations", Evaluation)
        self.studies = Collection(self.transport, "/api/v1/studies", Study)
        self.explanations = Collection(self.transport, "/api/v1/explanations", Explanation)

    def __enter__(self) -> Studio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.transport.close()

    def train_diffusion(
        self, data: Dataset, *, preset: str = "small", image_size: int | None = None, num_steps: int | None = None,
        seed: int = 0, **options: Any,
    ) -> Job[Checkpoint]:  # fmt: skip
        """Train a class-conditional diffusion network on the training split of `data`.

        preset: tiny, small, base or large; image_size in pixels and num_steps are the preset's if not given.
        """
        return self.submit(
            "train_diffusion",
            dataset_id=data.id,
            preset=preset,
            image_size=image_size,
            num_steps=num_steps,
            seed=seed,
            **options,
        )

    def sample(
        self, checkpoint: Checkpoint, *, per_class: int | None = None, counts: dict[str, int] | None = None,
        seed: int = 0, **options: Any,
    ) -> Job[SyntheticSet]:  # fmt: skip
        """Draw images: `per_class` of every class, or `counts` by class name."""
        return self.submit(
            "sample", checkpoint_id=checkpoint.id, per_class=per_class, counts=counts, seed=seed, **options
        )

    def audit(self, synthetic: SyntheticSet, *, drop_copies: bool = True, **options: Any) -> Job[Audit]:
        """Ask how near the images come to real ones, and whether they give training images away.

        `audit.filtered` is then the set without the copies, unless drop_copies is False or there are none.
        """
        return self.submit("audit_set", synthetic_set_id=synthetic.id, drop_copies=drop_copies, **options)

    def train_classifier(
        self, images: Dataset | SyntheticSet | None = None, *, both: tuple[Dataset, SyntheticSet] | None = None,
        architecture: str = "tf_efficientnet_lite0", epochs: int | None = None, seed: int = 0, **options: Any,
    ) -> Job[Classifier]:  # fmt: skip
        """Train a classifier on a dataset, on a synthetic set, or on `both=(dataset, synthetic_set)`.

        The best epoch is chosen on real validation images in any case: those of the dataset that the synthetic
        set comes from, unless `dataset_id` names another.
        """
        source = _trained_on(images, both, options)
        return self.submit(
            "train_classifier", architecture=architecture, epochs=epochs, seed=seed, **{**source, **options}
        )

    def study(
        self, data: Dataset, *, preset: str = "studio", architectures: Sequence[str] | None = None, arms: Sequence[str] | None = None,
        seeds: Sequence[int] = (0, 1, 2), sizes: Sequence[float] = (1,), external: Mapping[str, Any] | None = None,
        diffusion: Mapping[str, Any] | None = None, sampling: Mapping[str, Any] | None = None,
        classifier: Mapping[str, Any] | None = None, **options: Any,
    ) -> Study:  # fmt: skip
        """Ask whether synthetic images can stand in for those of `data`: every arm, network, size and seed in one table.

        external: {name: dataset} or {name: (dataset, class_map)}, tested on as well. diffusion, sampling, classifier: options
        of those jobs; explanations: of LIME, as a dict, or None for none. Returns at once; `wait()` waits for the table.
        """
        asked = {
            "dataset_id": data.id, "preset": preset, "architectures": architectures, "arms": arms, "seeds": list(seeds),
            "sizes": list(sizes), "external": external_tests(external or {}), "diffusion": dict(diffusion or {}),
            "sampling": dict(sampling or {}), "classifier": dict(classifier or {}),
        }  # fmt: skip
        return launch(self.transport, {name: value for name, value in asked.items() if value is not None} | options)

    def evaluate(
        self, classifier: Classifier, images: Dataset | DatasetSplit | SyntheticSet | None = None, **options: Any
    ) -> Job[Evaluation]:
        """Test a classifier on a split of real images (a dataset's test split, if none is named) or on a synthetic set; on the
        test split of its own dataset if nothing is given. class_map: {class of the dataset: class of the classifier}.
        """
        if isinstance(images, DatasetSplit):
            options |= {"dataset_id": images.dataset.id, "split": images.name}
        elif isinstance(images, SyntheticSet):
            options |= {"synthetic_set_id": images.id}
        elif images is not None:
            options |= {"dataset_id": images.id}
        return self.submit("evaluate", classifier_id=classifier.id, **options)

    def explain(
        self,
        classifier: Classifier,
        images: Sequence[Explained],
        *,
        num_samples: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Job[Explanation]:
        """Explain what a classifier sees in images of a dataset, or in image files of yours, by LIME."""
        uploaded = [image if isinstance(image, UploadedImage) else self.upload_image(image)
                    for image in images if not isinstance(image, ImageRef)]  # fmt: skip
        return self.submit(
            "explain", classifier_id=classifier.id, image_ids=[image.id for image in images if isinstance(image, ImageRef)],
            uploaded_image_ids=[image.id for image in uploaded], num_samples=num_samples, seed=seed, **options,
        )  # fmt: skip

    def upload_image(self, path: str | Path) -> UploadedImage:
        """Upload one image that belongs to no dataset, to be explained."""
        path = Path(path)
        if not path.is_file():
            raise PhantomError(f"There is no file {path}.")
        with path.open("rb") as file:
            sent = self.transport.send(
                "POST", "/api/v1/uploaded-images", files={"file": (path.name, file)}, again=False
            ).json()
        return UploadedImage(sent["id"], sent["name"])

    def submit(self, kind: str, **options: Any) -> Job[Any]:
        """Ask for a job of any kind, with the options of its spec; options that are None are left out."""
        body = {"kind": kind, **{name: value for name, value in options.items() if value is not None}}
        return self._job(self.transport.post("/api/v1/jobs", body, headers={"Idempotency-Key": uuid.uuid4().hex}))

    def estimate(self, kind: str, **options: Any) -> dict[str, Any]:
        """What such a job would take: seconds_low, seconds_high, memory_bytes, disk_bytes, basis."""
        body = {"kind": kind, **{name: value for name, value in options.items() if value is not None}}
        return dict(self.transport.post("/api/v1/jobs/estimate", body))

    def job(self, job_id: int) -> Job[Any]:
        """A job by its id: to go on waiting for it, for example."""
        return self._job(self.transport.get(f"/api/v1/jobs/{job_id}"))

    def jobs(
        self, *, kind: str | None = None, state: str | None = None, limit: int | None = None
    ) -> Iterator[Job[Any]]:
        """Jobs, newest first."""
        return (self._job(data) for data in self.transport.pages("/api/v1/jobs", kind=kind, state=state, limit=limit))

    def _job(self, data: dict[str, Any]) -> Job[Any]:
        if data["kind"] not in _MADE:  # parts and tables of studies: what they made is the result itself
            return Job(self.transport, data, dict)
        key, collection, kind = _MADE[data["kind"]]

        def made(result: dict[str, Any]) -> Dataset | Result:
            row: Dataset | Result = kind(self.transport, self.transport.get(f"/api/v1/{collection}/{result[key]}"))
            return row

        return Job(self.transport, data, made)


def _trained_on(
    images: Dataset | SyntheticSet | None, both: tuple[Dataset, SyntheticSet] | None, options: dict[str, Any]
) -> dict[str, Any]:
    """The part of the spec that says which images are learnt from."""
    if (images is None) == (both is None):
        raise PhantomError("Say what to train on: a dataset, a synthetic set, or both=(dataset, synthetic_set).")
    if both is not None:
        return {"dataset_id": both[0].id, "synthetic_set_id": both[1].id, "train_on": "both"}
    if isinstance(images, Dataset):
        return {"dataset_id": images.id, "train_on": "real"}
    assert images is not None
    dataset_id = options.get("dataset_id", images.data["dataset_id"])
    if dataset_id is None:
        raise PhantomError(
            f"Synthetic set {images.id} comes from no dataset of this studio, so there are no real images to choose the best epoch on.",
            hint="Give dataset_id=..., a dataset with the same classes.",
        )
    return {"dataset_id": dataset_id, "synthetic_set_id": images.id, "train_on": "synthetic"}
