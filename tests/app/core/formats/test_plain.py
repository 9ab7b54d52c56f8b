"""Scaling of PNG and TIFF of more than 8 bit, which is that of all formats; and what files of 8 bit are spared."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.core.formats.conversion import Conversion
from app.core.formats.scaling import Bounds, Rescale, bounds_of, percentiles, to_8_bit, values_sha256
from app.core.formats.sniffing import looks_like_dicom, suffix_of
from app.core.images import encode_png, pixel_sha256, to_uint8

STEPS = np.arange(1001, dtype=np.uint16).reshape(7, 143, 1)  # percentiles 0.5 and 99.5 are 5 and 995


def tiff(values: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(values).save(target, "TIFF")
    return target.getvalue()


class TestSixteenBit:
    @pytest.mark.parametrize("data", [encode_png(STEPS), tiff(STEPS[..., 0])])
    def test_percentiles_by_default(self, picture, data):
        found = picture(data)
        assert np.array_equal(found.array, to_uint8(STEPS))  # as stored images of 16 bit are read
        assert found.array.ravel()[[5, 500, 995]].tolist() == [0, 128, 255]  # (500 - 5) / 990 * 255 = 127.5
        assert found.conversion == "percentiles 0.5 to 99.5: 5 to 995"
        assert (found.mode, found.bit_depth, found.pixel_sha256) == ("I;16", 16, pixel_sha256(STEPS))

    def test_other_percentiles(self, picture):
        found = picture(encode_png(STEPS), scaling="percentile", percentile_low=10, percentile_high=60)
        assert found.conversion == "percentiles 10 to 60: 100 to 600"
        assert found.array.ravel()[[100, 350, 600]].tolist() == [0, 128, 255]

    def test_a_window(self, picture):
        found = picture(encode_png(STEPS), scaling="window", window_low=200, window_high=710)
        assert found.array.ravel()[[200, 210, 710]].tolist() == [0, 5, 255]
        assert found.conversion == "window 200 to 710"

    def test_the_full_range(self, picture):
        found = picture(encode_png(STEPS + 24), scaling="full")
        assert found.conversion == "full range 24 to 1024"
        assert found.array.ravel()[[0, 200, 1000]].tolist() == [0, 51, 255]

    def test_the_hash_is_that_of_the_pixels_whatever_the_scaling(self, picture):
        hashes = {picture(encode_png(STEPS), scaling=scaling).pixel_sha256 for scaling in ("auto", "full")}
        assert hashes == {pixel_sha256(STEPS)}

    def test_eight_bit_content_is_divided_exactly(self, picture):
        ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
        found = picture(encode_png(ramp.astype(np.uint16) * 257), scaling="full")
        assert np.array_equal(found.array, ramp)
        assert (found.conversion, found.pixel_sha256) == ("", pixel_sha256(ramp))

    def test_hardly_any_contrast_falls_back_to_the_full_range_and_says_so(self, picture):
        values = np.full((50, 50, 1), 7, np.uint16)
        values[0, 0] = 1007
        found = picture(encode_png(values))
        assert found.conversion == "full range 7 to 1007, percentiles 0.5 to 99.5 being equal"
        assert found.array[0, :2, 0].tolist() == [255, 0]

    def test_one_value_is_black(self, picture):
        assert not picture(encode_png(np.full((3, 3, 1), 2571, np.uint16))).array.any()

    def test_a_window_of_floats_is_in_their_own_values(self, picture):
        values = np.array([[-1.5, 0.0, 0.25, 1.0, 3.0]], np.float32)
        found = picture(tiff(values), scaling="window", window_low=0, window_high=1)
        assert found.array.ravel().tolist() == [0, 0, 64, 255, 255]

    def test_colour_of_16_bit_is_read_as_8_bit_and_says_so(self, picture):
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
        pixel = b"\0" + struct.pack(">3H", 0x1234, 0x8000, 0xFFFF)
        data = (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixel)) + chunk(b"IEND", b"")
        )
        found = picture(data)
        assert found.array.tolist() == [[[0x12, 0x80, 0xFF]]]
        assert (found.bit_depth, found.conversion) == (16, "16 bit colour read as 8 bit")


@pytest.mark.parametrize(
    "options", [{}, {"scaling": "window", "window_low": 0, "window_high": 10}, {"scaling": "full"}]
)
def test_eight_bit_is_never_changed(picture, options):
    pixels = np.random.default_rng(0).integers(20, 90, (8, 9, 3), dtype=np.uint8)
    found = picture(encode_png(pixels), **options)
    assert np.array_equal(found.array, pixels)
    assert found.conversion == ""


class TestScaling:
    def test_percentiles_over_frames_are_those_of_all_numbers(self):
        frames = np.random.default_rng(0).integers(-3000, 3000, (5, 30, 20)).astype(np.int16)
        percents = (0, 0.5, 33.3, 50, 99.5, 100)
        assert percentiles(iter(frames), percents) == pytest.approx(np.percentile(frames, percents))
        assert percentiles(iter(frames.astype(np.float32)), percents) == pytest.approx(np.percentile(frames, percents))

    def test_nothing_finite_is_black(self):
        frame = np.full((2, 2), np.nan, np.float32)
        bounds = bounds_of([frame], Rescale(), Conversion.default())
        assert not to_8_bit(frame, Rescale(), bounds).any()

    def test_equal_bounds_are_a_threshold(self):
        assert to_8_bit(np.array([4, 5, 6], np.int16), Rescale(), Bounds(5, 5, "")).tolist() == [0, 0, 255]

    def test_values_are_hashed_and_not_how_they_are_stored(self):
        values = np.array([[-5, 0, 70]])
        stored = {values_sha256(values.astype(np.int16), Rescale()), values_sha256(values + 1000, Rescale(1.0, -1000.0)),
                  values_sha256(-values.astype(np.int32), Rescale(-1.0, 0.0))}  # fmt: skip
        assert len(stored) == 1
        assert values_sha256(values, Rescale(1.5, 0.0)) not in stored


class TestSniffing:
    def test_dicom_has_its_mark_at_byte_128(self):
        assert looks_like_dicom(bytes(128) + b"DICM")
        assert not looks_like_dicom(bytes(132))
        assert not looks_like_dicom(b"DICM")

    @pytest.mark.parametrize(("name", "suffix"), [
        ("a/b.NII.GZ", ".nii.gz"), ("x.dcm", ".dcm"), ("x.tar.gz", ".gz"), ("IM0001", ""), ("a.b/c", ""),
    ])  # fmt: skip
    def test_endings(self, name, suffix):
        assert suffix_of(name) == suffix
