import io
import re
import zipfile

import numpy as np
import pytest

from app.core.images import pixel_sha256
from tests.app.core.hostile import overlapping

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (3, 5, 6, 3), dtype=np.uint8)


def npz(*, compressed: bool = False, **arrays: np.ndarray) -> bytes:
    target = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(target, **arrays)
    return target.getvalue()


def medmnist(**changes: np.ndarray) -> bytes:
    arrays = {
        "train_images": GREY[:4], "val_images": GREY[4:5], "test_images": GREY[5:],
        "train_labels": np.array([[0], [1], [2], [0]], np.uint8), "val_labels": np.array([[1]], np.uint8),
        "test_labels": np.array([[2], [0]], np.uint8),
    }  # fmt: skip
    return npz(**arrays | changes)


def raw(name: str, content: bytes, *others: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for each, data in ((name, content), *others):
            archive.writestr(each, data)
    return target.getvalue()


def array(shape: str, descr: str = "'|u1'", data: bytes = b"") -> bytes:
    """An array file with a header of our own."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


class TestMedMNIST:
    def test_images_come_with_their_labels_and_splits(self, pictures):
        found = pictures(medmnist())
        assert [(each.frame, each.split, each.label) for each in found] == [
            ("train 00000", "train", 0), ("train 00001", "train", 1), ("train 00002", "train", 2), ("train 00003", "train", 0),
            ("val 00000", "val", 1), ("test 00000", "test", 2), ("test 00001", "test", 0),
        ]  # fmt: skip
        assert [each.pixel_sha256 for each in found] == [pixel_sha256(image[..., None]) for image in GREY]
        assert {(each.group, each.series, each.position, each.conversion, each.mode) for each in found} == {
            (None, None, None, "", "L")
        }

    def test_colour(self, pictures):
        found = pictures(npz(train_images=COLOUR, train_labels=np.array([0, 1, 1])))
        assert np.array_equal(np.stack([each.array for each in found]), COLOUR)

    def test_compressed(self, pictures):
        data = npz(compressed=True, train_images=GREY, train_labels=np.arange(7))
        assert [each.pixel_sha256 for each in pictures(data)] == [pixel_sha256(image[..., None]) for image in GREY]

    def test_sixteen_bit_is_scaled(self, pictures):
        images = np.array([[[0, 1000], [2000, 4000]]], np.uint16)
        (only,) = pictures(npz(train_images=images, train_labels=np.array([1])), scaling="full")
        assert only.array[..., 0].tolist() == [[0, 64], [128, 255]]
        assert only.conversion == "full range 0 to 4000"

    def test_volumes_become_slices_of_a_series_each(self, pictures):
        volumes = RNG.integers(0, 256, (2, 10, 6, 7), dtype=np.uint8)
        found = pictures(npz(train_images=volumes, train_labels=np.array([[0], [3]])), slice_every=4)
        assert [each.frame for each in found] == [
            "train 00000 slice z 001", "train 00000 slice z 005", "train 00001 slice z 001", "train 00001 slice z 005",
        ]  # fmt: skip
        assert np.array_equal(found[1].array[..., 0], volumes[0, 5])
        assert [each.label for each in found] == [0, 0, 3, 3]
        assert len({each.series for each in found}) == 2
        (first, *_) = pictures(npz(train_images=volumes, train_labels=np.array([[0], [3]])), slice_axis="x")
        assert np.array_equal(first.array[..., 0], volumes[0, :, :, 1])


class TestRefusals:
    @pytest.mark.parametrize(("changes", "says"), [
        ({"train_labels": np.zeros((4, 14), np.uint8)}, "14 findings at once"),
        ({"train_labels": np.zeros(3, np.uint8)}, "4 train images and 3 labels"),
        ({"train_labels": np.zeros(4)}, "no list of labels"), ({"train_labels": np.array([0, -1, 0, 0])}, "labels outside 0"),
        ({"train_labels": np.array([0, 99999, 0, 0])}, "labels outside 0"), ({"train_images": np.zeros((4, 5, 6))}, "holds float64"),
        ({"train_images": np.zeros((4, 5), np.uint8)}, r"has the shape \(4, 5\)"),
        ({"train_images": np.zeros((4, 0, 5), np.uint8)}, "no size"),
        ({"train_images": np.zeros((4, 5, 6, 3), np.uint16)}, "16 bit"), ({"train_images": np.asfortranarray(GREY[:4])}, "Fortran"),
    ])  # fmt: skip
    def test_say_what_was_expected(self, refusal, changes, says):
        assert re.search(says, refusal(medmnist(**changes)))

    def test_another_form_is_refused_with_what_was_found(self, refusal):
        assert refusal(npz(x=GREY, y=np.arange(7))).endswith("as MedMNIST has them; found x, y.")
        assert "found word/document.xml" in refusal(raw("word/document.xml", b"<x/>"))

    def test_images_without_labels(self, refusal):
        assert "another form" in refusal(npz(train_images=GREY))


class TestHostile:
    def test_pickles_are_never_opened(self, refusal, tmp_path):
        class Evil:
            def __reduce__(self):
                return (open, (str(tmp_path / "opened"), "w"))

        objects = np.array([Evil(), Evil()], dtype=object)
        assert "Python objects" in refusal(npz(train_images=GREY[:2], train_labels=objects))
        assert "Python objects" in refusal(npz(train_images=objects, train_labels=np.arange(2)))
        assert "damaged" in refusal(raw("train_images.npy", b"cos\nsystem\n(S'touch opened'\ntR."))
        assert not (tmp_path / "opened").exists()

    @pytest.mark.parametrize(("shape", "says"), [
        ("(1, 99999, 99999)", "100 million pixels"), ("(9999999999, 28, 28)", "9,999,999,999 images; at most"),
        ("(400000, 1000, 1000)", "too large together"), ("(3, 28, 28)", "cut off after 0 images"), ("(-1, 28, 28)", "no size"),
        ("(True, 2, 2)", "damaged|labels"), ("(" + "9," * 5000 + ")", "damaged"),
    ])  # fmt: skip
    def test_sizes_are_checked_before_anything_is_allocated(self, refusal, shape, says):
        labels = io.BytesIO()
        np.save(labels, np.arange(3))
        data = raw("train_images.npy", array(shape), ("train_labels.npy", labels.getvalue()))
        assert re.search(says, refusal(data))

    def test_more_labels_than_bytes(self, refusal):
        data = raw("train_images.npy", array("(400000, 2, 2)"), ("train_labels.npy", array("(400000,)")))
        assert refusal(data) == "The array train_labels is cut off."

    def test_overlapping_arrays_and_bombs_are_refused(self, refusal):
        assert re.search("overlap|100 times", refusal(overlapping(10)))
        zeros = npz(
            compressed=True, train_images=np.zeros((3000, 100, 100), np.uint8), train_labels=np.zeros(3000, np.uint8)
        )
        assert "100 times its size" in refusal(zeros)

    def test_broken_bytes_are_refused_or_read(self, reason):
        data, rng = medmnist(), np.random.default_rng(0)
        for _ in range(200):
            broken = bytearray(data)
            for at in rng.integers(0, len(data), rng.integers(1, 5)):
                broken[at] = rng.integers(0, 256)
            reason(bytes(broken))
