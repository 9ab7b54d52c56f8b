"""What a person can ask of the audit of a synthetic set."""

from typing import Annotated, Literal

from pydantic import Field

from models.job import JobKind
from models.specs.base import Seed, Spec, more

Mirror = Literal["left_right", "top_bottom", "rotated"]


class AuditSpec(Spec):
    kind: Literal[JobKind.AUDIT_SET] = JobKind.AUDIT_SET
    synthetic_set_id: Annotated[int, Field(description="Synthetic set to audit.")]
    dataset_id: Annotated[
        int | None,
        Field(
            description="Dataset of the real images; the set's own if not given.", json_schema_extra={"hidden": True}
        ),
    ] = None
    version_id: Annotated[
        int | None,
        Field(description="Version of it; the one that was learnt, if not given.", json_schema_extra={"hidden": True}),
    ] = None
    drop_copies: Annotated[
        bool, Field(description="Make a further set without the copies, if there are any; this one stays as it is.")
    ] = True
    membership: Annotated[
        bool, Field(description="Attack the network that drew the images: can its loss tell whose images it learnt?")
    ] = True
    seed: Seed = 0
    extractors: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]] | None,
        Field(
            min_length=1,
            max_length=5,
            description="timm networks whose features are compared; the studio's own choice among those that lie here, if not given.",
            json_schema_extra=more(),
        ),
    ] = None
    mirrors: Annotated[
        list[Mirror] | None,
        Field(
            max_length=3,
            description="Mirrored copies that are searched for; left-right and those that training mirrored, if not given.",
            json_schema_extra=more(),
        ),
    ] = None
    level: Annotated[
        float,
        Field(
            gt=0,
            le=0.05,
            description="Share of unseen real images that may be called copies.",
            json_schema_extra=more(),
        ),
    ] = 0.001
    num_planted: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Training images that are altered and searched for, to say how many copies are found; 0: none.",
            json_schema_extra=more(unit="images"),
        ),
    ] = 40
    num_pairs: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Nearest pairs that are kept beside the flagged ones.",
            json_schema_extra=more(unit="pairs"),
        ),
    ] = 20
    most_images: Annotated[
        int,
        Field(
            ge=10,
            le=50_000,
            description="Most images on each side for fidelity and membership, drawn at random; copies are searched among all.",
            json_schema_extra=more(unit="images"),
        ),
    ] = 5000
    k_precision: Annotated[
        int, Field(ge=1, le=50, description="Neighbours for precision and recall.", json_schema_extra=more())
    ] = 3
    k_density: Annotated[
        int, Field(ge=1, le=50, description="Neighbours for density and coverage.", json_schema_extra=more())
    ] = 5
    subset_size: Annotated[
        int,
        Field(ge=2, le=10_000, description="Images in each subset of KID.", json_schema_extra=more(unit="images")),
    ] = 100
    num_subsets: Annotated[
        int, Field(ge=1, le=1000, description="Subsets of KID.", json_schema_extra=more(unit="subsets"))
    ] = 100
    num_halves: Annotated[
        int,
        Field(
            ge=4,
            le=1000,
            description="Random halves for the intervals of precision, recall, density and coverage.",
            json_schema_extra=more(unit="halves"),
        ),
    ] = 100
    num_similar: Annotated[
        int,
        Field(
            ge=1,
            le=10_000,
            description="Pairs of each class that MS-SSIM is taken of.",
            json_schema_extra=more(unit="pairs"),
        ),
    ] = 500
    timesteps: Annotated[
        list[Annotated[int, Field(ge=0, le=999)]],
        Field(
            min_length=1,
            max_length=20,
            description="Noise levels of the membership attack, of 0 to 999.",
            json_schema_extra=more(),
        ),
    ] = [50, 150, 300]  # noqa: RUF012 - Pydantic copies defaults
    num_draws: Annotated[
        int, Field(ge=1, le=50, description="Draws of noise at each level.", json_schema_extra=more(unit="draws"))
    ] = 2
    num_bootstrap: Annotated[
        int,
        Field(ge=100, le=100_000, description="Resamples for the intervals.", json_schema_extra=more(unit="resamples")),
    ] = 1000
    batch_size: Annotated[
        int, Field(ge=1, le=4096, description="Images at once.", json_schema_extra=more(unit="images"))
    ] = 64


def mirrors_of(*, hflip: bool, vflip: bool) -> list[Mirror]:
    """Mirrored copies that are searched for: left-right always, the others where the network learnt images mirrored so."""
    ways: dict[Mirror, bool] = {"left_right": True, "top_bottom": vflip, "rotated": hflip and vflip}
    return [name for name, is_possible in ways.items() if is_possible]
