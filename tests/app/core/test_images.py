import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydicom.uid import JPEG2000Lossless

from app.core.errors import BadInputError
from app.core.formats.conversion import Conversion
from app.core.images import (
    DecoderPool,
    Prepared,
    Refused,
    contact_sheet,
    decode_file,
    encode_png,
    fit_square,
    is_grey,
    load_square,
    normalise,
    pixel_sha256,
    thumbnail_png,
    to_uint8,
)
from tests.dicoms import dataset, dicom
from tests.dicoms import saved as dicom_bytes

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None]  # (16, 16, 1)
COLOUR = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def saved(tmp_path: Path, image: Image.Image, name: str = "x.png", **options) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def grey_image() -> Image.Image:
    return Image.fromarray(RAMP[..., 0])


class TestDecode:
    @pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.webp"])
    def test_lossless_formats_keep_every_pixel(self, tmp_path: Path, name: str):
        decoded = decode_file(saved(tmp_path, Image.fromarray(COLOUR), name, lossless=True))
        assert np.array_equal(decoded.array, COLOUR)
        assert (decoded.mode, decoded.bit_depth, decoded.width, decoded.height) == ("RGB", 8, 20, 12)

    def test_jpeg(self, tmp_path: Path):
        decoded = decode_file(saved(tmp_path, grey_image(), "x.jpg", quality=95))
        assert decoded.array.shape == (16, 16, 1)
        assert np.abs(decoded.array.astype(int) - RAMP).max() < 16

    def test_goes_by_content_and_not_by_name(self, tmp_path: Path):
        path = saved(tmp_path, grey_image(), "x.bmp")
        assert np.array_equal(decode_file(path.rename(tmp_path / "x.JPG")).array, RAMP)

    @pytest.mark.parametrize(("mode", "shape"), [("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("1", 1)])
    def test_modes_of_png(self, tmp_path: Path, mode: str, shape: int):
        decoded = decode_file(saved(tmp_path, Image.fromarray(COLOUR).convert(mode)))
        assert (decoded.mode, decoded.array.dtype, decoded.array.shape) == (mode, np.uint8, (12, 20, shape))
        assert decoded.bit_depth == (1 if mode == "1" else 8)

    def test_cmyk(self, tmp_path: Path):
        decoded = decode_file(saved(tmp_path, Image.new("CMYK", (4, 4), (0, 0, 0, 255)), "x.tif"))
        assert decoded.mode == "CMYK"
        assert not decoded.array.any()

    @pytest.mark.parametrize("name", ["x.png", "x.tif"])
    def test_sixteen_bit_grey_stays_sixteen_bit(self, tmp_path: Path, name: str):
        values = np.linspace(0, 4095, 64, dtype=np.uint16).reshape(8, 8)
        decoded = decode_file(saved(tmp_path, Image.fromarray(values), name))
        assert decoded.bit_depth == 16
        assert decoded.array.dtype == np.uint16
        assert np.array_equal(decoded.array[..., 0], values)

    @pytest.mark.parametrize(("values", "expected"), [
        ([[0, 1000], [70000, 35000]], [[0, 936], [65535, 32768]]),  # 65535 / 70000 times, since it is beyond 16 bit
        ([[0, 1000], [65535, 7]], [[0, 1000], [65535, 7]]),
    ])  # fmt: skip
    def test_thirty_two_bit_integers(self, tmp_path: Path, values, expected):
        decoded = decode_file(saved(tmp_path, Image.fromarray(np.array(values, np.int32)), "x.tif"))
        assert decoded.bit_depth == 32
        assert decoded.array[..., 0].tolist() == expected

    def test_floats_go_from_minimum_to_maximum(self, tmp_path: Path):
        decoded = decode_file(saved(tmp_path, Image.fromarray(np.array([[-1, 0, 1]], np.float32)), "x.tif"))
        assert decoded.array[0, :, 0].tolist() == [0, 32768, 65535]

    def test_floats_that_are_no_numbers_are_refused(self, tmp_path: Path):
        with pytest.raises(BadInputError, match="NaN"):
            decode_file(saved(tmp_path, Image.fromarray(np.array([[np.nan, 1]], np.float32)), "x.tif"))

    def test_alpha_is_laid_on_black(self, tmp_path: Path):
        half = Image.new("RGBA", (2, 1), (200, 100, 50, 255))
        half.putpixel((1, 0), (200, 100, 50, 0))
        assert decode_file(saved(tmp_path, half)).array.tolist() == [[[200, 100, 50], [0, 0, 0]]]

    def test_a_transparent_palette_colour_is_black(self, tmp_path: Path):
        image = Image.new("P", (2, 1))
        image.putpalette([255, 0, 0, 0, 255, 0])
        image.putpixel((1, 0), 1)
        assert decode_file(saved(tmp_path, image, transparency=1)).array.tolist() == [[[255, 0, 0], [0, 0, 0]]]

    def test_the_exif_orientation_is_applied(self, tmp_path: Path):
        exif = Image.Exif()
        exif[0x0112] = 6  # turned a quarter
        decoded = decode_file(saved(tmp_path, Image.fromarray(COLOUR), exif=exif))
        assert np.array_equal(decoded.array, np.rot90(COLOUR, -1))
        assert (decoded.width, decoded.height) == (12, 20)

    def test_several_frames_are_refused(self, tmp_path: Path):
        with pytest.raises(BadInputError, match="2 frames"):
            decode_file(saved(tmp_path, grey_image(), "x.tif", save_all=True, append_images=[grey_image()]))

    @pytest.mark.parametrize(("data", "says"), [
        (b"", "The file is empty"), (b"GIF89a" + bytes(50), "not a PNG, JPEG, WebP, BMP or TIFF file .it begins with the bytes 47 49"),
        (b"<svg></svg>", "not a PNG"), (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged|not a PNG"),
    ])  # fmt: skip
    def test_what_is_no_image_is_refused_with_the_reason(self, tmp_path: Path, data: bytes, says: str):
        (tmp_path / "x.png").write_bytes(data)
        with pytest.raises(BadInputError, match=says):
            decode_file(tmp_path / "x.png")

    @pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bmp", "x.tif", "x.webp"])
    def test_a_file_that_was_cut_off_is_refused(self, tmp_path: Path, name: str):
        path = saved(
            tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), name
        )
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BadInputError, match=r"damaged|not a PNG"):
            decode_file(path)

    def test_too_many_pixels_are_refused_without_decoding_them(self, tmp_path: Path):
        data = bytearray(encode_png(RAMP))
        data[16:24] = (20_000).to_bytes(4) * 2
        data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4)
        (tmp_path / "x.png").write_bytes(data)
        started = time.monotonic()
        with pytest.raises(BadInputError, match="more than 100 million pixels"):
            decode_file(tmp_path / "x.png")
        assert time.monotonic() - started < 1


class TestNormalForm:
    def test_grey_saved_as_rgb_is_grey(self):
        rgb = np.repeat(RAMP, 3, axis=2)
        assert is_grey(rgb)
        assert np.array_equal(normalise(rgb), RAMP)
        assert pixel_sha256(rgb) == pixel_sha256(RAMP)

    @pytest.mark.parametrize(("shift", "grey"), [(8, True), (9, False)])
    def test_a_little_chroma_is_grey_and_more_is_colour(self, shift: int, grey: bool):
        rgb = np.full((4, 4, 3), 100, np.uint8)
        rgb[2, 2, 0] += shift
        assert is_grey(rgb) == grey
        assert normalise(rgb).shape[2] == (1 if grey else 3)

    def test_grey_saved_as_jpeg_in_colour_is_grey(self, tmp_path: Path):
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).convert("RGB")
        for options in ({"quality": 30}, {"quality": 95, "subsampling": 0}):
            assert is_grey(decode_file(saved(tmp_path, noise, "x.jpg", **options)).array)

    def test_eight_bit_saved_as_sixteen_is_eight_bit(self):
        wide = RAMP.astype(np.uint16) * 257
        assert normalise(wide).dtype == np.uint8
        assert pixel_sha256(wide) == pixel_sha256(RAMP)

    def test_sixteen_bit_colour_within_the_tolerance_is_sixteen_bit_grey(self):
        rgb = np.repeat(np.arange(1000, 1016, dtype=np.uint16).reshape(4, 4, 1), 3, axis=2)
        assert np.array_equal(normalise(rgb), rgb[..., :1])

    def test_other_pixels_shapes_and_depths_have_other_hashes(self):
        arrays = [RAMP, RAMP[::-1], RAMP.reshape(8, 32, 1), RAMP.astype(np.uint16), COLOUR, COLOUR[..., ::-1]]
        assert len({pixel_sha256(array) for array in arrays}) == len(arrays)

    def test_the_hash_is_the_sha256_of_shape_and_pixels(self):
        assert pixel_sha256(np.array([[[7], [9]]], np.uint8)) == hashlib.sha256(b"1x2x1:8:\x07\x09").hexdigest()

    def test_arrays_that_are_no_image_are_a_mistake(self):
        with pytest.raises(ValueError, match="expected uint8 or uint16"):
            is_grey(np.zeros((4, 4, 4), np.uint8))


class TestToUint8:
    def test_eight_bit_is_left_alone(self):
        assert to_uint8(RAMP) is RAMP or np.array_equal(to_uint8(RAMP), RAMP)

    def test_sixteen_bit_is_scaled_by_its_percentiles(self):
        values = np.arange(1001, dtype=np.uint16).reshape(7, 143, 1)  # percentiles 0.5 and 99.5 are 5 and 995
        scaled = to_uint8(values).ravel()
        assert (scaled[:6] == 0).all()
        assert (scaled[995:] == 255).all()
        assert scaled[500] == round((500 - 5) * 255 / 990)

    def test_without_contrast_the_value_is_kept(self):
        assert (to_uint8(np.full((3, 3, 1), 2570, np.uint16)) == 10).all()
        assert (to_uint8(np.full((3, 3, 1), 2571, np.uint16)) == 10).all()


class TestEncode:
    @pytest.mark.parametrize("array", [RAMP, COLOUR, np.arange(64, dtype=np.uint16).reshape(8, 8, 1) * 900])
    def test_keeps_every_pixel(self, tmp_path: Path, array):
        (tmp_path / "x.png").write_bytes(encode_png(array))
        assert np.array_equal(decode_file(tmp_path / "x.png").array, array)

    def test_carries_the_text_given_and_nothing_else(self):
        image = Image.open(io.BytesIO(encode_png(RAMP, {"seed": "7", "class": "gl\u00edoma"})))
        assert image.info == {"seed": "7", "class": "gl\u00edoma"}
        assert Image.open(io.BytesIO(encode_png(RAMP))).info == {}

    def test_sixteen_bit_colour_is_a_mistake(self):
        with pytest.raises(ValueError, match="to_uint8"):
            encode_png(COLOUR.astype(np.uint16))

    @pytest.mark.parametrize(
        ("shape", "size"), [((320, 640, 3), (160, 80)), ((500, 100, 1), (32, 160)), ((10, 20, 1), (20, 10))]
    )
    def test_a_thumbnail_fits_its_square_and_is_never_enlarged(self, shape, size):
        assert Image.open(io.BytesIO(thumbnail_png(np.zeros(shape, np.uint8)))).size == size

    def test_a_contact_sheet_has_rows_of_columns_with_black_between(self):
        images = np.stack([np.full((2, 3, 1), value, np.uint8) for value in (1, 2, 3)])
        sheet = contact_sheet(images, 2)
        assert sheet.shape == (2 + 2 + 2, 3 + 2 + 3, 1)
        assert sheet[0, :, 0].tolist() == [1, 1, 1, 0, 0, 2, 2, 2]
        assert sheet[4, :, 0].tolist() == [3, 3, 3, 0, 0, 0, 0, 0]

    def test_a_contact_sheet_has_no_more_columns_than_images(self):
        assert contact_sheet(np.zeros((2, 4, 4, 3), np.uint8), 8).shape == (4, 10, 3)


class TestFit:
    WIDE = Image.fromarray(np.hstack([np.full((40, 40), v, np.uint8) for v in (50, 100, 150)]))  # 120 x 40

    def test_stretch_uses_the_whole_image(self):
        array = fit_square(self.WIDE, image_size=12, channels=1, fit="stretch")
        assert array.shape == (12, 12, 1)
        assert array[6, [1, 6, 10], 0].tolist() == pytest.approx([50, 100, 150], abs=1)

    def test_crop_takes_the_central_square(self):
        array = fit_square(self.WIDE, image_size=10, channels=1, fit="crop")
        assert np.abs(array[:, 1:-1].astype(int) - 100).max() <= 8

    def test_pad_puts_black_above_and_below(self):
        array = fit_square(self.WIDE, image_size=12, channels=3, fit="pad")
        assert array.shape == (12, 12, 3)
        assert not array[:4].any()
        assert not array[8:].any()
        assert array[6, [1, 6, 10], 2].tolist() == pytest.approx([50, 100, 150], abs=1)

    def test_shrinking_does_not_alias(self):
        stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (256, 128)))
        array = fit_square(stripes, image_size=32, channels=1, fit="stretch")
        assert np.abs(array.astype(int) - 127).max() <= 6  # every second line would be all black or all white

    def test_an_unknown_fit_or_number_of_channels_is_a_mistake(self):
        with pytest.raises(ValueError, match="stretch, crop or pad"):
            fit_square(self.WIDE, image_size=8, channels=1, fit="bend")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="use 1"):
            fit_square(self.WIDE, image_size=8, channels=2, fit="pad")

    def test_load_square_reads_stored_images_of_8_and_16_bit(self, tmp_path: Path):
        (tmp_path / "8.png").write_bytes(encode_png(RAMP))
        (tmp_path / "16.png").write_bytes(encode_png(RAMP.astype(np.uint16) * 257))
        eight, sixteen = (
            load_square(tmp_path / name, image_size=16, channels=1, fit="stretch") for name in ("8.png", "16.png")
        )
        assert np.array_equal(eight, RAMP)
        assert np.array_equal(sixteen, RAMP)
        assert load_square(tmp_path / "8.png", image_size=4, channels=3, fit="pad").shape == (4, 4, 3)


def peak_mb(pid: int) -> float:
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


class TestPool:
    def test_prepares_what_is_stored(self, tmp_path: Path):
        exif = Image.Exif()
        exif[0x010E] = "patient Jane Doe"
        path = saved(tmp_path, Image.fromarray(np.repeat(RAMP, 3, axis=2)), "x.tif", exif=exif)
        with DecoderPool(1) as pool:
            prepared = pool.prepare(path)
        assert isinstance(prepared, Prepared)
        assert (prepared.width, prepared.height, prepared.channels, prepared.mode) == (16, 16, 1, "RGB")
        assert prepared.pixel_sha256 == pixel_sha256(RAMP)
        assert Image.open(io.BytesIO(prepared.png)).info == {}
        assert b"Jane" not in prepared.png

    def test_a_comment_in_a_png_does_not_survive(self, tmp_path: Path):
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "patient Jane Doe")
        with DecoderPool(1) as pool:
            prepared = pool.prepare(saved(tmp_path, grey_image(), pnginfo=text))
        assert isinstance(prepared, Prepared)
        assert b"Jane" not in prepared.png + prepared.thumbnail

    def test_goes_on_after_files_that_cannot_be_read(self, tmp_path: Path):
        (tmp_path / "bad.png").write_bytes(b"no")
        good = saved(tmp_path, grey_image())
        with DecoderPool(1) as pool:
            answers = [pool.prepare(path) for path in (tmp_path / "bad.png", tmp_path / "gone.png", good)]
        assert [type(answer) for answer in answers] == [Refused, Refused, Prepared]
        assert "No such file" in answers[1].reason

    def test_a_file_that_needs_too_much_memory_is_refused(self, tmp_path: Path):
        large = saved(tmp_path, Image.new("L", (9000, 9000)))
        with DecoderPool(1, memory_bytes=400 * 2**20) as pool:
            refused, fine = pool.prepare(large), pool.prepare(saved(tmp_path, grey_image(), "y.png"))
        assert refused == Refused("Decoding it needs more memory than an image may take.")
        assert isinstance(fine, Prepared)

    def test_a_file_that_takes_too_much_processor_time_ends_its_child_only(self, tmp_path: Path):
        slow = saved(tmp_path, Image.new("RGB", (7000, 7000), (200, 0, 0)), "x.tif", compression="tiff_deflate")
        with DecoderPool(1, cpu_s=0) as pool:
            refused = pool.prepare(slow)
        assert refused == Refused("Decoding it took more than 0 s of processor time.")

    def test_a_file_that_takes_too_long_ends_its_child_only(self, tmp_path: Path):
        os.mkfifo(tmp_path / "never.png")
        with DecoderPool(1, wall_s=1.5) as pool:
            assert pool.prepare(tmp_path / "never.png") == Refused("Decoding it took more than 1.5 s.")
            assert isinstance(pool.prepare(saved(tmp_path, grey_image())), Prepared)

    @pytest.mark.parametrize(
        ("number", "says"), [(signal.SIGSEGV, "crash .SIGSEGV"), (signal.SIGKILL, "memory runs out")]
    )
    def test_a_child_that_dies_is_replaced_and_its_file_refused(self, tmp_path: Path, number: int, says: str):
        os.mkfifo(tmp_path / "deadly.png")
        with DecoderPool(1) as pool:
            pool.prepare(saved(tmp_path, grey_image()))
            (pid,) = pool.pids
            threading.Timer(0.3, os.kill, (pid, number)).start()
            refused = pool.prepare(tmp_path / "deadly.png")
            assert isinstance(refused, Refused)
            assert re.search(says, refused.reason)
            assert isinstance(pool.prepare(saved(tmp_path, grey_image())), Prepared)
            assert pool.pids != [pid]

    def test_several_files_at_once_are_answered_each_for_itself(self, tmp_path: Path):
        large = np.random.default_rng(0).integers(0, 256, (300, 300, 1), dtype=np.uint8)  # more than a pipe holds
        files: list[Path | bytes] = [
            encode_png(RAMP), b"no image", encode_png(large), saved(tmp_path, grey_image()), *[encode_png(large)] * 9,
        ]  # fmt: skip
        with DecoderPool(1) as pool:
            answers = list(pool.of_many(files, Conversion.default()))
            assert len(pool.pids) == 1
        assert [place for place, _ in answers] == list(range(13))
        sha256 = [answer.pixel_sha256 for _, answer in answers if isinstance(answer, Prepared)]
        assert sha256 == [pixel_sha256(RAMP), pixel_sha256(large), pixel_sha256(RAMP), *[pixel_sha256(large)] * 9]
        assert isinstance(answers[1][1], Refused)

    def test_a_child_that_dies_takes_none_of_the_files_with_it_that_were_sent_with_the_deadly_one(self, tmp_path: Path):
        os.mkfifo(tmp_path / "deadly.png")
        files: list[Path | bytes] = [encode_png(RAMP), tmp_path / "deadly.png", encode_png(RAMP), encode_png(RAMP)]
        with DecoderPool(1) as pool:
            answers = pool.of_many(files, Conversion.default())
            first = next(answers)
            os.kill(pool.pids[0], signal.SIGSEGV)
            rest = list(answers)
        assert [type(answer) for _, answer in (first, *rest)] == [Prepared, Refused, Prepared, Prepared]

    def test_what_is_left_of_several_files_when_nobody_reads_on_is_not_taken_for_the_next(self, tmp_path: Path):
        with DecoderPool(1) as pool:
            answers = pool.of_many([encode_png(RAMP)] * 5, Conversion.default())
            next(answers)
            answers.close()
            other = RAMP[:, ::-1]
            prepared = pool.prepare(encode_png(other))
        assert isinstance(prepared, Prepared)
        assert prepared.pixel_sha256 == pixel_sha256(other)

    def test_children_can_write_no_file_and_know_no_setting(self, tmp_path: Path):
        with DecoderPool(1) as pool:
            pool.prepare(saved(tmp_path, grey_image()))
            (pid,) = pool.pids
            limits = Path(f"/proc/{pid}/limits").read_text()
            environment = Path(f"/proc/{pid}/environ").read_text()
        assert "Max file size             0 " in limits
        assert "Max core file size        0 " in limits
        assert "PHANTOM" not in environment
        assert "HOME" not in environment

    def test_streams_the_images_of_a_volume(self, tmp_path: Path):
        volume = np.random.default_rng(0).integers(0, 256, (60, 512, 512), dtype=np.uint8)
        np.savez(tmp_path / "x.npz", train_images=volume, train_labels=np.arange(60))
        with DecoderPool(1) as pool:
            pool.prepare(saved(tmp_path, grey_image()))
            before = peak_mb(pool.pids[0])
            images = list(pool.images(tmp_path / "x.npz", Conversion.default()))
            assert peak_mb(pool.pids[0]) - before < 12  # of 15 MB of pixels, one is in memory at a time
        assert [image.frame for image in images][::59] == ["train 00000", "train 00059"]
        assert [image.label for image in images] == list(range(60))
        assert all(
            np.array_equal(np.asarray(Image.open(io.BytesIO(image.png))), pixels)
            for image, pixels in zip(images, volume, strict=True)
        )
        assert Image.open(io.BytesIO(images[0].thumbnail)).size == (160, 160)

    def test_an_answer_that_nobody_reads_to_its_end_is_not_taken_for_the_next(self, tmp_path: Path):
        np.savez(tmp_path / "x.npz", train_images=np.zeros((500, 64, 64), np.uint8), train_labels=np.zeros(500, int))
        with DecoderPool(1) as pool:
            assert pool.prepare(tmp_path / "x.npz") == Refused(
                "It holds several images; send one of them as a file of its own."
            )
            prepared = pool.prepare(saved(tmp_path, grey_image()))
        assert isinstance(prepared, Prepared)
        assert (prepared.frame, prepared.pixel_sha256) == ("", pixel_sha256(RAMP))

    def test_a_refusal_costs_no_child_even_if_nobody_reads_on(self, tmp_path: Path):
        with DecoderPool(1) as pool:
            pool.prepare(saved(tmp_path, grey_image()))
            pids = pool.pids
            assert isinstance(next(pool.images(b"no image", Conversion.default())), Refused)
            pool.prepare(saved(tmp_path, grey_image()))
            assert pool.pids == pids

    @pytest.mark.parametrize(("pixels", "side"), [
        (np.zeros((256, 256), np.uint8), 256), (np.zeros((257, 257), np.uint8), 160), (np.zeros((90, 100), np.uint8), 100),
        (np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8), 160),  # noise: more than 32 kB
    ])  # fmt: skip
    def test_an_image_that_is_small_enough_is_its_own_thumbnail(self, tmp_path: Path, pixels, side: int):
        with DecoderPool(1) as pool:
            prepared = pool.prepare(saved(tmp_path, Image.fromarray(pixels)))
        assert isinstance(prepared, Prepared)
        assert max(Image.open(io.BytesIO(prepared.thumbnail)).size) == side
        assert (prepared.thumbnail is prepared.png) == (side == max(pixels.shape))

    def test_takes_bytes_as_well_as_files(self, tmp_path: Path):
        large = encode_png(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8))  # 2.4 MB
        (tmp_path / "x.png").write_bytes(large)
        with DecoderPool(1) as pool:
            assert pool.prepare(large) == pool.prepare(tmp_path / "x.png")

    def test_a_file_that_is_damaged_in_the_middle_is_refused_after_its_first_images(self, tmp_path: Path):
        np.savez(tmp_path / "x.npz", train_images=np.zeros((9, 5, 5), np.uint8), train_labels=np.zeros(9, int))
        data = (tmp_path / "x.npz").read_bytes()
        (tmp_path / "x.npz").write_bytes(
            data[:300] + bytes([data[300] ^ 255]) + data[301:]
        )  # the checksum no longer fits
        with DecoderPool(1) as pool:
            *_, last = pool.images(tmp_path / "x.npz", Conversion.default())
            assert isinstance(last, Refused)
            assert isinstance(pool.prepare(saved(tmp_path, grey_image())), Prepared)

    def test_all_images_of_a_file_together_have_a_limit(self, tmp_path: Path):
        np.savez(tmp_path / "x.npz", train_images=np.zeros((5000, 64, 64), np.uint8), train_labels=np.zeros(5000, int))
        with DecoderPool(1, file_s=0.5) as pool:
            *_, last = pool.images(tmp_path / "x.npz", Conversion.default())
        assert last == Refused("Decoding it took more than 0.5 s.")

    def test_a_dicom_file_that_needs_too_much_memory_is_refused(self, tmp_path: Path):
        (tmp_path / "x").write_bytes(dicom(np.zeros((7000, 7000), np.uint16)))
        with DecoderPool(1, memory_bytes=600 * 2**20) as pool:
            refused = pool.prepare(tmp_path / "x")
        assert isinstance(refused, Refused)
        assert "memory" in refused.reason

    def test_a_dicom_file_whose_compressed_image_is_larger_than_its_tags_say_is_refused(self):
        made = dataset(np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16))
        made.compress(JPEG2000Lossless, generate_instance_uid=False)
        data = bytearray(dicom_bytes(made))
        sizes = data.index(b"\xff\x51") + 6  # of the image, and 16 bytes on, of its tile
        data[sizes : sizes + 8] = data[sizes + 16 : sizes + 24] = (60_000).to_bytes(4) * 2
        with DecoderPool(1) as pool:
            refused = pool.prepare(bytes(data))
        assert isinstance(refused, Refused)
        assert "damaged, or needs too much memory" in refused.reason

    def test_plain_images_need_neither_pydicom_nor_nibabel(self):
        program = (
            "import sys, app.core.images.child\n"
            "assert not {'pydicom', 'nibabel', 'gdcm', 'sqlalchemy', 'pydantic', 'scipy'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])

    def test_no_child_is_left_behind(self, tmp_path: Path):
        with DecoderPool(2) as pool:
            pool.prepare(saved(tmp_path, grey_image()))
            pids = pool.pids
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
