"""Uploads in memory for tests of layouts: {path: content}, where an int stands for a file of that size, never read."""

import io
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from app.core.archives import Member
from app.core.layouts import Layout, detect
from app.core.upload_folder import ReadFile
from models.specs import LayoutOptions

Files = Mapping[str, "bytes | str | int"]


class InMemory:
    def __init__(self, files: Files) -> None:
        self.files = files

    def read(self, paths: Collection[str]) -> Iterator[ReadFile]:
        for path in paths:
            yield ReadFile(path, self.content(path), None)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        yield io.BytesIO(self.content(path))

    def content(self, path: str) -> bytes:
        content = self.files[path]
        assert not isinstance(content, int), f"{path} was read"
        return content.encode() if isinstance(content, str) else content


def found_in(files: Files, **options: str) -> Layout:
    """The layout of the files. Paths that end in a slash are folders."""
    contents = InMemory(files)
    members = [
        Member(path, 0 if path.endswith("/") else content if isinstance(content, int) else len(contents.content(path)))
        for path, content in files.items()
    ]
    return detect(members, contents, LayoutOptions.model_validate(options))


def many(folder: str, number: int = 12, suffix: str = ".png") -> list[str]:
    return [f"{folder}/{i:03d}{suffix}" for i in range(number)]


def images(*paths: str) -> dict[str, int]:
    return dict.fromkeys(paths, 100)


def reasons(layout: Layout) -> dict[str, str]:
    return dict(layout.ignored)


def classes_of(layout: Layout) -> dict[str, str]:
    return {image.path: layout.classes[image.label] for image in layout.images}


def groups_of(layout: Layout) -> dict[str, str | None]:
    return {image.path: image.group for image in layout.images}


def npz(**arrays: Any) -> bytes:
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)
    return held.getvalue()


def pixels(number: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, *(shape or (8, 8))), dtype=np.uint8)


def labels(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)[:, None]


GOOD_NPZ = {
    "train_images": pixels(6), "train_labels": labels(0, 1, 2, 0, 1, 2), "val_images": pixels(2), "val_labels": labels(0, 2),
    "test_images": pixels(3), "test_labels": labels(0, 1, 2),
}  # fmt: skip
