import gzip
import io
import itertools
import re

import nibabel
import numpy as np
import pytest

from app.core.images import pixel_sha256

RAS = np.eye(4)  # x to the patient's right, y to the front, z to the head
VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
ALL = {"slice_from": 0, "slice_to": 100}


def nifti(voxels: np.ndarray, affine: np.ndarray = RAS, *, kind=nibabel.Nifti1Image, header=None, **options) -> bytes:
    image = kind(voxels, affine, header, **options)
    image.header["descrip"] = b"Zebulon Quagmire"
    return image.to_bytes()


class TestOrientation:
    def marked(self, **place: int) -> np.ndarray:
        """(4, 5, 6) of zeros with a plane of 200 at one end of one axis."""
        voxels = np.zeros((4, 5, 6), np.uint8)
        ((axis, at),) = place.items()
        voxels[tuple(at if name == axis else slice(None) for name in "xyz")] = 200
        return voxels

    def test_axial_slices_have_the_front_on_top_and_the_right_on_the_left(self, pictures):
        front, right = (pictures(nifti(self.marked(**end)), **ALL)[2].array[..., 0] for end in ({"y": 4}, {"x": 3}))
        assert front.shape == (5, 4)
        assert front[0].tolist() == [200] * 4
        assert not front[1:].any()
        assert right[:, 0].tolist() == [200] * 5
        assert not right[:, 1:].any()

    def test_coronal_slices_have_the_head_on_top_and_the_right_on_the_left(self, pictures):
        head, right = (
            pictures(nifti(self.marked(**end)), slice_axis="y", **ALL)[2].array[..., 0] for end in ({"z": 5}, {"x": 3})
        )
        assert head.shape == (6, 4)
        assert (head[0] == 200).all()
        assert (right[:, 0] == 200).all()

    def test_sagittal_slices_have_the_head_on_top_and_the_front_on_the_left(self, pictures):
        head, front = (
            pictures(nifti(self.marked(**end)), slice_axis="x", **ALL)[2].array[..., 0] for end in ({"z": 5}, {"y": 4})
        )
        assert head.shape == (6, 5)
        assert (head[0] == 200).all()
        assert (front[:, 0] == 200).all()

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    @pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
    def test_is_the_patients_however_the_voxels_lie(self, pictures, order, flips):
        stored = np.transpose(VOLUME, order)[tuple(slice(None, None, flip) for flip in flips)]
        affine = np.zeros((4, 4))
        affine[3, 3] = 1
        for axis, (patient_axis, flip) in enumerate(zip(order, flips, strict=True)):
            affine[patient_axis, axis] = flip
        lying, straight = pictures(nifti(stored, affine), **ALL), pictures(nifti(VOLUME), **ALL)
        assert [each.pixel_sha256 for each in lying] == [each.pixel_sha256 for each in straight]
        assert all(np.array_equal(one.array, other.array) for one, other in zip(lying, straight, strict=True))


class TestSlices:
    def test_are_named_and_ordered_along_the_axis(self, pictures):
        found = pictures(nifti(VOLUME), **ALL)
        assert [each.frame for each in found] == [f"slice z 00{number}" for number in range(6)]
        assert [each.position for each in found] == [0, 1, 2, 3, 4, 5]
        assert {each.series for each in found} == {"f" * 64}
        assert {each.group for each in found} == {None}

    @pytest.mark.parametrize(("options", "numbers"), [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),  # the middles of slices 0 and 9 lie at 5 and 95 %
        ({"slice_from": 50, "slice_to": 100}, [5, 6, 7, 8, 9]), ({"slice_every": 3}, [1, 4, 7]),
        ({"slice_from": 44, "slice_to": 46}, [4]),
    ])  # fmt: skip
    def test_of_a_range_every_nth(self, pictures, options, numbers):
        found = pictures(nifti(np.zeros((2, 2, 10), np.uint8)), **options)
        assert [each.frame for each in found] == [f"slice z {number:03d}" for number in numbers]

    def test_a_range_without_a_slice_is_refused_in_words(self, refusal):
        assert refusal(nifti(VOLUME), slice_from=1, slice_to=2) == (
            "None of its 6 slices along z lies between 1 and 2 % of the axis."
        )

    def test_a_flat_image_is_one_slice(self, pictures):
        assert [each.array.shape for each in pictures(nifti(np.zeros((4, 5), np.uint8)))] == [(5, 4, 1)]


class TestValues:
    def test_share_black_and_white_over_the_volume(self, pictures):
        found = pictures(nifti(VOLUME * 10), scaling="full", **ALL)
        assert {each.conversion for each in found} == {"full range 0 to 1190"}
        assert found[0].array.max() == round((VOLUME[..., 0].max() * 10) / 1190 * 255)
        assert found[5].array.max() == 255
        assert (found[0].mode, found[0].bit_depth) == ("I;16", 16)

    def test_a_window_is_in_rescaled_values(self, pictures):
        image = nibabel.Nifti1Image(np.array([[[0], [10]], [[20], [40]]], np.int16), RAS)
        image.header.set_slope_inter(2, -20)  # values -20, 0, 20, 60
        (only,) = pictures(image.to_bytes(), scaling="window", window_low=0, window_high=40, **ALL)
        assert only.array[..., 0].tolist() == [
            [255, 0],
            [128, 0],
        ]  # the right (x = 1) on the left, the front (y = 1) on top
        assert only.conversion == "rescale slope 2 intercept -20; window 0 to 40"

    def test_a_falling_slope_turns_percentiles_round(self, pictures):
        image = nibabel.Nifti1Image(np.arange(101, dtype=np.int16).reshape(101, 1, 1), RAS)
        image.header.set_slope_inter(-1, 0)
        (only,) = pictures(image.to_bytes(), scaling="percentile", percentile_low=10, percentile_high=100, **ALL)
        assert only.conversion == "rescale slope -1 intercept 0; percentiles 10 to 100: -90 to 0"
        assert only.array.ravel()[[0, 10, 100]].tolist() == [0, 0, 255]  # stored 100, 90 and 0

    def test_floats_with_holes(self, pictures):
        voxels = np.array([np.nan, 0.0, 0.5, 1.0, np.inf, -np.inf], np.float32).reshape(6, 1, 1)
        (only,) = pictures(nifti(voxels), scaling="full", **ALL)
        assert only.array.ravel()[::-1].tolist() == [0, 0, 128, 255, 255, 0]
        assert (only.mode, only.bit_depth) == ("F", 32)

    def test_eight_bit_stays_as_it_is(self, pictures):
        voxels = np.random.default_rng(0).integers(0, 256, (3, 4, 1), dtype=np.uint8)
        (only,) = pictures(nifti(voxels), **ALL)
        assert np.array_equal(only.array, voxels[::-1, ::-1].swapaxes(0, 1))
        assert only.conversion == ""
        assert only.pixel_sha256 == pixel_sha256(only.array)

    def test_colour(self, pictures):
        colours = np.random.default_rng(0).integers(0, 256, (3, 4, 2, 3), dtype=np.uint8)
        voxels = np.ascontiguousarray(colours).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
        first, _ = pictures(nifti(voxels), **ALL)
        assert np.array_equal(first.array, colours[::-1, ::-1, 0].swapaxes(0, 1))

    @pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.float64, ">i2", ">f4"])
    def test_other_numbers(self, pictures, dtype):
        voxels = VOLUME.astype(dtype)
        found = pictures(nifti(voxels, dtype=voxels.dtype), scaling="full", **ALL)
        expected = pictures(nifti(VOLUME), scaling="full", **ALL)
        assert [each.array.tolist() for each in found] == [each.array.tolist() for each in expected]

    def test_equal_pixels_have_the_hash_of_a_16_bit_png(self, pictures):
        (only,) = pictures(nifti(VOLUME[:, :, :1]), **ALL)
        assert only.pixel_sha256 == pixel_sha256(VOLUME[::-1, ::-1, :1].swapaxes(0, 1).astype(np.uint16))


class TestFiles:
    def test_gzipped_and_nifti_2_are_the_same(self, pictures):
        plain = pictures(nifti(VOLUME))
        for data in (gzip.compress(nifti(VOLUME)), nifti(VOLUME, kind=nibabel.Nifti2Image)):
            assert [each.array.tolist() for each in pictures(data)] == [each.array.tolist() for each in plain]

    def test_of_several_volumes_the_first(self, pictures):
        found = pictures(nifti(np.stack([VOLUME, VOLUME + 1000], axis=3)), **ALL)
        assert [each.pixel_sha256 for each in found] == [each.pixel_sha256 for each in pictures(nifti(VOLUME), **ALL)]
        assert found[0].conversion.endswith("; first of 2 volumes")

    def test_or_all_of_them(self, pictures):
        found = pictures(nifti(np.stack([VOLUME, VOLUME + 1000], axis=3)), volumes="all", **ALL)
        assert [each.frame for each in found][5:7] == ["volume 000 slice z 005", "volume 001 slice z 000"]
        assert [each.position for each in found] == list(range(12))

    def test_what_the_header_says_about_people_is_not_kept(self, pictures):
        assert "Zebulon" not in repr([each._replace(array=None) for each in pictures(nifti(VOLUME))])

    def test_a_pair_of_files_is_refused_in_words(self, refusal):
        pair = nibabel.Nifti1Pair(VOLUME, RAS)
        pair.file_map["header"].fileobj, pair.file_map["image"].fileobj = io.BytesIO(), io.BytesIO()
        pair.to_file_map()
        assert "two files (.hdr and .img)" in refusal(pair.file_map["header"].fileobj.getvalue())

    @pytest.mark.parametrize(("voxels", "says"), [
        (np.zeros((2, 2, 2), np.complex64), "complex numbers"), (np.zeros((2, 2, 2, 1, 3), np.float32), "5 dimensions"),
    ])  # fmt: skip
    def test_what_is_no_image_is_refused_in_words(self, refusal, voxels, says):
        assert re.search(says, refusal(nifti(voxels)))


def with_header(data: bytes, **fields) -> bytes:
    header = nibabel.Nifti1Header(data[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + data[348:]


class TestHostile:
    @pytest.mark.parametrize(("fields", "says"), [
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "more than 100 million pixels"),
        ({"dim": [4, 8000, 8000, 8000, 8000, 1, 1, 1]}, "at most 500,000"),
        ({"dim": [3, 5000, 5000, 600, 1, 1, 1, 1]}, "larger than 1 GB|shorter"), ({"dim": [3, 40, 50, 60, 1, 1, 1, 1]}, "cut off"),
        ({"dim": [3, -4, 5, 6, 1, 1, 1, 1]}, "no size|damaged"), ({"dim": [0, 0, 0, 0, 0, 0, 0, 0]}, "damaged"),
        ({"vox_offset": 1e9}, "cut off"), ({"vox_offset": -5}, "damaged"), ({"datatype": 9999}, "damaged"),
        ({"sform_code": 1, "srow_x": [np.nan] * 4}, "damaged"), ({"vox_offset": np.inf}, "damaged"),
    ])  # fmt: skip
    @pytest.mark.parametrize("packed", [False, True])
    def test_sizes_are_checked_before_anything_is_allocated(self, refusal, fields, says, packed):
        data = with_header(nifti(VOLUME), **fields)
        assert re.search(says, refusal(gzip.compress(data) if packed else data))

    def test_a_gzip_that_was_cut_off(self, refusal):
        data = gzip.compress(nifti(np.random.default_rng(0).integers(0, 9999, (30, 30, 30), dtype=np.int16)))
        assert refusal(data[:-2000]) == "Its compressed data is damaged."

    def test_broken_bytes_are_refused_or_read(self, reason):
        rng = np.random.default_rng(0)
        data = nifti(VOLUME)
        for _ in range(300):
            broken = bytearray(data)
            for at in rng.integers(0, 352, rng.integers(1, 5)):
                broken[at] = rng.integers(0, 256)
            assert "Zebulon" not in reason(bytes(broken))
