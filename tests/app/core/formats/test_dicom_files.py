"""DICOM files as files: several frames, what is kept of them, and what is refused."""

import struct
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from app.core.formats.conversion import Picture
from app.core.images import pixel_sha256
from tests.dicoms import INVENTED, dataset, dicom, item, saved

HOUNSFIELD = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 80}
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
NOISE_16 = np.random.default_rng(0).integers(-2000, 2000, (40, 48), dtype=np.int16)
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.fixture
def refusal(refusal):
    """As in conftest, and nobody's name is in it."""

    def refusal_of(data: bytes, **options: Any) -> str:
        reason = refusal(data, **options)
        assert not any(value in reason for value in (*INVENTED.values(), "ID-4711-XYZ"))
        return reason

    return refusal_of


def values(found: Picture) -> list[int]:
    return found.array.ravel().tolist()


class TestSeveralFrames:
    FRAMES = np.arange(12 * 4, dtype=np.uint16).reshape(12, 2, 2) * 100

    def test_are_numbered_in_their_order(self, pictures):
        found = pictures(dicom(self.FRAMES, num_frames=12))
        assert [each.frame for each in found][:2] == ["frame 001", "frame 002"]
        assert len({each.frame for each in found}) == 12
        assert [each.position for each in found] == [float(number) for number in range(1, 13)]
        assert {(each.group, each.series) for each in found} == {("ID-4711-XYZ", "1.2.3.4711")}

    def test_share_black_and_white(self, pictures):
        found = pictures(dicom(self.FRAMES, num_frames=12), scaling="full")
        assert found[0].array.min() == 0
        assert found[0].array.max() == round(300 / 4700 * 255)
        assert found[-1].array.max() == 255
        assert len({each.conversion for each in found}) == 1

    def test_have_windows_and_places_of_their_own(self, pictures):
        groups = [
            item(
                FrameVOILUTSequence=[item(WindowCenter=100 * number, WindowWidth=200)],
                PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 5 * number])],
                PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-number)],
            )
            for number in range(12)
        ]
        shared = [item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])]
        tags = {"PerFrameFunctionalGroupsSequence": groups, "SharedFunctionalGroupsSequence": shared}
        found = pictures(dicom(self.FRAMES, num_frames=12, **tags))
        assert found[3].conversion == "rescale slope 1 intercept -3; VOI window centre 300 width 200"
        assert [each.position for each in found] == [5.0 * number for number in range(12)]
        values = self.FRAMES[3].ravel() - 3.0
        expected = np.clip((values - 299.5) / 199 + 0.5, 0, 1) * 255
        assert np.abs(found[3].array.ravel() - expected).max() <= 0.5

    def test_slopes_of_their_own_share_black_and_white_in_values(self, pictures):
        groups = [
            item(PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0)]) for slope in (1, 2)
        ]
        stored = np.array([[[0, 100]], [[0, 100]]], np.uint16)
        found = pictures(dicom(stored, num_frames=2, PerFrameFunctionalGroupsSequence=groups), scaling="full")
        assert [values(each) for each in found] == [[0, 128], [0, 255]]

    @pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
    def test_compressed(self, pictures, syntax):
        frames = np.random.default_rng(0).integers(0, 4096, (5, 40, 48), dtype=np.uint16)
        made = dataset(frames, num_frames=5)
        made.compress(syntax, generate_instance_uid=False)
        found = pictures(saved(made))
        assert [each.pixel_sha256 for each in found] == [pixel_sha256(frame[..., None]) for frame in frames]

    def test_fewer_than_it_says_is_refused(self, refusal):
        made = dataset(self.FRAMES, num_frames=12)
        made.compress(RLELossless, generate_instance_uid=False)
        made.NumberOfFrames = 13
        assert refusal(saved(made)) in (
            "It says that it holds 13 frames, but has only 12.",
            "Its pixel data cannot be decoded: it is damaged, or needs too much memory.",
        )


class TestWhatIsKept:
    def test_the_place_along_the_normal_of_the_slice(self, picture):
        tags = {"ImagePositionPatient": [10, 20, 30], "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}  # sagittal
        assert picture(dicom(NOISE_16, **tags)).position == -10
        assert picture(dicom(NOISE_16, SliceLocation=4.5)).position == 4.5
        assert picture(dicom(NOISE_16, InstanceNumber=None)).position is None

    @pytest.mark.parametrize("patient", [None, "", "  ", "Anonymous", "UNKNOWN"])
    def test_no_id_is_no_patient(self, picture, patient):
        assert picture(dicom(NOISE_16, PatientID=patient)).group is None

    def test_text_burnt_into_the_pixels_is_noted(self, picture):
        assert picture(dicom(RAMP, BurnedInAnnotation="YES")).conversion == (
            "the file says that text is burnt into its pixels"
        )
        assert picture(dicom(RAMP, BurnedInAnnotation="NO")).conversion == ""
        ultrasound = "1.2.840.10008.5.1.4.1.1.6.1"
        assert picture(dicom(RAMP, SOPClassUID=ultrasound)).conversion.startswith("text may be burnt into its pixels")
        assert picture(dicom(RAMP, SOPClassUID=ultrasound, BurnedInAnnotation="NO")).conversion == ""

    def test_nothing_else_comes_out(self, picture):
        said = repr(picture(dicom(RAMP, ImageComments="Zebulon again"))._replace(array=None))
        assert not any(part in said for value in INVENTED.values() for part in value.split("^"))
        assert "again" not in said


class TestRefusals:
    @pytest.mark.parametrize(("sop_class", "says"), [
        ("1.2.840.10008.5.1.4.1.1.88.11", "a structured report, no image"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "a list of key images"), ("1.2.840.10008.5.1.4.1.1.104.1", "a PDF document"),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", "ECG"), ("1.2.840.10008.5.1.4.1.1.11.1", "presentation state"),
        ("1.2.840.10008.5.1.4.1.1.66", "raw data"), ("1.2.840.10008.5.1.4.1.1.66.4", "segmentation"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "structure set"), ("1.2.840.10008.5.1.4.1.1.481.5", "plan or record"),
        ("1.2.840.10008.5.1.4.1.1.77.1.6", "whole slide"), ("1.2.840.10008.1.3.10", "DICOMDIR"),
    ])  # fmt: skip
    def test_what_is_no_image(self, refusal, sop_class: str, says: str):
        assert says in refusal(dicom(RAMP, SOPClassUID=sop_class))

    def test_no_pixels(self, refusal):
        made = dataset(RAMP)
        del made.PixelData
        assert refusal(saved(made)) == "It holds no image: there is no pixel data in it."

    @pytest.mark.parametrize(("uid", "says"), [
        ("1.2.840.10008.1.2.4.102", "compressed video"), ("1.2.840.10008.1.2.4.94", "on another server"),
        ("1.2.840.10008.1.2.4.52", "compressed as JPEG Extended"), ("1.2.3.4.5", "unknown to the DICOM standard"),
    ])  # fmt: skip
    def test_pixels_that_cannot_be_decoded(self, refusal, uid: str, says: str):
        made = dataset(RAMP)
        made.PixelData = encapsulate([bytes(40)])
        made["PixelData"].is_undefined_length = True
        data = saved(made, enforce_file_format=True)
        old = struct.pack("<4sH", b"\x02\x00\x10\x00", 0)[:4] + b"UI"
        start = data.index(old) + len(old)
        size = struct.unpack_from("<H", data, start)[0]
        padded = uid.encode() + bytes(len(uid) % 2)
        replaced = data[:start] + struct.pack("<H", len(padded)) + padded + data[start + 2 + size :]
        group = replaced.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
        length = struct.unpack_from("<I", replaced, group)[0] + len(padded) - size
        replaced = replaced[:group] + struct.pack("<I", length) + replaced[group + 4 :]
        assert says in refusal(replaced)

    def test_a_file_that_was_cut_off(self, refusal):
        data = dicom(np.zeros((64, 64), np.uint16))
        assert refusal(data[:-1000]) in (
            "The file was cut off: it has fewer pixels than its tags say.",
            "Its DICOM structure is damaged and cannot be read.",
        )

    @pytest.mark.parametrize(
        "tags", [{"BitsAllocated": 24}, {"SamplesPerPixel": 2}, {"BitsStored": 17}, {"BitsStored": 0}]
    )
    def test_tags_that_contradict_each_other(self, refusal, tags):
        assert "contradict" in refusal(dicom(NOISE_16, **tags))

    @pytest.mark.parametrize(("tags", "says"), [
        ({"Rows": 60000, "Columns": 60000}, "more than 100 million pixels"), ({"Rows": 0}, "no size"),
        ({"NumberOfFrames": 1_000_000_000}, "1,000,000,000 images; at most"), ({"NumberOfFrames": 400_000}, "cut off"),
        ({"PhotometricInterpretation": "CMYK"}, "stored as 'CMYK'"), ({"PhotometricInterpretation": None}, "nothing that it names"),
    ])  # fmt: skip
    def test_sizes_are_checked_before_anything_is_allocated(self, refusal, tags, says):
        assert says in refusal(dicom(NOISE_16, **tags))

    def test_floating_point_pixels(self, refusal):
        made = dataset(RAMP)
        del made.PixelData
        made.FloatPixelData = np.zeros(256, np.float32).tobytes()
        assert "floating point" in refusal(saved(made))

    def test_what_begins_like_a_data_set_but_is_none(self, refusal):
        assert "no pixels" in refusal(b"\x08\x00\x05\x00\x04\x00\x00\x00" + bytes(200))

    def test_broken_tables(self, refusal):
        table = item(LUTDescriptor=[300, 0, 16], LUTData=[0, 79])
        table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
        assert refusal(dicom(NOISE_16, VOILUTSequence=[table])) == "One of its look-up tables is damaged."
        assert refusal(dicom(RAMP, PhotometricInterpretation="PALETTE COLOR")) == "Its palette is damaged."


class TestHostile:
    @pytest.mark.parametrize("syntax", [*UNCOMPRESSED[:3], RLELossless])
    def test_broken_bytes_are_refused_or_read_and_never_quoted(self, reason, syntax):
        if syntax == RLELossless:
            made = dataset(NOISE_16, **HOUNSFIELD)
            made.compress(syntax, generate_instance_uid=False)
            data = bytearray(saved(made))
        else:
            data = bytearray(dicom(NOISE_16, syntax=syntax, **HOUNSFIELD))
        rng = np.random.default_rng(0)
        for _ in range(150):
            broken = bytearray(data)
            for at in rng.integers(132, len(data), rng.integers(1, 4)):
                broken[at] = rng.integers(0, 256)
            said = reason(bytes(broken[: rng.choice([len(data), rng.integers(132, len(data))])]))
            assert not any(value in said for value in INVENTED.values())
