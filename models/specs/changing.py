"""What a person can ask of a dataset: each change makes a new version, and none changes an old one."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from models.dataset import Split
from models.specs.base import Seed, Spec

ImageIds = Annotated[list[int], Field(min_length=1, max_length=100_000, description="Images of the current version.")]


class Exclude(Spec):
    """Leave images out."""

    action: Literal["exclude"] = "exclude"
    image_ids: ImageIds
    reason: Annotated[str, Field(max_length=300, description="Why; it is listed with the files left out.")] = ""


class Relabel(Spec):
    """Put images into another class."""

    action: Literal["relabel"] = "relabel"
    image_ids: ImageIds
    label: Annotated[str, Field(description="Name of a class of the dataset.")]


class Move(Spec):
    """Put images into another split."""

    action: Literal["move"] = "move"
    image_ids: ImageIds
    split: Annotated[Split, Field(description="Where they go.")]


class Resplit(Spec):
    """Deal all images anew; patients, copies and look-alikes stay on one side."""

    action: Literal["resplit"] = "resplit"
    seed: Seed = 0
    train_percent: Annotated[int, Field(ge=1, le=98, description="Share for training, per cent.")] = 70
    val_percent: Annotated[int, Field(ge=1, le=98, description="Share for choosing the best epoch, per cent.")] = 10
    by: Annotated[
        Literal["units", "blocks"],
        Field(description="units: at random by the seed. blocks: contiguous runs of the file names of each class."),
    ] = "units"

    @model_validator(mode="after")
    def leaves_a_test_split(self) -> "Resplit":
        if self.train_percent + self.val_percent > 99:
            raise ValueError(
                f"Training {self.train_percent} % and validation {self.val_percent} % leave nothing to test on; "
                "together they may take at most 99 %."
            )
        return self


class MendLeaks(Spec):
    """Take apart what stands on two sides."""

    action: Literal["mend_leaks"] = "mend_leaks"
    how: Annotated[
        Literal["move", "exclude"],
        Field(
            description="move: every unit to the split that holds most of it. exclude: leave out the copies and look-alikes "
            "outside the test (or else validation) split."
        ),
    ] = "exclude"


class Thin(Spec):
    """Keep one image of each group of copies."""

    action: Literal["thin"] = "thin"
    near: Annotated[bool, Field(description="Also look-alikes, not only identical pixels.")] = False


class Restore(Spec):
    """Go back to an older version; nothing is lost, and going forward again is the same."""

    action: Literal["restore"] = "restore"
    number: Annotated[int, Field(ge=1, description="Number of the version that new jobs shall use.")]


VersionChange = Exclude | Relabel | Move | Resplit | MendLeaks | Thin | Restore
AnyVersionChange = Annotated[VersionChange, Field(discriminator="action")]
version_change_adapter: TypeAdapter[VersionChange] = TypeAdapter(AnyVersionChange)
