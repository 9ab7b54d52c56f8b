"""What all specs share: strict, frozen, and the seed."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

NUM_SEEDS = 2**31
Seed = Annotated[
    int, Field(ge=0, lt=NUM_SEEDS, description="Fixes all randomness; the same seed gives the same result.")
]


def more(**extra: Any) -> dict[str, Any]:
    """Schema extras of an option that stands behind "all settings"."""
    return {"group": "more", **extra}


TrainShare = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        description="Share of the training images of each class that is used, whole patients; the same ones for the same share.",
        json_schema_extra=more(),
    ),
]


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
