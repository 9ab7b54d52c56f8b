import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from app.core.formats.conversion import Picture
from app.core.images import pixel_sha256
from tests.dicoms import dataset, dicom, item, saved

HOUNSFIELD = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 80}
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
NOISE_16 = np.random.default_rng(0).integers(-2000, 2000, (40, 48), dtype=np.int16)
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def values(found: Picture) -> list[int]:
    return found.array.ravel().tolist()


class TestWindow:
    # PS3.3 C.11.2.1.2: centre 40, width 80 make 39.5 - 39.5 = 0 black and 39.5 + 39.5 = 79 white.
    STORED = np.array([[0, 1024, 1064, 1103, 3000]], np.uint16)  # -1024, 0, 40, 79 and 1976 HU
    SHOWN = (0, 0, 129, 255, 255)  # 40 / 79 * 255 = 129.1

    def test_rescale_then_window(self, picture):
        found = picture(dicom(self.STORED, **HOUNSFIELD))
        assert values(found) == list(self.SHOWN)
        assert found.conversion == "rescale slope 1 intercept -1024; VOI window centre 40 width 80"
        assert (found.mode, found.bit_depth, found.array.dtype) == ("I;16", 16, np.uint8)

    def test_monochrome1_is_inverted_after_the_window(self, picture):
        found = picture(dicom(self.STORED, PhotometricInterpretation="MONOCHROME1", **HOUNSFIELD))
        assert values(found) == [255 - value for value in self.SHOWN]
        assert found.conversion.endswith("; MONOCHROME1 inverted")

    def test_signed_numbers(self, picture):
        stored = np.array([[-1024, 0, 40, 79, 1976]], np.int16)
        assert values(picture(dicom(stored, WindowCenter=40, WindowWidth=80))) == list(self.SHOWN)

    def test_the_first_of_several_windows(self, picture):
        found = picture(dicom(self.STORED, **HOUNSFIELD | {"WindowCenter": [40, 500], "WindowWidth": [80, 2000]}))
        assert values(found) == list(self.SHOWN)

    def test_linear_exact(self, picture):
        # centre 40, width 80: 0 is black, 80 white; 40 / 80 * 255 = 127.5, which rounds to the even 128; 79 to 251.8
        found = picture(dicom(self.STORED, VOILUTFunction="LINEAR_EXACT", **HOUNSFIELD))
        assert values(found) == [0, 0, 128, 252, 255]

    def test_sigmoid(self, picture):
        # 255 / (1 + exp(-4 (x - 40) / 80)): at 0 it is 255 / (1 + e^2) = 30.4, at 79 it is 255 / (1 + e^-1.95) = 223.5
        found = picture(dicom(self.STORED, VOILUTFunction="SIGMOID", **HOUNSFIELD))
        assert values(found) == [0, 30, 128, 223, 255]

    def test_a_table_goes_before_a_window(self, picture):
        table = item(LUTDescriptor=[3, 10, 8], LUTData=[5, 100, 255])
        table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
        stored = np.array([[0, 10, 11, 12, 4000]], np.uint16)
        found = picture(dicom(stored, VOILUTSequence=[table], WindowCenter=40, WindowWidth=80))
        assert values(found) == [5, 5, 100, 255, 255]
        assert found.conversion == "VOI table"

    @pytest.mark.parametrize("syntax", UNCOMPRESSED)
    def test_tables_of_every_byte_order(self, picture, syntax):
        table = item(LUTDescriptor=[2, 0, 16], LUTData=[0, 65535])
        table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
        stored = np.array([[0, 1]], np.uint16)
        assert values(picture(dicom(stored, ModalityLUTSequence=[table], syntax=syntax), scaling="full")) == [0, 255]

    def test_a_table_of_hounsfield_units_begins_below_zero(self, picture):
        table = item(LUTDescriptor=[3, 65536 - 1, 8], LUTData=[10, 20, 30])  # first mapped: -1, written as 65535
        table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
        stored = np.array([[0, 1023, 1024, 1025]], np.uint16)
        tags = {"VOILUTSequence": [table], "RescaleSlope": 1, "RescaleIntercept": -1024}
        assert values(picture(dicom(stored, **tags))) == [10, 10, 20, 30]

    def test_a_modality_table_goes_before_the_window(self, picture):
        table = item(LUTDescriptor=[2, 0, 16], LUTData=[0, 79])
        table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
        stored = np.array([[0, 1]], np.uint16)
        found = picture(dicom(stored, ModalityLUTSequence=[table], WindowCenter=40, WindowWidth=80))
        assert (values(found), found.conversion) == ([0, 255], "modality table; VOI window centre 40 width 80")

    def test_a_window_of_no_width_is_none(self, picture):
        found = picture(dicom(self.STORED, WindowCenter=40, WindowWidth=0))
        assert found.conversion.startswith("percentiles 0.5 to 99.5")

    def test_a_window_asked_for_is_taken_instead(self, picture):
        found = picture(dicom(self.STORED, **HOUNSFIELD), scaling="window", window_low=-1024, window_high=1976)
        assert values(found) == [0, 87, 90, 94, 255]  # 1024, 1064 and 1103 of 3000, times 255
        assert found.conversion == "rescale slope 1 intercept -1024; window -1024 to 1976"

    def test_without_a_window_percentiles(self, picture):
        stored = np.arange(1001, dtype=np.uint16).reshape(7, 143)  # percentiles 0.5 and 99.5 are 5 and 995
        found = picture(dicom(stored, RescaleSlope=2, RescaleIntercept=-10))
        assert found.array[0, 5, 0] == 0
        assert found.array.ravel()[500] == round((500 - 5) * 255 / 990)
        assert found.conversion == "rescale slope 2 intercept -10; percentiles 0.5 to 99.5: 0 to 1980"

    def test_a_window_can_be_left_unused(self, picture):
        found = picture(dicom(self.STORED, **HOUNSFIELD), scaling="full")
        assert values(found) == [0, 87, 90, 94, 255]

    def test_padding_is_black_and_no_part_of_the_percentiles(self, picture):
        stored = np.array([[-2000, 0, 100, 200]], np.int16)
        for photometric, shown in (("MONOCHROME2", [0, 0, 128, 255]), ("MONOCHROME1", [0, 255, 127, 0])):
            tags = {"PixelPaddingValue": -2000, "PhotometricInterpretation": photometric}
            found = picture(dicom(stored, **tags), scaling="full")
            assert values(found) == shown
            assert found.conversion.endswith("padding black")

    def test_a_range_of_padding(self, picture):
        stored = np.array([[-2000, -1900, 0, 200]], np.int16)
        found = picture(dicom(stored, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1500), scaling="full")
        assert values(found) == [0, 0, 0, 255]

    def test_bits_beyond_those_stored_are_no_part_of_the_number(self, picture):
        stored = np.array([[0x0000, 0xF064, 0x00C8, 0x0000]], np.uint16)  # an old overlay in the upper bits of 100
        found = picture(dicom(stored, BitsStored=12, HighBit=11), scaling="full")
        assert values(found) == [0, 128, 255, 0]


class TestEightBit:
    def test_is_left_alone(self, picture):
        found = picture(dicom(RAMP))
        assert np.array_equal(found.array[..., 0], RAMP)
        assert (found.conversion, found.mode, found.bit_depth) == ("", "L", 8)
        assert found.pixel_sha256 == pixel_sha256(RAMP[..., None])

    def test_whatever_scaling_is_asked_for(self, picture):
        found = picture(dicom(RAMP), scaling="window", window_low=0, window_high=10)
        assert np.array_equal(found.array[..., 0], RAMP)

    def test_monochrome1_is_inverted_and_equals_its_plain_twin(self, picture):
        found = picture(dicom(255 - RAMP, PhotometricInterpretation="MONOCHROME1"))
        assert found.conversion == "MONOCHROME1 inverted"
        assert found.pixel_sha256 == pixel_sha256(RAMP[..., None])

    def test_its_own_window_is_applied(self, picture):
        found = picture(dicom(RAMP, WindowCenter=64, WindowWidth=128))  # 0 to 127
        assert found.array.ravel()[[0, 64, 127, 200]].tolist() == [0, 129, 255, 255]

    def test_a_window_over_everything_changes_nothing(self, picture):
        assert picture(dicom(RAMP, WindowCenter=128, WindowWidth=256)).conversion == ""

    def test_one_bit_is_black_and_white(self, picture):
        made = dataset(np.zeros((2, 8), np.uint8), BitsStored=1, HighBit=0)
        made.BitsAllocated, made.PixelData = 1, bytes([0b00000001, 0b10000000])
        found = picture(saved(made))
        assert values(found) == [255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255]


class TestTransferSyntaxes:
    @pytest.mark.parametrize("syntax", UNCOMPRESSED)
    def test_uncompressed(self, picture, syntax):
        found = picture(dicom(NOISE_16, syntax=syntax, WindowCenter=0, WindowWidth=4000))
        assert found.pixel_sha256 == picture(dicom(NOISE_16)).pixel_sha256
        assert (found.group, found.series, found.position) == ("ID-4711-XYZ", "1.2.3.4711", 7)

    @pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
    def test_compressed_without_loss(self, picture, syntax):
        made = dataset(NOISE_16)
        made.compress(syntax, generate_instance_uid=False)
        assert picture(saved(made)).pixel_sha256 == picture(dicom(NOISE_16)).pixel_sha256

    @pytest.mark.parametrize("name", ["JPEGLosslessProcess14_1", "JPEGLSLossless"])
    def test_compressed_as_only_gdcm_can(self, picture, name, tmp_path: Path):
        gdcm = pytest.importorskip("gdcm")
        stored = np.random.default_rng(0).integers(0, 4096, (10, 14), dtype=np.uint16)
        (tmp_path / "plain").write_bytes(dicom(stored, BitsStored=12, HighBit=11))
        reader = gdcm.ImageReader()
        reader.SetFileName(str(tmp_path / "plain"))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(tmp_path / "packed"))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        found = picture((tmp_path / "packed").read_bytes())
        assert found.pixel_sha256 == pixel_sha256(stored[..., None])

    def test_jpeg(self, picture):
        target = io.BytesIO()
        Image.fromarray(RAMP).save(target, "JPEG", quality=95)
        made = dataset(RAMP)
        made.PixelData = encapsulate([target.getvalue()])
        made["PixelData"].is_undefined_length = True
        made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        assert np.abs(picture(saved(made)).array[..., 0].astype(int) - RAMP).max() < 16

    def test_a_data_set_without_its_header(self, picture):
        for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
            made = dataset(NOISE_16, syntax=syntax)
            target = io.BytesIO()
            del made.file_meta, made.preamble
            made.save_as(
                target, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True, enforce_file_format=False
            )
            assert target.getvalue()[:2] == b"\x08\x00"
            assert picture(target.getvalue()).pixel_sha256 == picture(dicom(NOISE_16)).pixel_sha256


class TestColour:
    COLOUR = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)

    def test_rgb(self, picture):
        found = picture(dicom(self.COLOUR))
        assert np.array_equal(found.array, self.COLOUR)
        assert (found.mode, found.conversion) == ("RGB", "")

    def test_planes_one_after_another(self, picture):
        made = dataset(self.COLOUR, PlanarConfiguration=1)
        made.PixelData = np.ascontiguousarray(np.moveaxis(self.COLOUR, 2, 0)).tobytes()
        assert np.array_equal(picture(saved(made)).array, self.COLOUR)

    def test_ybr(self, picture):
        ybr = np.asarray(Image.fromarray(self.COLOUR).convert("YCbCr"))
        found = picture(dicom(ybr, PhotometricInterpretation="YBR_FULL"))
        assert np.abs(found.array.astype(int) - self.COLOUR).max() <= 3

    def test_colour_of_16_bit(self, picture):
        found = picture(dicom(self.COLOUR.astype(np.uint16) * 16, BitsStored=12, HighBit=11))
        assert np.array_equal(found.array, self.COLOUR)
        assert found.conversion == "12 bit colour cut to 8 bit"

    @pytest.mark.parametrize("depth", [8, 16])
    def test_a_palette(self, picture, depth: int):
        colours = np.array([[255, 0, 0], [0, 200, 10]], np.uint16)
        tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
        for channel, name in enumerate(("Red", "Green", "Blue")):
            entries = colours[:, channel] if depth == 8 else colours[:, channel] << 8
            tags[f"{name}PaletteColorLookupTableDescriptor"] = [2, 0, depth]
            tags[f"{name}PaletteColorLookupTableData"] = entries.astype(np.uint8 if depth == 8 else "<u2").tobytes()
        made = dataset(np.array([[0, 1], [1, 1]], np.uint8), **tags)
        for name in ("Red", "Green", "Blue"):
            made[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        found = picture(saved(made))
        assert found.array.tolist() == [[[255, 0, 0], [0, 200, 10]], [[0, 200, 10]] * 2]
        assert (found.mode, found.conversion) == ("P", "palette colours")

    def test_grey_saved_in_colour_is_grey(self, picture):
        grey = np.repeat(RAMP[..., None], 3, axis=2)
        assert picture(dicom(grey)).pixel_sha256 == pixel_sha256(RAMP[..., None])
