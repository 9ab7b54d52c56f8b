"""What a person can ask of a diffusion training, and the presets that fill it in."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from models.job import JobKind
from models.specs.base import Seed, Spec, TrainShare, more

MIN_HELD_OUT_TO_STOP = 25  # of which each fifth must leave the 20 that a threshold needs
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
    if given.get("dp_epsilon") not in (None, ""):
        follows["class_balanced"] = False  # every image needs the same chance
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
    train_share: TrainShare = 1.0
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
    stop_on_copies: Annotated[
        bool,
        Field(
            description=f"Stop once what is drawn copies training images, twice in a row more than by chance, and keep the last network "
            f"before. Needs {MIN_HELD_OUT_TO_STOP} validation images.",
            json_schema_extra=more(),
        ),
    ] = False
    copy_check_images: Annotated[
        int,
        Field(
            ge=8, le=1024, description="Images drawn at each preview to look for copies, where training stops on them.",
            json_schema_extra=more(unit="images"),
        ),
    ] = 32  # fmt: skip
    checkpoint_every: Annotated[
        int, Field(ge=1, description="Steps between checkpoints to resume from.", json_schema_extra=more(unit="steps"))
    ]
    dp_epsilon: Annotated[
        float | None,
        Field(
            gt=0, le=1000,
            description="Differential privacy (DP-SGD): bound on what training may reveal of one image; empty: no bound. Costs much quality on few images.",
            json_schema_extra=more(),
        ),
    ] = None  # fmt: skip
    dp_delta: Annotated[
        float | None,
        Field(
            gt=0, lt=1, description="Chance that the bound fails; one over ten times the images, if empty.",
            json_schema_extra=more(),
        ),
    ] = None  # fmt: skip
    dp_max_grad_norm: Annotated[
        float,
        Field(gt=0, le=1000, description="Length to which the gradient of each image is clipped under differential privacy.",
              json_schema_extra=more()),
    ] = 1.0  # fmt: skip
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
        self._check_privacy()
        return self

    def _check_privacy(self) -> None:
        if self.dp_epsilon is None:
            if self.dp_delta is not None:
                raise ValueError("dp_delta is given without dp_epsilon; give both, or neither.")
            return
        wrong = [name for name in ("class_balanced", "gradient_checkpointing") if getattr(self, name)]
        if wrong:
            raise ValueError(
                f"With dp_epsilon, {wrong[0]} must be off: each image needs a chance and a gradient of its own."
            )
        if self.stop_on_copies:
            raise ValueError(
                "With dp_epsilon, stop_on_copies must be off: when to stop would depend on the training images beyond the bound."
            )
        if self.precision == "bf16":
            raise ValueError("With dp_epsilon, precision must be auto or fp32: clipping needs full precision.")

    @property
    def size_multiple(self) -> int:
        """The side of an image must be a multiple of this number of pixels."""
        return self.patch_size * int(2 ** (len(self.block_channels) - 1))
