"""What an upload is, where its images join those of a dataset: each split that it names counts, and few images are enough."""

import io

import numpy as np
import pytest

from app.core.archives import Member
from app.core.layouts import Layout, detect
from models import Split
from models.specs import LayoutOptions
from tests.app.core.layout_files import InMemory

ADDITION = LayoutOptions(dataset_id=1)


def laid_out(files: dict[str, bytes], options: LayoutOptions) -> Layout:
    return detect([Member(path, len(data)) for path, data in files.items()], InMemory(files), options)


def named(*paths: str) -> dict[str, bytes]:
    return dict.fromkeys(paths, b"x")


@pytest.mark.parametrize("top", ["", "more/"])
def test_a_test_folder_alone_says_the_split(top: str) -> None:
    files = named(f"{top}test/a/1.png", f"{top}test/a/2.png")
    found = laid_out(files, ADDITION)
    assert (found.brings_splits, found.classes, {image.split for image in found.images}) == (True, ["a"], {Split.TEST})
    assert found.counts == {"a": {"test": 2}}
    assert not laid_out(files, LayoutOptions()).brings_splits


def test_a_column_of_one_split_says_it() -> None:
    table = b"file,label,split\n1.png,a,val\n2.png,b,val\n"
    found = laid_out(named("1.png", "2.png") | {"labels.csv": table}, ADDITION)
    assert {image.split for image in found.images} == {Split.VAL}


def test_an_npz_of_test_images_says_it() -> None:
    held = io.BytesIO()
    np.savez(held, test_images=np.zeros((3, 4, 4), np.uint8), test_labels=np.array([[0], [1], [1]]))
    found = laid_out({"more.npz": held.getvalue()}, ADDITION)
    assert found.counts == {"0": {"test": 1}, "1": {"test": 2}}
    assert found.warnings == []


def test_a_single_class_of_a_few_images_is_as_it_should_be() -> None:
    files = named("a/1.png")
    assert laid_out(files, ADDITION).warnings == []
    assert len(laid_out(files, LayoutOptions()).warnings) == 2
