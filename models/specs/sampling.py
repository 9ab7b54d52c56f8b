"""What a person can ask of sampling, and what each part of a divided one is told."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.job import JobKind
from models.specs.base import Seed, Spec, more

MOST_PARTS = 64
DRAWN_WITH = (
    "guidance",
    "guidance_start",
    "guidance_stop",
    "sampler",
    "num_steps",
)  # beside checkpoint, class, seed and index


class Sampling(Spec):
    """The options that decide which images are drawn, and how."""

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
    ] = 2.0
    guidance_start: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Share of the way from noise to image at which guidance begins; before, it parts classes by brightness.",
            json_schema_extra=more(),
        ),
    ] = 0.2
    guidance_stop: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Share of the way from noise to image at which guidance ends; after, it parts classes by sharpness.",
            json_schema_extra=more(),
        ),
    ] = 0.8
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
    num_parts: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_PARTS,
            description="Parts that are drawn at the same time, one by each free GPU worker; it changes no image.",
            json_schema_extra=more(unit="parts"),
        ),
    ] = 1
    synthetic_set_id: Annotated[
        int | None,
        Field(
            description="Set that this one continues: drawn by the same checkpoint with the same seed, guidance, sampler and steps. "
            "Its images are taken over, and only those it lacks are drawn.",
            json_schema_extra={"hidden": True},
        ),
    ] = None

    @model_validator(mode="after")
    def says_how_many(self) -> Self:
        if (self.per_class is None) == (self.counts is None):
            raise ValueError("Give either per_class or counts, and not both.")
        if self.counts is not None and not sum(self.counts.values()):
            raise ValueError("counts asks for no image at all; ask for at least one.")
        return self

    @model_validator(mode="after")
    def guides_for_a_while(self) -> Self:
        if self.guidance_start >= self.guidance_stop:
            raise ValueError(
                f"guidance_start is {self.guidance_start} and guidance_stop {self.guidance_stop}; guidance must begin before it "
                "ends. For none, set guidance to 1."
            )
        return self


class SampleSpec(Sampling):
    kind: Literal[JobKind.SAMPLE] = JobKind.SAMPLE
    name: Annotated[
        str, Field(max_length=200, description="Name of the set; made up if empty.", json_schema_extra=more())
    ] = ""


class SamplePartSpec(Sampling):
    """One part of a divided sampling; the studio makes these itself."""

    kind: Literal[JobKind.SAMPLE_PART] = JobKind.SAMPLE_PART
    part: Annotated[int, Field(ge=1, le=MOST_PARTS, description="Which of its parts this is, from 1.")]

    @model_validator(mode="after")
    def is_one_of_them(self) -> Self:
        if self.part > self.num_parts:
            raise ValueError(f"part is {self.part}, but there are {self.num_parts}.")
        return self
