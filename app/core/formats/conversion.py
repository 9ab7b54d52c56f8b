"""What an import is asked to do with pixels, and what comes out of a file: light enough for both sides of the pipe."""

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.specs import ConversionOptions

MAX_IMAGES = 500_000  # of one file
MAX_FILE_PIXELS = 2**34  # of all images of one file together


class Conversion(NamedTuple):
    """`models.specs.ConversionOptions`, which says what each means, for a process that has no need of the data model."""

    scaling: Literal["auto", "window", "percentile", "full"]
    window_low: float | None
    window_high: float | None
    percentile_low: float
    percentile_high: float
    slice_axis: Literal["x", "y", "z"]
    slice_from: float
    slice_to: float
    slice_every: int
    volumes: Literal["first", "all"]

    @classmethod
    def of(cls, options: "ConversionOptions") -> "Conversion":
        return cls(**{name: getattr(options, name) for name in cls._fields})

    @classmethod
    def default(cls) -> "Conversion":
        """What an import does unless it is asked for something else."""
        from models.specs import ConversionOptions  # the child process never comes here

        return cls.of(ConversionOptions())


class Picture(NamedTuple):
    """One image of a file: array (H, W, 1 or 3) uint8 in normal form, and what the file says about it.

    frame: empty for the only image of a file, else unique in it. group, series: patient and series as the file names
    them, not to be written anywhere. position: order within the series. conversion: in words, empty if the pixels are
    the file's own. metadata_kinds: what the file carries beside its pixels (`app.core.images.metadata`).
    """

    array: NDArray[np.uint8]
    pixel_sha256: str
    mode: str
    bit_depth: int
    frame: str = ""
    group: str | None = None
    series: str | None = None
    position: float | None = None
    label: int | None = None
    split: str | None = None
    conversion: str = ""
    metadata_kinds: str = ""
