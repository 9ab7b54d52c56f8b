"""What a person can ask for: one spec per job kind, every option declared once.

The form, the API, the client's documentation and the worker all read type, range, unit,
default and help here. `group` in the schema's extras tells the form which options stand
behind "all settings"; `hidden` ones are filled in by the studio.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from models.classifier import TrainOn
from models.dataset import Split
from models.job import JobKind

Seed = Annotated[int, Field(ge=0, lt=2**31, description="Fixes all randomness; the same seed gives the same result.")]


def more(**extra: Any) -> dict[str, Any]:
    """Schema extras of an option that stands behind "all settings"."""
    return {"group": "more", **extra}


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImportSpec(Spec):
    kind: Literal[JobKind.IMPORT_DATASET] = JobKind.IMPORT_DATASET
    upload_id: Annotated[int, Field(description="The upload to import.", json_schema_extra={"hidden": True})]
    name: Annotated[str, Field(min_length=1, max_length=200, description="Name of the dataset.")]
    seed: Seed = 0
    train_percent: Annotated[
        int, Field(ge=1, le=98, description="Share for training.", json_schema_extra=more(unit="%"))
    ] = 70
    val_percent: Annotated[
        int, Field(ge=1, le=98, description="Share for choosing the best epoch.", json_schema_extra=more(unit="%"))
    ] = 10
    keep_layout_splits: Annotated[
        bool,
        Field(
            description="Keep train / val / test folders as splits where the upload has them.", json_schema_extra=more()
        ),
    ] = True

    @model_validator(mode="after")
    def leaves_a_test_split(self) -> "ImportSpec":
        if self.train_percent + self.val_percent > 99:
            raise ValueError(
                f"Training {self.train_percent} % and validation {self.val_percent} % leave nothing to test on; "
                "together they may take at most 99 %."
            )
        return self


NETWORK_OPTIONS = ("patch_size", "stem_channels", "block_channels", "layers_per_block", "attention_levels")
# (preset, resolution): patch_size, stem_channels, block_channels, layers_per_block, attention_levels,
#                       batch_size, lr, num_steps, warmup_steps, ema_decay
_PRESETS: dict[tuple[str, int], tuple[int, int, list[int], int, list[int], int, float, int, int, float]] = {
    ("tiny", 32): (2, 16, [32, 64], 1, [1], 32, 1e-3, 600, 50, 0.99),
    ("tiny", 64): (4, 0, [32, 64], 1, [1], 32, 2e-3, 600, 50, 0.99),
    ("small", 32): (2, 16, [32, 64, 128], 1, [2], 32, 2e-3, 5_000, 200, 0.999),
    ("small", 64): (2, 16, [32, 64, 128, 128], 1, [3], 32, 1e-3, 10_000, 200, 0.999),
    ("small", 128): (4, 16, [32, 64, 128, 256], 1, [3], 32, 5e-4, 20_000, 500, 0.999),
    ("small", 256): (4, 16, [32, 64, 128, 256, 256], 1, [4], 16, 5e-4, 40_000, 500, 0.999),
    ("base", 32): (1, 0, [128, 256, 256], 2, [1, 2], 64, 3e-4, 40_000, 1_000, 0.9995),
    ("base", 64): (1, 0, [128, 256, 256, 256], 2, [2, 3], 64, 2e-4, 60_000, 1_000, 0.9995),
    ("base", 128): (2, 32, [128, 256, 256, 384], 2, [2, 3], 32, 2e-4, 80_000, 1_000, 0.9995),
    ("base", 256): (2, 32, [128, 256, 256, 384, 512], 2, [3, 4], 16, 1e-4, 120_000, 1_000, 0.9999),
    ("large", 32): (1, 0, [192, 384, 384], 3, [1, 2], 128, 2e-4, 80_000, 2_000, 0.9999),
    ("large", 64): (1, 0, [192, 384, 384, 384], 3, [1, 2, 3], 64, 1e-4, 100_000, 2_000, 0.9999),
    ("large", 128): (2, 64, [192, 384, 384, 512], 3, [2, 3], 32, 1e-4, 150_000, 2_000, 0.9999),
    ("large", 256): (2, 64, [192, 384, 384, 512, 768], 3, [3, 4], 16, 1e-4, 200_000, 2_000, 0.9999),
}
DEFAULT_SIZES = {"tiny": 32, "small": 32, "base": 64, "large": 128}


def diffusion_preset(name: str, image_size: int | None = None) -> dict[str, Any]:
    """The options that preset `name` fills in at `image_size` pixels: those of the largest resolution not above it."""
    size = image_size or DEFAULT_SIZES[name]
    known = [resolution for preset, resolution in _PRESETS if preset == name]
    nearest = max((resolution for resolution in known if resolution <= size), default=min(known))
    patch, stem, channels, layers, attention, batch, lr, steps, warmup, ema = _PRESETS[name, nearest]
    return {
        "image_size": size, "patch_size": patch, "stem_channels": stem, "block_channels": channels,
        "layers_per_block": layers, "attention_levels": attention, "dropout": 0.1 if name == "large" else 0.0,
        "gradient_checkpointing": name == "large" and nearest >= 256,
        "batch_size": batch, "lr": lr, "num_steps": steps, "warmup_steps": warmup, "ema_decay": ema,
    }  # fmt: skip


def _follow(given: dict[str, Any], filled: dict[str, Any]) -> dict[str, Any]:
    """Options that were not given follow those that were: a short training warms up shortly, and so on."""
    steps = int(filled["num_steps"]) if str(filled["num_steps"]).isdigit() else 0
    follows: dict[str, Any] = {
        "preview_every": max(1, min(500, steps // 30)),
        "checkpoint_every": max(1, min(1000, max(100, steps // 20), steps or 1)),
        "warmup_steps": min(filled["warmup_steps"], steps // 10) if "warmup_steps" not in given else 0,
    }
    if str(given.get("patch_size")) == "1":
        follows["stem_channels"] = 0
    if isinstance(given.get("block_channels"), list):
        follows["attention_levels"] = [len(given["block_channels"]) - 1]
    return {option: value for option, value in follows.items() if option not in given}


class TrainDiffusionSpec(Spec):
    kind: Literal[JobKind.TRAIN_DIFFUSION] = JobKind.TRAIN_DIFFUSION
    dataset_id: Annotated[int, Field(description="Dataset whose training split is learnt.")]
    version_id: Annotated[
        int | None, Field(description="Version of it; the newest if not given.", json_schema_extra={"hidden": True})
    ] = None
    preset: Annotated[
        Literal["tiny", "small", "base", "large"],
        Field(description="Fills in every option below that is not given."),
    ] = "small"
    image_size: Annotated[
        int, Field(ge=8, le=512, description="Side of the square images.", json_schema_extra={"unit": "px"})
    ]
    num_steps: Annotated[
        int, Field(ge=1, le=10_000_000, description="Optimiser steps.", json_schema_extra={"unit": "steps"})
    ]
    seed: Seed = 0
    batch_size: Annotated[
        int, Field(ge=1, le=4096, description="Images per step.", json_schema_extra=more(unit="images"))
    ]
    lr: Annotated[float, Field(gt=0, le=1, description="Peak learning rate of AdamW.", json_schema_extra=more())]
    warmup_steps: Annotated[
        int,
        Field(
            ge=0,
            description="Steps in which the learning rate rises to its peak.",
            json_schema_extra=more(unit="steps"),
        ),
    ]
    weight_decay: Annotated[float, Field(ge=0, le=1, description="AdamW weight decay.", json_schema_extra=more())] = (
        0.01
    )
    ema_decay: Annotated[
        float, Field(ge=0, lt=1, description="Decay of the averaged weights that draw.", json_schema_extra=more())
    ]
    prediction: Annotated[
        Literal["v", "epsilon"], Field(description="What the network predicts.", json_schema_extra=more())
    ] = "v"
    label_dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="Share of images trained without class, for guidance.", json_schema_extra=more()),
    ] = 0.1
    min_snr_gamma: Annotated[
        float,
        Field(
            ge=0, description="Cap of the loss weight (min-SNR, arXiv:2303.09556); 0 is none.", json_schema_extra=more()
        ),
    ] = 5.0
    hflip: Annotated[
        bool,
        Field(
            description="Mirror left-right at random. Only where a mirrored patient is as likely.",
            json_schema_extra=more(),
        ),
    ] = False
    vflip: Annotated[
        bool,
        Field(description="Mirror top-bottom at random. Fit for smears and other slides.", json_schema_extra=more()),
    ] = False
    class_balanced: Annotated[bool, Field(description="Draw every class equally often.", json_schema_extra=more())] = (
        True
    )
    fit: Annotated[
        Literal["stretch", "crop", "pad"],
        Field(description="How images that are not square become square.", json_schema_extra=more()),
    ] = "pad"
    patch_size: Annotated[
        Literal[1, 2, 4],
        Field(description="Space-to-depth factor: larger is faster and coarser.", json_schema_extra=more()),
    ]
    stem_channels: Annotated[
        int,
        Field(
            ge=0,
            le=512,
            multiple_of=8,
            description="Channels of the full-resolution stem and head; 0 is none.",
            json_schema_extra=more(),
        ),
    ]
    block_channels: Annotated[
        list[Annotated[int, Field(ge=8, le=2048, multiple_of=8)]],
        Field(min_length=1, max_length=6, description="Channels of each level of the UNet.", json_schema_extra=more()),
    ]
    attention_levels: Annotated[
        list[int],
        Field(max_length=6, description="Levels of the UNet that attend; 0 is the finest.", json_schema_extra=more()),
    ]
    layers_per_block: Annotated[
        int, Field(ge=1, le=8, description="Residual blocks per level.", json_schema_extra=more())
    ]
    dropout: Annotated[
        float, Field(ge=0, lt=1, description="Dropout inside the network.", json_schema_extra=more())
    ] = 0.0
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description="auto: bf16 on a GPU, fp32 on a CPU.", json_schema_extra=more()),
    ] = "auto"
    accumulation: Annotated[
        int,
        Field(
            ge=1, le=256, description="Split each batch into so many passes to save memory.", json_schema_extra=more()
        ),
    ] = 1
    gradient_checkpointing: Annotated[bool, Field(description="Save memory, cost time.", json_schema_extra=more())] = (
        False
    )
    preview_every: Annotated[
        int,
        Field(ge=1, description="Steps between previews; fewer are drawn where they would cost over a tenth of the time.",
              json_schema_extra=more(unit="steps")),
    ]  # fmt: skip
    previews_per_class: Annotated[
        int, Field(ge=1, le=16, description="Images per class in a preview.", json_schema_extra=more())
    ] = 4
    checkpoint_every: Annotated[
        int, Field(ge=1, description="Steps between checkpoints to resume from.", json_schema_extra=more(unit="steps"))
    ]
    init_checkpoint_id: Annotated[
        int | None,
        Field(
            description="Go on from the weights of this checkpoint (same network and classes).",
            json_schema_extra=more(),
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def fill_in_the_preset(cls, given: Any) -> Any:
        name = given.get("preset", "small") if isinstance(given, dict) else None
        if name not in DEFAULT_SIZES:
            return given  # the field's own check says what is wrong
        size = given.get("image_size")
        given = {option: value for option, value in given.items() if value is not None}
        filled = {**diffusion_preset(name, int(size) if str(size).isdigit() else None), **given}
        return {**filled, **_follow(given, filled)}

    @model_validator(mode="after")
    def fits_together(self) -> "TrainDiffusionSpec":
        if self.patch_size == 1 and self.stem_channels:
            raise ValueError(
                f"stem_channels is {self.stem_channels}, but with patch_size 1 the network already works at full resolution; "
                "set stem_channels to 0, or patch_size to 2 or 4."
            )
        beyond = [level for level in self.attention_levels if not 0 <= level < len(self.block_channels)]
        if beyond:
            raise ValueError(
                f"attention_levels names level {beyond[0]}, but block_channels has levels 0 to {len(self.block_channels) - 1}."
            )
        multiple = self.size_multiple
        if self.image_size % multiple:
            low = max(self.image_size // multiple * multiple, multiple)
            raise ValueError(
                f"image_size {self.image_size} does not fit this network, which halves the image to 1/{multiple}; "
                f"use {low} or {low + multiple}."
            )
        if self.accumulation > self.batch_size or self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} cannot be split into {self.accumulation} equal passes.")
        return self

    @property
    def size_multiple(self) -> int:
        """The side of an image must be a multiple of this number of pixels."""
        return self.patch_size * int(2 ** (len(self.block_channels) - 1))


class SampleSpec(Spec):
    kind: Literal[JobKind.SAMPLE] = JobKind.SAMPLE
    checkpoint_id: Annotated[int, Field(description="Checkpoint that draws.")]
    per_class: Annotated[
        int | None, Field(ge=1, le=100_000, description="Images of each class.", json_schema_extra={"unit": "images"})
    ] = None
    counts: Annotated[
        dict[str, Annotated[int, Field(ge=0, le=100_000)]] | None,
        Field(description="Images of each class by name, instead of per_class.", json_schema_extra=more(unit="images")),
    ] = None
    seed: Seed = 0
    guidance: Annotated[
        float, Field(ge=1, le=20, description="Classifier-free guidance scale; 1 is none.", json_schema_extra=more())
    ] = 1.5
    sampler: Annotated[
        Literal["ddim", "dpm++", "unipc", "heun"], Field(description="Sampler.", json_schema_extra=more())
    ] = "dpm++"
    num_steps: Annotated[
        int, Field(ge=2, le=1000, description="Sampler steps.", json_schema_extra=more(unit="steps"))
    ] = 25
    batch_size: Annotated[
        int,
        Field(
            ge=1,
            le=4096,
            description="Images drawn at once; it changes no image.",
            json_schema_extra=more(unit="images"),
        ),
    ] = 64
    name: Annotated[
        str, Field(max_length=200, description="Name of the set; made up if empty.", json_schema_extra=more())
    ] = ""

    @model_validator(mode="after")
    def says_how_many(self) -> "SampleSpec":
        if (self.per_class is None) == (self.counts is None):
            raise ValueError("Give either per_class or counts, and not both.")
        if self.counts is not None and not sum(self.counts.values()):
            raise ValueError("counts asks for no image at all; ask for at least one.")
        return self


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
    split: Annotated[Split, Field(description="Split of real images to test on.")] = Split.TEST
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


class ExplainSpec(Spec):
    kind: Literal[JobKind.EXPLAIN] = JobKind.EXPLAIN
    classifier_id: Annotated[int, Field(description="Classifier to explain.")]
    image_ids: Annotated[list[int], Field(max_length=500, description="Images of a dataset.")] = []
    uploaded_image_ids: Annotated[list[int], Field(max_length=500, description="Images uploaded to be explained.")] = []
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
    batch_size: Annotated[int, Field(ge=1, le=1024, description="Copies at once.", json_schema_extra=more())] = 10

    @model_validator(mode="after")
    def has_images_and_enough_samples(self) -> "ExplainSpec":
        if not self.image_ids and not self.uploaded_image_ids:
            raise ValueError("There is no image to explain; give image_ids or uploaded_image_ids.")
        if self.num_samples < 10 * self.num_segments:
            raise ValueError(
                f"{self.num_samples} samples are too few for {self.num_segments} superpixels; "
                f"use at least {10 * self.num_segments} samples or at most {self.num_samples // 10} superpixels."
            )
        return self


JobSpec = ImportSpec | TrainDiffusionSpec | SampleSpec | TrainClassifierSpec | EvaluateSpec | ExplainSpec
AnyJobSpec = Annotated[JobSpec, Field(discriminator="kind")]
job_spec_adapter: TypeAdapter[JobSpec] = TypeAdapter(AnyJobSpec)
SPEC_OF: dict[JobKind, type[Spec]] = {
    JobKind.IMPORT_DATASET: ImportSpec,
    JobKind.TRAIN_DIFFUSION: TrainDiffusionSpec,
    JobKind.SAMPLE: SampleSpec,
    JobKind.TRAIN_CLASSIFIER: TrainClassifierSpec,
    JobKind.EVALUATE: EvaluateSpec,
    JobKind.EXPLAIN: ExplainSpec,
}
