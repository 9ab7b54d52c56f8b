"""DICOM, NIfTI and npz through the whole import: rows, journal, resume, and nobody's name anywhere."""

import gzip
import io
import json
import re

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from app.core.errors import BadInputError
from app.core.images import encode_png
from app.services import datasets
from models import Event, Job, JobState, Split
from models.specs import ImportSpec
from tests.dicoms import INVENTED, dataset, dicom, everything, find, saved
from tests.imports import Importer, pictures
from tests.workers.jobs.test_import_dataset import stop_after
from workers.jobs.import_decoding import JOURNAL, Kept

RNG = np.random.default_rng(0)


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


def version_of(importer: Importer, job: Job):
    assert job.state == JobState.SUCCEEDED, job.error
    with importer.database.read() as session:
        version = datasets.version(session, job.result["version_id"])
        images = datasets.images(session, version, limit=500).items
        return version, images, datasets.refused(session, version, limit=500).items


def scan(patient: str = "ID-4711-XYZ", **tags) -> bytes:
    """A CT slice of noise."""
    return dicom(RNG.integers(-1000, 1000, (12, 9), dtype=np.int16), PatientID=patient, **tags)


def volume(depth: int = 10) -> bytes:
    return nibabel.Nifti1Image(RNG.integers(0, 3000, (6, 7, depth), dtype=np.int16), np.eye(4)).to_bytes()


def medmnist(number: int, side: int = 6) -> bytes:
    target = io.BytesIO()
    images = RNG.integers(0, 256, (number, side, side), dtype=np.uint8)
    half = number // 2
    np.savez(
        target, train_images=images[:half], train_labels=np.arange(half)[:, None] % 2,
        test_images=images[half:], test_labels=np.arange(number - half)[:, None] % 2,
    )  # fmt: skip
    return target.getvalue()


def journal(importer: Importer, files: dict[str, bytes], **options) -> dict[str, Kept]:
    """What an attempt that is stopped once all files are decoded has written down, by path."""
    stop_after(importer, importer.request(importer.send_folder(files), **options), num_files=len(files))
    lines = [line for file in importer.settings.jobs_dir.rglob(JOURNAL) for line in file.read_text().splitlines()]
    kept = [Kept(*image) for line in lines for image in json.loads(line)]
    return {image.path: image for image in kept}


class TestDicom:
    FILES = {f"a/{number}.dcm": scan(f"PATIENT-{number // 3}") for number in range(6)} | pictures("b", 4)

    def test_patients_become_groups_under_another_name(self, importer: Importer):
        _, images, refused = version_of(importer, importer.run(importer.send_folder(self.FILES)))
        groups = {image.path: image.group for image in images}
        assert not refused
        assert groups["a/0.dcm"] == groups["a/1.dcm"] != groups["a/5.dcm"]
        assert groups["b/" + next(iter(pictures("b", 1))).split("/")[1]] is None
        assert all(len(group) == len("patient-") + 16 for group in groups.values() if group)

    def test_the_same_patient_has_the_same_name_in_the_next_import_and_another_one_elsewhere(self, importer: Importer):
        first = version_of(importer, importer.run(importer.send_folder(self.FILES), "first"))[1]
        second = version_of(importer, importer.run(importer.send_folder(self.FILES), "second"))[1]
        (importer.settings.folder / "pseudonyms.key").unlink()
        third = version_of(importer, importer.run(importer.send_folder(self.FILES), "third"))[1]
        assert first[0].group == second[0].group != third[0].group

    def test_what_is_stored_is_a_png_of_8_bit_and_the_version_says_how(self, importer: Importer):
        job = importer.run(importer.send_folder(self.FILES), scaling="window", window_low=-100, window_high=100)
        version, images, _ = version_of(importer, job)
        assert {Pillow.open(importer.storage.path(image.stored_sha256)).mode for image in images} == {"L"}
        assert (images[0].mode, images[0].bit_depth) == ("I;16", 16)
        assert version.layout["conversion"]["scaling"] == "window"
        assert version.layout["conversion"]["window_high"] == 100

    def test_every_image_says_what_was_done_to_it(self, importer: Importer):
        kept = journal(importer, self.FILES, scaling="window", window_low=-100, window_high=100)
        assert {image.conversion for image in kept.values()} == {"window -100 to 100", ""}
        assert kept["a/3.dcm"].source == "a/3.dcm"
        assert kept["a/3.dcm"].position == 7

    def test_a_report_among_images_is_refused_in_words(self, importer: Importer):
        report = dataset(np.zeros((2, 2), np.uint8), SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
        del report.PixelData
        files = self.FILES | {"a/report.dcm": saved(report), "a/cut.dcm": scan()[:400]}
        _, images, refused = version_of(importer, importer.run(importer.send_folder(files)))
        assert len(images) == 10
        assert [(file.path, file.kind) for file in refused] == [("a/cut.dcm", "broken"), ("a/report.dcm", "broken")]
        assert refused[1].reason == "It holds a structured report, no image."

    def test_nobodys_name_is_anywhere(self, importer: Importer, capfd: pytest.CaptureFixture[str]):
        """Names, dates, institutions, ids and series: in no byte of the data folder, no row and no line of the log."""
        broken = scan("PATIENT-9", RescaleSlope=1, RescaleIntercept=0)[:-30]
        files = self.FILES | {"a/broken.dcm": broken, "a/colour.dcm": dicom(np.zeros((4, 4, 3), np.uint8))}
        written = journal(importer, files)
        assert len(written) == 12
        importer.work()
        with importer.database.read() as session:
            job = session.query(Job).filter_by(kind="import_dataset").one()
        _, _, refused = version_of(importer, job)
        assert [file.path for file in refused] == ["a/broken.dcm"]
        people = {part for value in INVENTED.values() for part in (value, *value.split("^"))}
        places = everything(importer) | {"journal": repr(written).encode(), "log": "".join(capfd.readouterr()).encode()}
        assert find(people | {"PATIENT-", "ID-4711-XYZ", "1.2.3.4711", "1.2.3.47"}, places) == []


class TestSeveralImagesInAFile:
    def test_slices_are_images_of_their_own(self, importer: Importer):
        files = pictures("b", 4) | {"a/scan.nii": volume(), "a/second.nii.gz": gzip.compress(volume())}
        job = importer.run(importer.send_folder(files), slice_every=4)
        version, images, _ = version_of(importer, job)
        assert [image.path for image in images if image.path.startswith("a/")] == [
            "a/scan.nii#slice z 001", "a/scan.nii#slice z 005", "a/second.nii.gz#slice z 001", "a/second.nii.gz#slice z 005",
        ]  # fmt: skip
        assert sum(version.counts["a"].values()) == 4
        assert (job.done, job.total, job.unit) == (6, 6, "files")

    def test_slices_of_a_file_are_a_series(self, importer: Importer):
        files = {"a/1.nii": volume(), "a/2.nii": volume()}
        kept = journal(importer, files)
        assert [kept[f"a/1.nii#slice z {number:03d}"].source for number in range(1, 9)] == ["a/1.nii"] * 8
        assert len({image.series for image in kept.values()}) == 2
        assert all(re.fullmatch("series-[0-9a-f]{16}", image.series) for image in kept.values())
        assert [kept[f"a/1.nii#slice z {number:03d}"].position for number in range(1, 9)] == list(range(1, 9))

    def test_progress_counts_files_and_says_how_many_images_they_hold(self, importer: Importer):
        journal(importer, {"a/x.npz": medmnist(3000)})
        with importer.database.read() as session:
            said = [event.data.get("message") or "" for event in session.query(Event).filter_by(kind="progress")]
        assert any(re.fullmatch(r"Decoding images; \d[\d,]* so far\.", each) for each in said)

    def test_npz_brings_labels_and_splits(self, importer: Importer):
        files = {"medmnist/pathmnist.npz": medmnist(40)}
        version, images, _ = version_of(importer, importer.run(importer.send_folder(files)))
        assert version.classes == ["0", "1"]
        assert version.layout["split_by"] == "folders"
        assert sum(version.counts["1"].values()) == 20
        test = {image.path for image in images if image.split == Split.TEST and "#" in image.path}
        assert test == {f"medmnist/pathmnist.npz#test {number:05d}" for number in range(20)}

    def test_a_file_with_a_problem_in_the_middle_gives_none_of_its_images(self, importer: Importer):
        damaged = bytearray(medmnist(200))
        damaged[damaged.index(b"test_images") + 400] ^= 255
        with pytest.raises(BadInputError, match="It is damaged inside the archive"):
            importer.send_folder({"a/x.npz": bytes(damaged)})

    def test_an_attempt_goes_on_with_the_files_that_are_not_done(self, importer: Importer):
        files = {f"a/{number:02d}.nii": volume() for number in range(12)} | pictures("b", 4)
        job = importer.request(importer.send_folder(files))
        stop_after(importer, job, num_files=5)
        importer.work()
        ended = importer.job(job)
        version, images, _ = version_of(importer, ended)
        assert ended.resumed_from >= 5
        assert version.num_images == len({image.path for image in images}) == 12 * 8 + 4
        straight = version_of(importer, importer.run(importer.send_folder(files), "straight"))[0]
        assert version.manifest_sha256 == straight.manifest_sha256

    def test_a_cancel_ends_a_large_file_long_before_its_end(self, importer: Importer):
        ended = importer.work_until_cancelled(
            importer.request(importer.send_folder({"a/large.npz": medmnist(60_000, side=20)}))
        )
        assert ended.state == JobState.CANCELLED
        assert ended.done == 0

    def test_a_name_that_leaves_no_room_for_the_number_is_refused(self, importer: Importer):
        name = "a/" + "n" * 200 + "/" + "m" * 200 + "/" + "o" * 200 + "/" + "p" * 200 + "/" + "q" * 185 + ".nii"
        assert len(name) < 1000
        _, images, refused = version_of(
            importer, importer.run(importer.send_folder(pictures("b", 4) | {name: volume()}))
        )
        assert len(images) == 4
        assert "too long" in refused[0].reason


def test_the_same_pixels_in_another_encoding_are_duplicates(importer: Importer):
    pixels = RNG.integers(0, 256, (12, 9), dtype=np.uint8)
    files = pictures("a", 4) | {
        "a/plain.png": encode_png(pixels[..., None]), "a/mono2.dcm": dicom(pixels),
        "a/mono1.dcm": dicom(255 - pixels, PhotometricInterpretation="MONOCHROME1"),
    }  # fmt: skip
    _, images, _ = version_of(importer, importer.run(importer.send_folder(files)))
    three = [image for image in images if "m" in image.path or "plain" in image.path]
    assert len({image.pixel_sha256 for image in three}) == 1
    assert len({image.split for image in three}) == 1


class TestOptions:
    @pytest.mark.parametrize(("options", "says"), [
        ({"scaling": "window"}, "needs window_low and window_high"), ({"scaling": "window", "window_low": 1}, "needs window_low"),
        ({"window_low": 0, "window_high": 1}, "scaling is auto; set scaling to window"),
        ({"scaling": "window", "window_low": 5, "window_high": 5}, "begins at 5 and ends at 5; the end must be larger"),
        ({"percentile_low": 60, "percentile_high": 40}, "range of percentiles begins at 60"),
        ({"slice_from": 95}, "range of slices begins at 95 and ends at 90"), ({"slice_every": 0}, "greater than or equal to 1"),
        ({"scaling": "window", "window_low": float("nan"), "window_high": 1}, "finite"), ({"slice_axis": "w"}, "'x', 'y' or 'z'"),
    ])  # fmt: skip
    def test_that_do_not_fit_together_are_refused_in_words(self, options, says):
        with pytest.raises(ValueError, match=says.replace("(", r"\(")):
            ImportSpec(upload_id=1, name="x", **options)
