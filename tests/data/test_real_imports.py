"""Imports of real medical images, where they lie beside the project; see conftest's `real_data`."""

import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from app.core import layouts
from app.services import datasets, uploads
from models import JobState, Upload
from models.specs import LayoutOptions
from tests.imports import Importer

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
TWENTY_EIGHT = {"train": 28, "val": 4, "test": 8}


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


def imported(importer: Importer, archive: Path, **options):
    """The version, its images and its summary."""
    if not archive.exists():
        pytest.skip(f"needs the real images of {archive.name}")
    job = importer.run(importer.send_archive(archive), archive.stem, **options)
    assert job.state == JobState.SUCCEEDED, job.error
    with importer.database.read() as session:
        version = datasets.version(session, job.result["version_id"])
        images, cursor = [], None
        while True:
            page = datasets.images(session, version, cursor=cursor, limit=500)
            images, cursor = [*images, *page.items], page.next_cursor
            if cursor is None:
                return version, images, datasets.summary(session, version)


def test_brain_mri_saved_in_colour_is_grey(importer: Importer, real_data: Path):
    version, images, summary = imported(importer, real_data / "smoke_brain_mri.zip")
    assert version.counts == dict.fromkeys(("glioma_tumor", "no_tumor", "pituitary_tumor"), TWENTY_EIGHT)
    assert version.channels == 1
    assert summary.modes == {"RGB": 120}
    assert summary.refused == {"ignored": 1, "broken": 0, "duplicate": 0, "leaking": 0, "excluded": 0}
    assert all(importer.storage.exists(image.stored_sha256) for image in images)


def test_blood_cells_are_colour(importer: Importer, real_data: Path):
    version, _, summary = imported(importer, real_data / "smoke_blood_cells.zip")
    assert version.counts == dict.fromkeys(("Platelets", "RBC", "WBC"), TWENTY_EIGHT)
    assert (version.channels, summary.duplicates.images) == (3, 0)


def test_chest_x_rays_of_mixed_modes_are_grey(importer: Importer, real_data: Path):
    version, _, summary = imported(importer, real_data / "chest_xray_patients.zip")
    assert summary.modes == {"L": 676, "RGB": 44}
    assert version.channels == 1
    assert {sum(splits.values()) for splits in version.counts.values()} == {240}
    assert summary.refused["ignored"] == 1  # README.txt
    assert version.layout["table"]["paths"] == ["manifest.csv"]


class TestPatientsOfChestXRays:
    """Of 720 X-rays of 498 children, by the archive's own manifest.csv and by the names of its files."""

    @pytest.fixture
    def upload(self, importer: Importer, real_data: Path) -> Upload:
        if not (real_data / "chest_xray_patients.zip").exists():
            pytest.skip("needs the real images of chest_xray_patients.zip")
        return importer.send_archive(real_data / "chest_xray_patients.zip")

    def test_the_manifest_is_found_and_names_them(self, importer: Importer, upload: Upload):
        plan = upload.plan
        assert (plan["kind"], plan["num_images"], plan["table"]["num_listed"], plan["table"]["num_missing"]) == (
            "folders",
            720,
            720,
            0,
        )
        assert [(column["name"], column["num_values"], column["may_be_groups"]) for column in plan["columns"]] == [
            ("path", 720, False), ("label", 3, False), ("patient_id", 498, True),
        ]  # fmt: skip
        groups = uploads.look_again(importer.settings, upload, LayoutOptions(group_by="patient_id")).plan["groups"]
        assert (groups["num_groups"], groups["without_group"]) == (498, 0)

    def test_138_of_them_have_several_images(self, importer: Importer, upload: Upload):
        layout = layouts.detect(
            (place := uploads.folder(importer.settings, upload)).members(), place, LayoutOptions(group_by="patient_id")
        )
        sizes = Counter(image.group for image in layout.images)
        assert (len(sizes), sum(size > 1 for size in sizes.values())) == (498, 138)

    def test_the_file_names_say_the_same_of_those_with_pneumonia(self, importer: Importer, upload: Upload):
        place = uploads.folder(importer.settings, upload)
        by_table = layouts.detect(place.members(), place, LayoutOptions(group_by="patient_id"))
        by_name = layouts.detect(place.members(), place, LayoutOptions(group_pattern=r"(person\d+)"))
        said = [(one.group, other.group) for one, other in zip(by_name.images, by_table.images, strict=True)]
        assert all(one == other for one, other in said if one is not None)
        assert by_name.groups is not None
        assert by_name.groups.without == 240  # normal ones are named otherwise


def test_forty_distinct_images_of_malaria_stand_on_one_side_each(importer: Importer, real_data: Path):
    version, images, summary = imported(importer, real_data / "duplicates_malaria.zip")
    sides = defaultdict(set)
    for image in images:
        sides[image.pixel_sha256].add(image.split)
    assert (len(images), len(sides)) == (136, 40)
    assert all(len(splits) == 1 for splits in sides.values())
    assert (summary.duplicates.images, summary.duplicates.across_splits) == (96, 0)
    assert all(min(splits.values()) >= 1 for splits in version.counts.values())


def test_an_archive_and_the_folder_of_it_give_the_same_version(importer: Importer, real_data: Path):
    archive = real_data / "smoke_blood_cells.zip"
    version, _, _ = imported(importer, archive)
    with zipfile.ZipFile(archive) as opened:
        files = {info.filename: opened.read(info) for info in opened.infolist() if not info.is_dir()}
    job = importer.run(importer.send_folder(files), "folder")
    with importer.database.read() as session:
        assert datasets.version(session, job.result["version_id"]).manifest_sha256 == version.manifest_sha256
