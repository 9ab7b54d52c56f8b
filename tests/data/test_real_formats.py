"""Imports of real DICOM and NIfTI files, where they lie beside the project; see conftest's `real_data`."""

import csv
import io
import zipfile
from pathlib import Path

import pydicom
import pytest

from app.services import datasets
from models import JobState
from tests.dicoms import everything, find
from tests.imports import Importer

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


def archive(real_data: Path, name: str) -> Path:
    if not (real_data / name).exists():
        pytest.skip(f"needs the real images of {name}")
    return real_data / name


def imported(importer: Importer, upload, **options):
    job = importer.run(upload, **options)
    assert job.state == JobState.SUCCEEDED, job.error
    with importer.database.read() as session:
        version = datasets.version(session, job.result["version_id"])
        images = datasets.images(session, version, limit=500).items
        return version, images, datasets.refused(session, version, limit=500).items


def manifest(path: Path) -> dict[str, dict[str, str]]:
    with zipfile.ZipFile(path) as opened:
        return {row["path"]: row for row in csv.DictReader(io.StringIO(opened.read("manifest.csv").decode()))}


def people(path: Path) -> set[str]:
    """What the headers of the files say about people, places and dates; without what file names say themselves."""
    found: set[str] = set()
    with zipfile.ZipFile(path) as opened:
        names = " ".join(opened.namelist())
        for name in names.split():
            if name.endswith(".dcm"):
                header = pydicom.dcmread(io.BytesIO(opened.read(name)), stop_before_pixels=True)
                for element in header:
                    if element.VR in ("PN", "DA", "UI", "SH", "LO"):
                        found.update(
                            part for part in (str(element.value), *str(element.value).split("^")) if len(part) > 5
                        )
    return {part for part in found if part not in names and not part.startswith("1.2.840.10008.")}


def test_every_native_file_is_imported(importer: Importer, real_data: Path):
    path = archive(real_data, "dicom_native_modalities.zip")
    version, images, refused = imported(importer, importer.send_archive(path))
    assert version.classes == ["CR", "CT", "MR", "US"]
    assert [file.path for file in refused] == ["README.txt"]
    assert {image.path.split("#")[0] for image in images} == set(manifest(path))
    frames = [image.path for image in images if image.path.startswith("MR/emri_small.dcm")]
    assert frames == [f"MR/emri_small.dcm#frame {number:03d}" for number in range(1, 11)]
    by_path = {image.path: image for image in images}
    small = {
        by_path[f"MR/MR_small{name}.dcm"].pixel_sha256
        for name in ("", "_RLE", "_bigendian", "_implicit", "_jp2klossless")
    }
    assert len(small) == 1  # one image in five encodings
    assert by_path["CT/693_UNCR.dcm"].pixel_sha256 == by_path["CT/693_J2KR.dcm"].pixel_sha256
    assert version.channels == 3


def test_groups_of_wrapped_files_are_the_patients_of_the_manifest(importer: Importer, real_data: Path):
    path = archive(real_data, "dicom_chest_xray_wrapped.zip")
    version, images, refused = imported(importer, importer.send_archive(path))
    assert {name: sum(splits.values()) for name, splits in version.counts.items()} == dict.fromkeys(
        ("normal", "pneumonia_bacterial", "pneumonia_viral"), 16
    )
    assert [file.kind for file in refused] == ["ignored"]
    patients = {image.group: manifest(path)[image.path]["patient_id"] for image in images}
    assert len(patients) == len(set(patients.values())) == len({row["patient_id"] for row in manifest(path).values()})
    assert all(manifest(path)[image.path]["patient_id"] == patients[image.group] for image in images)


def test_the_invented_people_are_nowhere_afterwards(importer: Importer, real_data: Path, web, capfd):
    path = archive(real_data, "dicom_chest_xray_wrapped.zip")
    needles = people(path)
    assert len(needles) > 50
    imported(importer, importer.send_archive(path))
    dataset = web.get("/api/v1/datasets").json()["items"][0]
    answers = [
        web.get(f"/api/v1/datasets/{dataset['id']}{part}") for part in ("", "/images?limit=500", "/health", "/refused")
    ]
    answers += [web.get(f"/datasets/{dataset['id']}"), web.get("/jobs"), web.get("/api/v1/jobs")]
    assert answers[1].status_code == 200
    places = everything(importer) | {str(answer.url): answer.content for answer in answers}
    places["log"] = "".join(capfd.readouterr()).encode()
    assert find(needles, places) == []


def test_nifti_samples_become_slices(importer: Importer, real_data: Path):
    with zipfile.ZipFile(archive(real_data, "nifti_samples.zip")) as opened:
        files = {
            f"{'a' if '4d' in name else 'b'}/{name}": opened.read(name) for name in opened.namelist() if ".nii" in name
        }
    _, images, refused = imported(importer, importer.send_folder(files))
    assert not refused
    counts = {path: sum(image.path.startswith(f"{path}#") for image in images) for path in files}
    assert counts == {"a/example4d.nii.gz": 20, "b/anatomical.nii": 21, "b/functional.nii": 3}
