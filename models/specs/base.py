"""What all specs share: strict, frozen, and the seed."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

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

    @model_validator(mode="before")
    @classmethod
    def takes_no_truth_for_a_number(cls, data: Any) -> Any:
        """Python counts true as 1; a person who writes it for a number has made a mistake."""
        given = data.items() if isinstance(data, dict) else ()
        for name, value in given:
            parts = value if isinstance(value, list) else [value]
            field = cls.model_fields.get(name)
            if field is not None and any(isinstance(part, bool) for part in parts) and not _has_bool(field.annotation):
                raise ValueError(f"{name} is {value}; give a number or a text, not true or false.")
        return data


def _has_bool(annotation: Any) -> bool:
    return annotation is bool or annotation is Any or any(_has_bool(part) for part in get_args(annotation))
