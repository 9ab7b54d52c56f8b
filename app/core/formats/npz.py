"""npz files in MedMNIST's form: train_images, train_labels and the same for val and test.

Images are (N, H, W) or (N, H, W, 3), volumes (N, D, H, W), labels whole numbers (N,) or (N, 1). The arrays are read
from front to back, image by image, so that a file of any size takes little memory. pickle is never loaded.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from app.core.archives.members import Limits, Opened
from app.core.archives.zips import read as read_zip
from app.core.errors import BadInputError
from app.core.formats.conversion import MAX_FILE_PIXELS, Conversion, Picture
from app.core.formats.scaling import Numbers, Rescale, bounds_of, to_8_bit
from app.core.formats.volumes import AXES, check_size, numbered, slice_numbers
from app.core.images.arrays import normal_sha256, normalise, pixel_sha256

SPLITS = ("train", "val", "test")
LIMITS = Limits(max_entries=64, max_bytes=4 * MAX_FILE_PIXELS)
CHUNK = 1 << 20
MAX_LABEL = 9999
FORM = "expected arrays train_images and train_labels, and the same for val and test, as MedMNIST has them"


class Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class _Forward:
    """The bytes of one entry, from front to back."""

    def __init__(self, entry: Opened) -> None:
        self._chunks = entry.chunks(CHUNK)
        self._chunk, self._at = b"", 0

    def read(self, num_bytes: int) -> bytes:
        """So many bytes; fewer at the end only."""
        parts = []
        while num_bytes:
            if self._at == len(self._chunk):
                self._chunk, self._at = next(self._chunks, b""), 0
                if not self._chunk:
                    break
            part = self._chunk[self._at : self._at + num_bytes]
            self._at += len(part)
            num_bytes -= len(part)
            parts.append(part)
        return b"".join(parts)


def read(file: BinaryIO, file_sha256: str, conversion: Conversion) -> Iterator[Picture]:
    """Every image with its label and split, in the order of the file. Raises BadInputError if it has another form."""
    labels = _all_labels(file)
    for name, source in _arrays(file):
        split = name.removesuffix("_images")
        if split in labels:
            yield from _images(source, split, labels[split], file_sha256, conversion)


def _arrays(file: BinaryIO) -> Iterator[tuple[str, _Forward]]:
    """Name and content of every array."""
    file.seek(0)
    with closing(read_zip(file, limits=LIMITS)) as entries:  # type: ignore[type-var]  # it is a generator
        for entry in entries:
            if entry.member.problem:
                raise BadInputError(f"One of its arrays cannot be read: {entry.member.problem}")
            yield entry.member.path.removesuffix(".npy"), _Forward(entry)


def _all_labels(file: BinaryIO) -> dict[str, list[int]]:
    """The labels of every split that has images, after a look at all headers."""
    shapes: dict[str, tuple[int, ...]] = {}
    labels: dict[str, list[int]] = {}
    names = []
    for name, source in _arrays(file):
        names.append(name)
        split, _, what = name.rpartition("_")
        if split in SPLITS and what == "images":
            shapes[split] = _image_header(source, name).shape
        elif split in SPLITS and what == "labels":
            labels[split] = _labels(source, name)
    if not shapes or shapes.keys() - labels.keys():
        found = ", ".join(ascii(name[:40])[1:-1] for name in names[:8]) or "nothing"
        raise BadInputError(f"It is a zip or npz file of another form: {FORM}; found {found}.")
    for split, shape in shapes.items():
        if shape[0] != len(labels[split]):
            raise BadInputError(f"It has {shape[0]:,} {split} images and {len(labels[split]):,} labels for them.")
    return {split: labels[split] for split in shapes}


def _header(source: _Forward, name: str) -> Header:
    try:
        version = npy.read_magic(source)  # type: ignore[arg-type]
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, is_fortran, dtype = read_header(source)  # type: ignore[arg-type]
    except BadInputError:
        raise
    except Exception as error:  # numpy's parser stumbles over whatever a broken header holds
        raise BadInputError(f"The array {name} is damaged.") from error
    if dtype.hasobject:
        raise BadInputError(f"The array {name} holds Python objects, which are never opened: they could run code.")
    if is_fortran and len(shape) > 1:
        raise BadInputError(f"The array {name} lies in Fortran order; save it with numpy.ascontiguousarray.")
    return Header(shape, dtype)


def _image_header(source: _Forward, name: str) -> Header:
    shape, dtype = header = _header(source, name)
    if dtype not in (np.uint8, np.uint16):
        raise BadInputError(f"The array {name} holds {dtype.name}; expected whole numbers, uint8 or uint16.")
    if len(shape) not in (3, 4):
        raise BadInputError(
            f"The array {name} has the shape {shape}; expected (N, H, W), (N, H, W, 3) or (N, D, H, W)."
        )
    if dtype == np.uint16 and shape[3:] == (3,):
        raise BadInputError(f"The array {name} holds colours of 16 bit; save them as uint8.")
    if shape[0]:
        height, width = shape[-2:] if _is_volume(shape) else shape[1:3]
        check_size(height, width, shape[0] * (shape[1] if _is_volume(shape) else 1))
    return header


def _is_volume(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[3] not in (1, 3)


def _labels(source: _Forward, name: str) -> list[int]:
    shape, dtype = _header(source, name)
    if len(shape) == 2 and shape[1] > 1 and dtype.kind in "iu":
        raise BadInputError(
            f"The array {name} marks each image with {shape[1]} findings at once; a dataset needs one class for each image."
        )
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or dtype.kind not in "iu":
        raise BadInputError(f"The array {name} is no list of labels; expected whole numbers (N,) or (N, 1).")
    num = shape[0]
    if num:
        check_size(1, 1, num)
    data = source.read(num * dtype.itemsize)
    if len(data) < num * dtype.itemsize:
        raise BadInputError(f"The array {name} is cut off.")
    labels = np.frombuffer(data, dtype)
    if num and (labels.min() < 0 or labels.max() > MAX_LABEL):
        raise BadInputError(f"The array {name} has labels outside 0 to {MAX_LABEL}.")
    return [int(label) for label in labels]


def _images(
    source: _Forward, split: str, labels: list[int], file_sha256: str, conversion: Conversion
) -> Iterator[Picture]:
    shape, dtype = _image_header(source, f"{split}_images")
    num_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    for number, label in enumerate(labels):
        data = source.read(num_bytes)
        if len(data) < num_bytes:
            raise BadInputError(f"The array {split}_images is cut off after {number:,} images.")
        frame = numbered(split, number, len(labels), digits=5)
        array = np.frombuffer(data, dtype).reshape(shape[1:])
        if not _is_volume(shape):
            yield _picture(array, conversion)._replace(frame=frame, label=label, split=split)
            continue
        axis = 2 - AXES.index(conversion.slice_axis)  # the first axis of a volume is z
        for k in slice_numbers(array.shape[axis], conversion):
            yield _picture(array.take(k, axis), conversion)._replace(
                frame=f"{frame} {numbered(f'slice {conversion.slice_axis}', k, array.shape[axis])}",
                series=f"{file_sha256} {split} {number}", position=float(k), label=label, split=split,
            )  # fmt: skip


def _picture(pixels: Numbers, conversion: Conversion) -> Picture:
    """(H, W) or (H, W, 1 or 3), uint8 or uint16."""
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.dtype == np.uint8:
        array = normalise(pixels)
        return Picture(np.asarray(array, np.uint8), normal_sha256(array), "RGB" if pixels.shape[2] == 3 else "L", 8)
    pixels = pixels.astype(np.uint16)
    bounds = bounds_of([pixels], Rescale(), conversion)
    return Picture(to_8_bit(pixels, Rescale(), bounds), pixel_sha256(pixels), "I;16", 16, conversion=bounds.words)
