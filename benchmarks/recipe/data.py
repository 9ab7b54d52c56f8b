"""Read a zip of class folders at one small resolution, and split it so that equal pixels stay on one side.

Every image goes through the same reduction to `image_size` px before anything is enlarged again, so that real and synthetic
training sets carry the same detail.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
SHARES = (0.7, 0.1, 0.2)  # training, validation, test
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """images_uint8: (N, S, S, C); labels: (N,) int64; part: (N,) indices into PARTS; classes: names."""

    images_uint8: NDArray[np.uint8]
    labels: NDArray[np.int64]
    part: NDArray[np.int64]
    classes: list[str]

    def of(self, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        chosen = self.part == PARTS.index(part)
        return self.images_uint8[chosen], self.labels[chosen]


def read_dataset(path: Path, *, image_size: int, channels: int, split_seed: int) -> Dataset:
    """Decode the images of a zip, stretched to image_size px, grey (1 channel) or RGB (3)."""
    images, names, digests = [], [], []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.count("/") != 1 or not name.lower().endswith(ENDINGS):
                continue
            image = Image.open(io.BytesIO(archive.read(name))).convert("L" if channels == 1 else "RGB")
            digests.append(hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest())
            small = np.asarray(image.resize((image_size, image_size), Image.Resampling.LANCZOS))
            images.append(small.reshape(image_size, image_size, channels))
            names.append(name.split("/")[0])
    classes = sorted(set(names))
    labels = np.array([classes.index(name) for name in names], dtype=np.int64)
    part = split(labels, np.array(digests), seed=split_seed)
    return Dataset(np.stack(images), labels, part, classes)


def split(labels: NDArray[np.int64], digests: NDArray[np.str_], *, seed: int) -> NDArray[np.int64]:
    """Return (N,) part indices: each class's distinct images in shares of SHARES, duplicates with their first."""
    part = np.full(len(labels), -1, dtype=np.int64)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        distinct = rng.permutation(np.unique(digests[labels == label]))
        ends = np.round(np.cumsum(SHARES) * len(distinct)).astype(int)
        for index, group in enumerate(np.split(distinct, ends[:-1])):
            part[(labels == label) & np.isin(digests, group)] = index
    return part


def equal_real(dataset: Dataset, *, per_class: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return at most per_class real training images of each class, drawn by seed."""
    images, labels = dataset.of("train")
    rng = np.random.default_rng(seed)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == label))[:per_class] for label in range(len(dataset.classes))]
    )
    return images[chosen], labels[chosen]
