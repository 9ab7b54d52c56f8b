"""What a person can ask of a classifier: its training, its test and its explanation."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from models.classifier import TrainOn
from models.job import JobKind
from models.specs.base import NUM_SEEDS, Seed, Spec, TrainShare, more


class TrainClassifierSpec(Spec):
    kind: Literal[JobKind.TRAIN_CLASSIFIER] = JobKind.TRAIN_CLASSIFIER
    dataset_id: Annotated[
        int | None,
        Field(
            description="Dataset of the real images: validation, and training where real; the synthetic set's if not given."
        ),
    ] = None
    version_id: Annotated[int | None, Field(description="Version of it.", json_schema_extra={"hidden": True})] = None
    train_on: Annotated[
        TrainOn, Field(description="Which images it learns from; synthetic if a synthetic set is given, else real.")
    ] = TrainOn.REAL
    synthetic_set_id: Annotated[int | None, Field(description="Synthetic set to learn from.")] = None
    architecture: Annotated[str, Field(min_length=1, max_length=100, description="Any timm architecture.")] = (
        "tf_efficientnet_lite0"
    )
    pretrained: Annotated[bool, Field(description="Start from ImageNet weights.")] = True
    epochs: Annotated[
        int,
        Field(ge=1, le=10_000, description="Passes over the training images.", json_schema_extra={"unit": "epochs"}),
    ] = 6
    seed: Seed = 0
    image_size: Annotated[
        int | None,
        Field(ge=8, le=1024, description="Resolution at which images are read; the synthetic set's, or input_size, if not given.",
              json_schema_extra=more(unit="px")),
    ] = None  # fmt: skip
    input_size: Annotated[
        int,
        Field(
            ge=32,
            le=1024,
            description="Side to which images are enlarged for the network.",
            json_schema_extra=more(unit="px"),
        ),
    ] = 96
    fit: Annotated[
        Literal["stretch", "crop", "pad"] | None,
        Field(description="How images that are not square become square; as the diffusion did, or pad, if not given.",
              json_schema_extra=more()),
    ] = None  # fmt: skip
    images_per_class: Annotated[
        int | None,
        Field(
            ge=1,
            description="Use at most so many training images of each class and source.",
            json_schema_extra=more(unit="images"),
        ),
    ] = None
    train_share: TrainShare = 1.0
    synthetic_share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Share of the synthetic images of each class that is used: the first ones.",
            json_schema_extra=more(),
        ),
    ] = 1.0
    steps_per_epoch: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="Steps in each epoch, for equal work on unequal data; as many as the images need if not given.",
            json_schema_extra=more(unit="steps"),
        ),
    ] = None
    batch_size: Annotated[
        int, Field(ge=2, le=4096, description="Images per step.", json_schema_extra=more(unit="images"))
    ] = 32
    lr: Annotated[float, Field(gt=0, le=1, description="Peak learning rate of AdamW.", json_schema_extra=more())] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1, description="AdamW weight decay.", json_schema_extra=more())] = (
        0.01
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="Label smoothing.", json_schema_extra=more())] = 0.1
    augment: Annotated[
        Literal["none", "light", "strong"],
        Field(
            description="Random shifts, crops and brightness; strong adds blur and contrast.", json_schema_extra=more()
        ),
    ] = "light"
    hflip: Annotated[bool, Field(description="Mirror left-right at random.", json_schema_extra=more())] = False
    vflip: Annotated[bool, Field(description="Mirror top-bottom at random.", json_schema_extra=more())] = False
    class_balanced: Annotated[bool, Field(description="Draw every class equally often.", json_schema_extra=more())] = (
        True
    )
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description="auto: bf16 on a GPU, fp32 on a CPU.", json_schema_extra=more()),
    ] = "auto"
    accept_leaks: Annotated[
        bool,
        Field(
            description="Go on although splits share patients or pictures; every figure made from it is marked.",
            json_schema_extra=more(),
        ),
    ] = False
    name: Annotated[
        str, Field(max_length=200, description="Name of the classifier; made up if empty.", json_schema_extra=more())
    ] = ""

    @model_validator(mode="before")
    @classmethod
    def choose_what_to_train_on(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("train_on") is None:
            source = TrainOn.REAL if given.get("synthetic_set_id") is None else TrainOn.SYNTHETIC
            return {**given, "train_on": source}
        return given

    @model_validator(mode="after")
    def has_its_images(self) -> "TrainClassifierSpec":
        if self.dataset_id is None and self.synthetic_set_id is None:
            raise ValueError("Neither dataset_id nor synthetic_set_id is given; name at least one.")
        if self.train_on != TrainOn.REAL and self.synthetic_set_id is None:
            raise ValueError(
                f"train_on is {self.train_on}, but no synthetic_set_id is given; name the set to learn from."
            )
        if self.train_on == TrainOn.REAL and self.synthetic_set_id is not None:
            raise ValueError("train_on is real, but a synthetic_set_id is given; set train_on to synthetic or both.")
        return self


class EvaluateSpec(Spec):
    kind: Literal[JobKind.EVALUATE] = JobKind.EVALUATE
    classifier_id: Annotated[int, Field(description="Classifier to test.")]
    dataset_id: Annotated[int | None, Field(description="Dataset to test on; the classifier's own if not given.")] = (
        None
    )
    version_id: Annotated[int | None, Field(description="Version of it.", json_schema_extra={"hidden": True})] = None
    split: Annotated[
        Literal["train", "val", "test", "all"], Field(description="Split of real images to test on; all of them: all.")
    ] = "test"
    synthetic_set_id: Annotated[
        int | None,
        Field(
            description="Synthetic set to test on instead of real images: are its labels faithful?",
            json_schema_extra=more(),
        ),
    ] = None
    class_map: Annotated[
        dict[str, str] | None,
        Field(
            description="Class of the classifier for each class of the dataset, where they differ; classes left out are not tested.",
            json_schema_extra={"hidden": True},
        ),
    ] = None
    accept_leaks: Annotated[
        bool,
        Field(
            description="Go on although test images are known from training; every figure made from it is marked.",
            json_schema_extra=more(),
        ),
    ] = False
    num_bootstrap: Annotated[
        int,
        Field(ge=100, le=100_000, description="Resamples for the intervals.", json_schema_extra=more(unit="resamples")),
    ] = 2000
    confidence: Annotated[
        float, Field(gt=0.5, lt=1, description="Coverage of the intervals.", json_schema_extra=more())
    ] = 0.95
    seed: Seed = 0
    batch_size: Annotated[
        int, Field(ge=1, le=4096, description="Images at once.", json_schema_extra=more(unit="images"))
    ] = 64

    @model_validator(mode="after")
    def tests_on_one_thing(self) -> "EvaluateSpec":
        if self.synthetic_set_id is not None and (self.dataset_id is not None or self.class_map is not None):
            raise ValueError("synthetic_set_id is given with dataset_id or class_map; test on one thing at a time.")
        return self


class ExplainOptions(Spec):
    """How LIME explains an image, whichever it is."""

    num_samples: Annotated[
        int,
        Field(ge=50, le=20_000, description="Perturbed copies of each image.", json_schema_extra={"unit": "copies"}),
    ] = 500
    num_segments: Annotated[
        int,
        Field(
            ge=4,
            le=400,
            description="Superpixels to aim at; num_samples must be ten times as many.",
            json_schema_extra=more(),
        ),
    ] = 20
    hide: Annotated[
        Literal["mean", "black", "grey"],
        Field(description="What a hidden superpixel is replaced by.", json_schema_extra=more()),
    ] = "mean"
    top_k: Annotated[
        int, Field(ge=1, le=50, description="Regions in the stored overlay.", json_schema_extra=more())
    ] = 5
    seed: Seed = 0
    stability_seeds: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            description="Seeds to repeat LIME with, to see how stable it is; each takes as long again.",
            json_schema_extra=more(unit="seeds"),
        ),
    ] = 0
    batch_size: Annotated[int, Field(ge=1, le=1024, description="Copies at once.", json_schema_extra=more())] = 10

    @model_validator(mode="after")
    def has_enough_samples(self) -> "ExplainOptions":
        if self.num_samples < 10 * self.num_segments:
            raise ValueError(
                f"{self.num_samples} samples are too few for {self.num_segments} superpixels; "
                f"use at least {10 * self.num_segments} samples or at most {self.num_samples // 10} superpixels."
            )
        return self

    @property
    def seeds(self) -> list[int]:
        """The seed of the explanation that is kept, then those that it is compared with: any is that of a job, too."""
        return [(self.seed + k) % NUM_SEEDS for k in range(1 + self.stability_seeds)]


class ExplainSpec(ExplainOptions):
    kind: Literal[JobKind.EXPLAIN] = JobKind.EXPLAIN
    classifier_id: Annotated[int, Field(description="Classifier to explain.")]
    image_ids: Annotated[list[int], Field(max_length=500, description="Images of a dataset.")] = []  # noqa: RUF012 - Pydantic copies defaults
    uploaded_image_ids: Annotated[list[int], Field(max_length=500, description="Images uploaded to be explained.")] = []  # noqa: RUF012 - Pydantic copies defaults

    @model_validator(mode="after")
    def has_images(self) -> "ExplainSpec":
        if not self.image_ids and not self.uploaded_image_ids:
            raise ValueError("There is no image to explain; give image_ids or uploaded_image_ids.")
        return self
