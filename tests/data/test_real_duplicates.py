"""Copies and patients in real medical images, where they lie beside the project; counts as in the README of the images."""

from pathlib import Path

import pytest

from app.services.datasets import copies
from tests.data.test_real_imports import imported
from tests.imports import Importer

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


def test_malaria_cells_are_forty_distinct_of_136(importer: Importer, real_data: Path):
    version, images, _ = imported(importer, real_data / "duplicates_malaria.zip")
    with importer.database.read() as session:
        tally = copies.tally(session, version)
    assert (len(images), tally.exact, tally.near, tally.across_classes) == (136, 96, 96, 0)
    assert len({image.pixel_sha256 for image in images}) == 40
    assert version.leaks == {"patients": 0, "identical": 0, "near": 0}


def test_chest_x_rays_hold_no_copies(importer: Importer, real_data: Path):
    version, _, _ = imported(importer, real_data / "chest_xray_patients.zip")
    with importer.database.read() as session:
        assert copies.tally(session, version) == copies.Tally(0, 0, 0, 0, 0)
