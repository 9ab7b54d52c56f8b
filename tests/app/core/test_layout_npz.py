"""One npz file in MedMNIST's form."""

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest

from app.core.errors import BadInputError
from app.core.layouts import Layout
from tests.app.core.layout_files import GOOD_NPZ, found_in, images, labels, npz, pixels, reasons


def layout_of(**changed: Any) -> Layout:
    arrays = {name: array for name, array in (GOOD_NPZ | changed).items() if array is not None}
    return found_in({"pathmnist.npz": npz(**arrays)})


def test_classes_are_the_label_values_and_splits_the_arrays_names():
    layout = layout_of()
    assert (layout.kind, layout.classes, layout.brings_splits, layout.num_images) == ("npz", ["0", "1", "2"], True, 11)
    assert layout.counts == {
        "0": {"train": 2, "val": 1, "test": 1}, "1": {"train": 2, "val": 0, "test": 1}, "2": {"train": 2, "val": 1, "test": 1},
    }  # fmt: skip
    assert [(image.path, image.label, image.split) for image in layout.images] == [("pathmnist.npz", -1, None)]
    assert layout.as_json()["summary"] == "Arrays of images with labels in pathmnist.npz"


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8, 1), (5, 9)])
def test_images_are_grey_or_colour(shape: tuple[int, ...]):
    assert layout_of(**{f"{s}_images": pixels(n, *shape) for s, n in (("train", 6), ("val", 2), ("test", 3))}).num_images == 11  # fmt: skip


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint16"])
def test_labels_are_whole_numbers_of_any_width_in_a_column_or_a_row(dtype: str):
    values = np.array([0, 1, 0, 1, 1, 0], dtype=dtype)
    assert layout_of(train_labels=values).counts["1"]["train"] == 3
    assert layout_of(train_labels=values[:, None]).counts["1"]["train"] == 3


def test_one_split_alone_is_split_anew_and_a_label_of_no_image_is_said():
    layout = layout_of(val_images=None, val_labels=None, test_images=None, test_labels=None, train_labels=labels(0, 0, 0, 3, 3, 3))  # fmt: skip
    assert (layout.brings_splits, layout.counts["3"]) == (False, {"all": 3})
    assert layout.warnings[:2] == ["No image has the label 1.", "No image has the label 2."]
    assert "all images are split anew" in layout.warnings[2]


@pytest.mark.parametrize(("changed", "says"), [
    ({"train_labels": np.zeros((6, 14), dtype=np.uint8)}, "Several labels for each image, as 14 here"),
    ({"train_labels": np.array([0.5] * 6)}, "is 6 of float64"),
    ({"train_labels": labels(0, 1)}, "has 6 images and train_labels 2 labels"),
    ({"train_labels": np.array([0, 1, -1, 0, 1, 2])}, "go from -1 to 2"),
    ({"train_labels": np.array([0, 1, 5000, 0, 1, 2])}, "go from 0 to 5000"),
    ({"train_labels": None}, "train_images, but no train_labels"),
    ({"train_images": pixels(6, 8, 8, 8, 8)}, "train_images is 6 x 8 x 8 x 8 x 8 of uint8"),
    ({"train_images": pixels(6, 8, 8, 3).astype(np.uint16)}, "train_images is 6 x 8 x 8 x 3 of uint16"),
    ({"train_images": np.asfortranarray(pixels(6))}, "lies in Fortran order"),
    ({"train_labels": np.array([True] * 6)}, "is 6 of bool"),
    ({"train_images": pixels(6).astype(np.float32)}, "of float32"),
    ({f"{s}_images": None for s in ("train", "val", "test")}, "holds test_labels, train_labels, val_labels"),
])  # fmt: skip
def test_another_form_is_refused_with_what_was_found_and_what_is_expected(changed: dict[str, Any], says: str):
    with pytest.raises(BadInputError, match=says) as caught:
        layout_of(**changed)
    assert "MedMNIST has it: train_images (N, H, W)" in caught.value.hint or "ascontiguousarray" in caught.value.hint


def test_volumes_are_counted_and_said_to_be_sliced():
    layout = layout_of(**{f"{s}_images": pixels(n, 5, 8, 9) for s, n in (("train", 6), ("val", 2), ("test", 3))})
    assert layout.num_images == 11
    assert layout.warnings[0] == "Each is a volume (5 x 8 x 9), of which the import takes slices."


def test_splits_without_train_are_split_anew_together():
    layout = layout_of(train_images=None, train_labels=None)
    assert layout.counts == {"0": {"all": 2}, "1": {"all": 1}, "2": {"all": 2}}
    assert "There is only val_images and test_images; all images are split anew, by the seed." in layout.warnings


def test_a_split_of_no_images_is_none():
    layout = layout_of(val_images=pixels(0), val_labels=labels())
    assert layout.counts["0"] == {"train": 2, "test": 1}


def test_objects_in_it_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "trapped"), "w"))

    with pytest.raises(BadInputError, match="of object"):
        layout_of(train_labels=np.array([Trap()] * 6, dtype=object))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("content", [b"no zip at all", npz(train_images=pixels(2))[:-30]])
def test_a_file_that_is_none_is_refused(content: bytes):
    with pytest.raises(BadInputError, match="zip archive"):
        found_in({"x.npz": content})


def test_a_header_that_announces_more_than_there_is_takes_no_memory():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in ("train_images", "train_labels"):
            header = io.BytesIO()
            shape = (10**12, 8, 8) if name == "train_images" else (10**12, 1)
            np.lib.format.write_array_header_1_0(header, {"shape": shape, "fortran_order": False, "descr": "|u1"})
            archive.writestr(f"{name}.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(BadInputError, match="train_labels is damaged"):
        found_in({"x.npz": held.getvalue()})


@pytest.mark.parametrize("options", [{"group_by": "x"}, {"group_pattern": "x"}, {"label_by": "x"}])
def test_options_that_it_cannot_follow_are_refused(options: dict[str, str]):
    with pytest.raises(BadInputError) as caught:
        found_in({"x.npz": npz(**GOOD_NPZ)}, **options)
    assert caught.value.errors[0]["pointer"] == f"/{next(iter(options))}"


def test_beside_images_it_is_ignored_and_tables_beside_it_are():
    layout = found_in({**images("a/1.png", "b/1.png"), "x.npz": 1000})
    assert "where it is alone" in reasons(layout)["x.npz"]
    layout = found_in({"data/x.npz": npz(**GOOD_NPZ), "data/info.csv": 10, "README.md": 10})
    assert sorted(reasons(layout)) == ["README.md", "data/info.csv"]
    with pytest.raises(BadInputError, match="2 npz files"):
        found_in({"x.npz": 10, "y.npz": 10})


def test_what_is_stored_of_it_is_json():
    assert json.loads(json.dumps(layout_of().as_json()))["counts"]["1"]["val"] == 0
