"""NIfTI-1 and NIfTI-2, plain or gzipped: slices of a volume, lying as radiologists look at them.

The volume is turned to the nearest of the patient's axes (x to the right, y to the front, z to the head). Axial (z)
slices are seen from the feet, front on top; coronal (y) ones from the front and sagittal (x) ones from the side, head on top;
the patient's right is on the left of the image, and the front on the left of a sagittal one. Voxels are not
resampled. Black and white are the same for all slices of a volume.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from io import SEEK_END
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from app.core.errors import BadInputError
from app.core.formats.conversion import Conversion, Picture
from app.core.formats.scaling import Bounds, Numbers, Rescale, bounds_of, joined, to_8_bit, values_sha256
from app.core.formats.volumes import AXES, check_size, numbered, slice_numbers
from app.core.images.arrays import normal_sha256, normalise

MAX_VOLUME_BYTES = 2**30
MAX_ITEM_BYTES = 8
SKIP_BYTES = 1 << 20
NIFTI_2_BYTES = 540
DAMAGED = "Its NIfTI header is damaged."


class Volume(NamedTuple):
    """What the header says. shape: (X, Y, Z) voxels; offset: of the first volume, in bytes; turn: nibabel's orientation
    that turns the axes to the patient's (3, 2)."""

    shape: tuple[int, int, int]
    num_volumes: int
    dtype: np.dtype[Any]
    offset: int
    rescale: Rescale
    turn: NDArray[np.float64]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_colour(self) -> bool:
        return self.dtype.names is not None

    @property
    def is_8_bit(self) -> bool:
        """Whether the pixels stay as they are."""
        return self.dtype == np.uint8 and self.rescale == Rescale()


def read(file: BinaryIO, file_sha256: str, conversion: Conversion) -> Iterator[Picture]:
    """The slices that `conversion` asks for. Raises BadInputError if the file is none that can be read."""
    is_packed = file.read(2) == b"\x1f\x8b"
    size = file.seek(0, SEEK_END)
    file.seek(0)
    unpacked = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_packed else file
    volume = _volume(unpacked)
    if not is_packed:
        _check_length(volume, size)
    unpacked.seek(0)
    _skip(unpacked, volume.offset)
    taken = volume.num_volumes if conversion.volumes == "all" else 1
    for number in range(taken):
        yield from _slices(_voxels(unpacked, volume), volume, number, file_sha256, conversion)


def _volume(file: BinaryIO) -> Volume:
    """The header, checked before anything is allocated by what it says."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header
    from nibabel.orientations import io_orientation

    start = _read(file, NIFTI_2_BYTES)
    kind: Any = Nifti2Header if b"n+2" in start[:8] or b"ni2" in start[:8] else Nifti1Header
    size = kind.template_dtype.itemsize
    if b"ni1" in start[344:348] or b"ni2" in start[4:8]:
        raise BadInputError("Its header and its pixels lie in two files (.hdr and .img); save it as one .nii file.")
    try:
        header = kind(start[:size], check=False)
        dims = tuple(int(length) for length in header.get_data_shape())
        dtype = header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        turn = io_orientation(header.get_best_affine())
        offset = int(header.get_data_offset())
    except Exception as error:  # nibabel stumbles over whatever a broken header holds
        raise BadInputError(DAMAGED) from error
    if offset < size or np.isnan(turn).any():
        raise BadInputError(DAMAGED)
    shape, num_volumes = _shape(dims)
    _check_numbers(dtype)
    volume = Volume(shape, num_volumes, dtype, offset, Rescale(float(slope or 1), float(intercept or 0)), turn)
    shortest, middle, longest = sorted(shape)
    check_size(middle, longest, shortest * num_volumes)
    if volume.num_bytes > MAX_VOLUME_BYTES:
        raise BadInputError(
            f"Its volume is larger than {MAX_VOLUME_BYTES // 2**30} GB; cut it, or save it with 16 bit."
        )
    return volume


def _shape(dims: tuple[int, ...]) -> tuple[tuple[int, int, int], int]:
    """(X, Y, Z) and the number of volumes."""
    while len(dims) > 4 and dims[-1] == 1:
        dims = dims[:-1]
    if len(dims) > 4:
        raise BadInputError(f"It has {len(dims)} dimensions (vectors or matrices at each point), which is no image.")
    if len(dims) < 2:
        raise BadInputError(DAMAGED)
    width, height, depth, num_volumes = (*dims, 1, 1)[:4]
    return (width, height, depth), num_volumes


def _check_numbers(dtype: np.dtype[Any]) -> None:
    if dtype.names is None and (dtype.kind not in "iuf" or dtype.itemsize > MAX_ITEM_BYTES):
        what = "complex numbers" if dtype.kind == "c" else f"numbers of the kind {dtype.name}"
        raise BadInputError(f"Its voxels are {what}; save their magnitude as 16 bit integers or 32 bit floats.")


def _check_length(volume: Volume, size: int) -> None:
    if size < volume.offset + volume.num_bytes * volume.num_volumes:
        raise BadInputError("The file was cut off: it is shorter than its header says.")


def _read(file: BinaryIO, num_bytes: int) -> bytes:
    try:
        return file.read(num_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInputError("Its compressed data is damaged.") from error


def _skip(file: BinaryIO, num_bytes: int) -> None:
    while num_bytes > 0:
        num_bytes -= len(_read(file, min(num_bytes, SKIP_BYTES)) or b" " * num_bytes)


def _voxels(file: BinaryIO, volume: Volume) -> Numbers:
    """The next volume, turned: (X, Y, Z), or (X, Y, Z, 3) uint8."""
    from nibabel.orientations import apply_orientation

    data = _read(file, volume.num_bytes)
    if len(data) < volume.num_bytes:
        raise BadInputError("The file was cut off: it is shorter than its header says.")
    if volume.is_colour:
        voxels = np.frombuffer(data, np.uint8).reshape((volume.dtype.itemsize, *volume.shape), order="F")
        return np.asarray(apply_orientation(np.moveaxis(voxels[:3], 0, -1), volume.turn))
    voxels = np.frombuffer(data, volume.dtype).reshape(volume.shape, order="F")
    return np.asarray(apply_orientation(voxels, volume.turn))


def _slices(
    voxels: Numbers, volume: Volume, number: int, file_sha256: str, conversion: Conversion
) -> Iterator[Picture]:
    axis = AXES.index(conversion.slice_axis)
    length = voxels.shape[axis]
    bounds = None
    if not (volume.is_colour or volume.is_8_bit):
        bounds = bounds_of((voxels.take(k, axis) for k in range(length)), volume.rescale, conversion)
    takes_all, several = conversion.volumes == "all", volume.num_volumes > 1
    before = numbered("volume", number, volume.num_volumes) + " " if several and takes_all else ""
    note = f"first of {volume.num_volumes} volumes" if several and not takes_all else ""
    for k in slice_numbers(length, conversion):
        picture = _picture(_lying(voxels.take(k, axis)), volume, bounds)
        yield picture._replace(
            frame=before + numbered(f"slice {conversion.slice_axis}", k, length),
            series=file_sha256,
            position=float(number * length + k),
            conversion=joined(picture.conversion, note),
        )


def _lying(cut: Numbers) -> Numbers:
    """A slice (two of the patient's axes in their order, perhaps channels) as rows and columns: the second axis points up,
    the first to the left."""
    return np.ascontiguousarray(np.swapaxes(cut, 0, 1)[::-1, ::-1])


def _picture(cut: Numbers, volume: Volume, bounds: Bounds | None) -> Picture:
    """One slice (H, W) or (H, W, 3); bounds: None if it stays as it is."""
    if bounds is None:
        array = normalise(cut if cut.ndim == 3 else cut[..., None])
        return Picture(np.asarray(array, np.uint8), normal_sha256(array), "RGB" if volume.is_colour else "L", 8)
    return Picture(
        to_8_bit(cut, volume.rescale, bounds)[..., None],
        values_sha256(cut, volume.rescale),
        _mode(volume.dtype),
        8 * volume.dtype.itemsize,
        conversion=joined(volume.rescale.in_words, bounds.words),
    )


def _mode(dtype: np.dtype[Any]) -> str:
    """Pillow's word for such numbers."""
    if dtype.kind == "f":
        return "F"
    return "I;16" if dtype.itemsize <= 2 else "I"
