"""What a person can ask of an import, and of the check that follows it."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from models.job import JobKind
from models.specs.base import Seed, Spec, more
from models.specs.conversion import ConversionOptions

MAX_PATTERN = 200


def check_pattern(pattern: str) -> str:
    """`pattern` itself; ValueError, in words, if it is no regular expression as Python's `re` reads it."""
    if not pattern.isprintable():
        raise ValueError("The pattern holds characters that cannot be printed; write them as \\t or \\x00.")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern} is no regular expression: {error}.") from error
    return pattern


ColumnName = Annotated[str, Field(min_length=1, max_length=110)]


class LayoutOptions(Spec):
    """How an upload is read: what its plan and its import are asked for alike."""

    group_by: Annotated[
        ColumnName | None,
        Field(
            description="Column of the table that says which images belong together: the patient, as a rule.",
            json_schema_extra=more(),
        ),
    ] = None
    group_pattern: Annotated[
        Annotated[str, Field(min_length=1, max_length=MAX_PATTERN), AfterValidator(check_pattern)] | None,
        Field(
            description="Regular expression over the paths in the upload; its first group, or all it matches, says which images belong together.",
            json_schema_extra=more(),
        ),
    ] = None
    label_by: Annotated[
        ColumnName | None,
        Field(
            description="Column of the table that says the class; empty: found by its name.", json_schema_extra=more()
        ),
    ] = None
    classes_from: Annotated[
        Literal["auto", "folders", "table"],
        Field(
            description="Whether folders are the classes or a column of the table is; auto: as it fits.",
            json_schema_extra=more(),
        ),
    ] = "auto"
    dataset_id: Annotated[
        int | None,
        Field(
            description="In place of a name: the dataset that gets the images, as a new version of it.",
            json_schema_extra={"hidden": True},
        ),
    ] = None

    @property
    def is_addition(self) -> bool:
        """Whether the images join those of a dataset: then each split that the upload names counts, a single one, too."""
        return self.dataset_id is not None

    @model_validator(mode="after")
    def says_things_once(self) -> "LayoutOptions":
        if self.group_by is not None and self.group_pattern is not None:
            raise ValueError("Groups come from a column or from a pattern, not from both: give one of them.")
        if self.label_by is not None and self.classes_from == "folders":
            raise ValueError("Folders are to be the classes, and so is a column: leave out label_by or classes_from.")
        return self


class ImportSpec(LayoutOptions, ConversionOptions):
    kind: Literal[JobKind.IMPORT_DATASET] = JobKind.IMPORT_DATASET
    upload_id: Annotated[int, Field(description="The upload to import.", json_schema_extra={"hidden": True})]
    name: Annotated[str | None, Field(min_length=1, max_length=200, description="Name of the new dataset.")] = None
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
            description="Keep train / val / test folders, or those of a column, as splits where the upload has them.",
            json_schema_extra=more(),
        ),
    ] = True

    split_by: Annotated[
        Literal["units", "blocks"],
        Field(
            description="units: at random by the seed, patients and look-alikes together. blocks: contiguous runs of each "
            "class's file names, for slices that are numbered patient by patient.",
            json_schema_extra=more(),
        ),
    ] = "units"

    @model_validator(mode="after")
    def goes_into_one_dataset(self) -> Self:
        if (self.name is None) != self.is_addition:
            given = "Neither name nor dataset_id is" if self.name is None else "Both name and dataset_id are"
            raise ValueError(
                f"{given} given; give exactly one: name makes a new dataset, dataset_id adds the images to that one."
            )
        return self

    @model_validator(mode="after")
    def leaves_a_test_split(self) -> Self:
        if self.train_percent + self.val_percent > 99:
            raise ValueError(
                f"Training {self.train_percent} % and validation {self.val_percent} % leave nothing to test on; "
                "together they may take at most 99 %."
            )
        return self


class CheckDatasetSpec(Spec):
    kind: Literal[JobKind.CHECK_DATASET] = JobKind.CHECK_DATASET
    dataset_id: Annotated[int, Field(description="Dataset to check: its health, copies and leaks.")]
    version_id: Annotated[
        int | None,
        Field(description="Version of it; the current one if not given.", json_schema_extra={"hidden": True}),
    ] = None
    seed: Seed = 0
