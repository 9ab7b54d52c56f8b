"""How files of more than 8 bit, and files that hold several images, become images of 8 bit."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.specs.base import Spec, more

Percent = Annotated[float, Field(ge=0, le=100)]
Value = Annotated[float, Field(allow_inf_nan=False)]


class ConversionOptions(Spec):
    """How a file becomes images of 8 bit: of what values black and white are made, and which slices are taken.

    Files of 8 bit stay as they are, but for the window that a DICOM file itself brings.
    """

    scaling: Annotated[
        Literal["auto", "window", "percentile", "full"],
        Field(
            description="What becomes black and white in images of more than 8 bit. auto: the window of the DICOM "
            "file, percentiles where it has none; full: the smallest and the largest value.",
            json_schema_extra=more(),
        ),
    ] = "auto"
    window_low: Annotated[
        Value | None,
        Field(
            description="Becomes black, with scaling window: in the file's own values after its rescale, such as "
            "Hounsfield units.",
            json_schema_extra=more(),
        ),
    ] = None
    window_high: Annotated[
        Value | None, Field(description="Becomes white, with scaling window.", json_schema_extra=more())
    ] = None
    percentile_low: Annotated[
        Percent,
        Field(description="This percentile of an image's values becomes black.", json_schema_extra=more(unit="%")),
    ] = 0.5
    percentile_high: Annotated[
        Percent,
        Field(description="This percentile of an image's values becomes white.", json_schema_extra=more(unit="%")),
    ] = 99.5
    slice_axis: Annotated[
        Literal["x", "y", "z"],
        Field(
            description="Slices of a volume lie across this axis: z axial, y coronal, x sagittal.",
            json_schema_extra=more(),
        ),
    ] = "z"
    slice_from: Annotated[
        Percent,
        Field(
            description="Slices begin here on the axis; the ends of a volume are mostly air.",
            json_schema_extra=more(unit="%"),
        ),
    ] = 10
    slice_to: Annotated[Percent, Field(description="Slices end here.", json_schema_extra=more(unit="%"))] = 90
    slice_every: Annotated[
        int, Field(ge=1, le=1000, description="Every n-th slice is taken.", json_schema_extra=more())
    ] = 1
    volumes: Annotated[
        Literal["first", "all"],
        Field(
            description="Of a NIfTI file with several volumes (time, contrasts): the first, or all of them.",
            json_schema_extra=more(),
        ),
    ] = "first"

    @model_validator(mode="after")
    def says_what_is_black_and_white(self) -> Self:
        bounds = (self.window_low, self.window_high)
        if self.scaling == "window" and None in bounds:
            raise ValueError(
                "Scaling by a window needs window_low and window_high: the values that become black and white."
            )
        if self.scaling != "window" and bounds != (None, None):
            raise ValueError(
                f"A window is given, but scaling is {self.scaling}; set scaling to window, or leave it out."
            )
        _check_order("The window", self.window_low, self.window_high)
        _check_order("The range of percentiles", self.percentile_low, self.percentile_high)
        _check_order("The range of slices", self.slice_from, self.slice_to)
        return self


def _check_order(what: str, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low >= high:
        raise ValueError(f"{what} begins at {low:g} and ends at {high:g}; the end must be larger.")
