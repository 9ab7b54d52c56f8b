"""Image sets in MedMNIST's form: one npz file of train_images, train_labels, val_images and so on.

Only the headers of the images and the labels themselves are read: an npz is a zip of npy files, and is opened by the
same reader as the archives of strangers. Objects (pickles) in it are never read. Form: https://medmnist.com
"""

import io
import math
from collections.abc import Mapping
from itertools import chain
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.core.archives import Limits, Member, zips
from app.core.archives.members import Opened
from app.core.errors import BadInputError
from app.core.layouts.collecting import few_warnings
from app.core.layouts.layout import Ignored, Layout, PlannedImage
from models import Split

CHUNK = 1 << 16
MAX_LABEL_BYTES = 64 << 20
LIMITS = Limits(max_entries=100, max_bytes=2**40)  # the arrays of images are not unpacked here
MAX_CLASSES = 1000
EXPECTED = (
    "Expected, as MedMNIST has it: train_images (N, H, W) of uint8 or uint16, (N, H, W, 3) of uint8, or volumes "
    "(N, D, H, W), and train_labels (N, 1) of whole numbers from 0; the same for val and test where there are such."
)


class Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def is_colour(self) -> bool:
        return len(self.shape) == 4 and self.shape[3] == 3

    @property
    def is_volume(self) -> bool:
        return len(self.shape) == 4 and self.shape[3] not in (1, 3)


def npz_layout(member: Member, file: BinaryIO, ignored: list[Ignored], *, is_addition: bool) -> Layout:
    """The layout of one npz file: classes are the label values, splits the arrays' names.

    Raises BadInputError, with what was found and what is expected, if it is not in MedMNIST's form.
    """
    headers, labels = _read(member.path, file)
    splits = [split for split in Split if f"{split}_images" in headers and headers[f"{split}_images"].shape[:1] != (0,)]
    if not splits:
        found = ", ".join(sorted(headers)) or "no arrays"
        raise BadInputError(f"{member.path} holds {found}.", hint=EXPECTED)
    per_split = {split: _labels_of(split, headers, labels) for split in splits}
    num_classes = max(int(values.max()) for values in per_split.values()) + 1
    numbers = {split: np.bincount(values, minlength=num_classes) for split, values in per_split.items()}
    brings_splits = is_addition or (Split.TRAIN in splits and len(splits) > 1)
    by_split = (
        {str(split): numbers[split] for split in splits}
        if brings_splits
        else {"all": np.sum(list(numbers.values()), axis=0)}
    )
    counts = {str(label): {name: int(found[label]) for name, found in by_split.items()} for label in range(num_classes)}
    volumes = [_volume_warning(headers[f"{split}_images"]) for split in splits if headers[f"{split}_images"].is_volume]
    warnings = volumes[:1] if is_addition else [*volumes[:1], *_warnings(counts, splits, brings_splits)]
    return Layout(
        top="", brings_splits=brings_splits, classes=list(counts), images=[PlannedImage(member.path, -1, None, member.size)],
        ignored=ignored, empty=[], warnings=warnings, kind="npz", array_counts=counts,
    )  # fmt: skip


def _read(path: str, file: BinaryIO) -> tuple[dict[str, Header], dict[str, NDArray[np.int64]]]:
    """The headers of all arrays, and the arrays of labels."""
    headers, labels = {}, {}
    for opened in zips.read(file, limits=LIMITS):
        name, _, ending = opened.member.path.rpartition(".")
        if ending != "npy":
            continue
        if opened.member.problem is not None and not name.endswith("_images"):
            raise BadInputError(f"The array {name} of {path} cannot be read: {opened.member.problem}", hint=EXPECTED)
        headers[name] = _header(name, opened)
        if name in {f"{split}_labels" for split in Split}:
            labels[name] = _label_values(name, headers[name], opened)
    return headers, labels


def _header(name: str, opened: Opened) -> Header:
    try:
        start = io.BytesIO(next(opened.chunks(CHUNK), b""))
        major, _ = np.lib.format.read_magic(start)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(start)
    except ValueError as error:
        raise BadInputError(f"The array {name} has no readable header ({str(error)[:100]}).", hint=EXPECTED) from error
    if is_fortran and len(shape) > 1:
        raise BadInputError(
            f"The array {name} lies in Fortran order.",
            hint="Save it with numpy.ascontiguousarray, then upload it again.",
        )
    return Header(shape, dtype)


def _label_values(name: str, header: Header, opened: Opened) -> NDArray[np.int64]:
    """(N,) the labels of one split."""
    shape, dtype = header
    if dtype.kind not in "iu" or len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        more = (
            f" Several labels for each image, as {shape[1]} here, are not read."
            if len(shape) == 2 and dtype.kind in "iu"
            else ""
        )
        raise BadInputError(f"The array {name} is {_words(header)}.{more}", hint=EXPECTED)
    if opened.member.size > MAX_LABEL_BYTES or math.prod(shape) * dtype.itemsize > opened.member.size:
        raise BadInputError(f"The array {name} is damaged, or larger than {MAX_LABEL_BYTES >> 20} MiB.", hint=EXPECTED)
    content = b"".join(opened.chunks(CHUNK))
    try:
        values = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BadInputError(f"The array {name} is damaged ({str(error)[:100]}).", hint=EXPECTED) from error
    if values.size and not (values.min() >= 0 and values.max() < MAX_CLASSES):
        span = f"{values.min()} to {values.max()}"
        raise BadInputError(
            f"The labels in {name} go from {span}; they are numbers of classes, 0 to {MAX_CLASSES - 1}.", hint=EXPECTED
        )
    return np.asarray(values, dtype=np.int64).reshape(-1)


def _labels_of(
    split: Split, headers: Mapping[str, Header], labels: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """The labels of one split, checked against its images."""
    images = headers[f"{split}_images"]
    dtypes = (np.uint8,) if images.is_colour else (np.uint8, np.uint16)
    if len(images.shape) not in (3, 4) or images.dtype not in dtypes:
        raise BadInputError(f"The array {split}_images is {_words(images)}.", hint=EXPECTED)
    if f"{split}_labels" not in labels:
        raise BadInputError(f"There is {split}_images, but no {split}_labels.", hint=EXPECTED)
    values = labels[f"{split}_labels"]
    if len(values) != images.shape[0]:
        raise BadInputError(
            f"{split}_images has {images.shape[0]:,} images and {split}_labels {len(values):,} labels.", hint=EXPECTED
        )
    return values


def _words(header: Header) -> str:
    return f"{' x '.join(map(str, header.shape)) or 'a single value'} of {header.dtype}"


def _volume_warning(images: Header) -> str:
    return f"Each is a volume ({' x '.join(map(str, images.shape[1:]))}), of which the import takes slices."


def _warnings(counts: Mapping[str, Mapping[str, int]], splits: list[Split], brings_splits: bool) -> list[str]:
    totals = {name: sum(numbers.values()) for name, numbers in counts.items()}
    warnings = [f"No image has the label {name}." for name, total in totals.items() if total == 0]
    if not brings_splits:
        there = " and ".join(f"{split}_images" for split in splits)
        warnings.append(f"There is only {there}; all images are split anew, by the seed.")
    if len(counts) == 1:
        warnings.append("There is only one class, 0. A classifier needs at least two.")
    return [*warnings, *chain.from_iterable(few_warnings(name, total) for name, total in totals.items() if total)]
