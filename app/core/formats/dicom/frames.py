"""The decoded frames of a DICOM file, one at a time."""

from collections.abc import Iterator
from itertools import islice

from pydicom import Dataset, FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import iter_pixels, pixel_array

from app.core.errors import BadInputError
from app.core.formats.dicom import tags
from app.core.formats.scaling import Numbers

MAX_KEPT_BYTES = 2**28
OF_PIXELS = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated",
             "BitsStored", "HighBit", "PixelRepresentation")  # fmt: skip
OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


class Frames:
    """Stored numbers (H, W), or RGB (H, W, 3), of every frame; may be gone through again. Small files are decoded once."""

    def __init__(self, dataset: FileDataset, num_frames: int) -> None:
        self._dataset, self.num_frames = dataset, num_frames
        self._kept: list[Numbers] | None = None

    def __iter__(self) -> Iterator[Numbers]:
        if self._kept is None and self._num_bytes() <= MAX_KEPT_BYTES:
            self._kept = list(self._decoded())
        return iter(self._kept) if self._kept is not None else self._decoded()

    def _num_bytes(self) -> int:
        root = (self._dataset,)
        return tags.whole(root, "Rows", 0) * tags.whole(root, "Columns", 0) * 4 * self.num_frames

    def _decoded(self) -> Iterator[Numbers]:
        found = 0
        try:
            for frame in islice(_frames(self._dataset, self.num_frames), self.num_frames):
                found += 1
                yield frame
        except MemoryError:
            raise
        except Exception as error:  # decoders stumble over whatever broken data makes them
            raise BadInputError("Its pixel data cannot be decoded: it is damaged, or needs too much memory.") from error
        if found < self.num_frames:
            raise BadInputError(f"It says that it holds {self.num_frames} frames, but has only {found}.")


def _frames(dataset: FileDataset, num_frames: int) -> Iterator[Numbers]:
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(dataset)
        return
    # Each as a file of its own: pydicom's iterator hands decoders read-only memory that one of its corrections writes
    # to, and its access by index goes through all frames before.
    one = Dataset()
    for keyword in OF_PIXELS:
        if keyword in dataset:
            one.add(dataset[keyword])
    one.file_meta, one.NumberOfFrames = dataset.file_meta, 1
    offsets = [dataset[keyword].value for keyword in OFFSETS if keyword in dataset]
    for encoded in generate_frames(
        dataset.PixelData, number_of_frames=num_frames, extended_offsets=tuple(offsets) if len(offsets) == 2 else None
    ):
        one.PixelData = encapsulate([encoded], has_bot=False)
        yield pixel_array(one, index=0)
