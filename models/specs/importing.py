"""What a person can ask of an import."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.job import JobKind
from models.specs.base import Seed, Spec, more


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
