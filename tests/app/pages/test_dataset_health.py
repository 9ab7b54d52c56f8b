"""The health page: findings first, then what they rest on."""

import re
from typing import Any

import pytest

from app.services import datasets
from app.services.identity import Identity
from models import DatasetVersion, JobKind, JobState
from tests import factories, health_data

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def version(web: Any, who: Identity) -> DatasetVersion:
    with web.app.state.database.write() as session:
        return factories.dataset_with_version(session, who)


@pytest.fixture
def blank(web: Any, who: Identity, version: DatasetVersion) -> list[int]:
    """The images that the check has found to be blank."""
    with web.app.state.database.write() as session:
        return health_data.give(session, who, session.merge(version), mean_image="a" * 64)


def test_a_version_that_nobody_checked_can_be_checked(web: Any, version: DatasetVersion) -> None:
    page = web.get(f"/datasets/{version.dataset_id}/health").text
    assert "Nobody has checked this version" in page
    assert "Classes and splits" in page
    asked = web.post(f"/datasets/{version.dataset_id}/health/check")
    assert asked.url.path == f"/datasets/{version.dataset_id}/health"
    assert "The check is under way" in asked.text
    assert re.search(r'hx-sse:connect="/jobs/\d+/live\?after=1"', asked.text)
    assert "Check again" not in asked.text


def test_findings_come_first_and_the_worst_first(web: Any, version: DatasetVersion, blank: list[int]) -> None:
    page = web.get(f"/datasets/{version.dataset_id}/health").text
    assert "2 serious, 1 warning, 1 note." in page
    places = [
        page.index(words) for words in ("Something leaks", "Something blank", "Something metadata", "Trivial baselines")
    ]
    assert places == sorted(places)
    assert f'href="/datasets/{version.dataset_id}/duplicates?span=classes&amp;version=1"' in page
    for title in (
        "Trivial baselines",
        "Grey levels by class",
        "Mean image of each class",
        "Sizes and files by class",
        "File format",
    ):
        assert title in page
    assert f'src="/files/{"a" * 64}.png"' in page
    assert page.count("Mean image of disc") == 1


def test_what_looks_wrong_is_excluded_from_the_page(
    web: Any, who: Identity, version: DatasetVersion, blank: list[int]
) -> None:
    page = web.get(f"/datasets/{version.dataset_id}/health").text
    assert page.count('name="image_ids"') == 2
    done = web.post(
        f"/datasets/{version.dataset_id}/change",
        data={"action": "exclude", "back": "health", "reason": "Something blank", "image_ids": blank},
    )
    assert done.url.path == f"/datasets/{version.dataset_id}/health"
    assert "Version 2: 18 images" in done.text
    assert "The check is under way" in done.text
    old = web.get(f"/datasets/{version.dataset_id}/health?version=1").text
    assert "not the current one" in old
    assert 'name="image_ids"' not in old


def test_a_check_that_failed_says_why(web: Any, who: Identity, version: DatasetVersion) -> None:
    with web.app.state.database.write() as session:
        factories.job(
            session, who, JobKind.CHECK_DATASET, state=JobState.FAILED,
            spec={"kind": "check_dataset", "version_id": version.id}, error={"code": "x", "detail": "A file is gone."},
        )  # fmt: skip
    page = web.get(f"/datasets/{version.dataset_id}/health").text
    assert "The last check failed." in page
    assert "A file is gone." in page


def test_locked_test_images_are_not_shown(web: Any, who: Identity, version: DatasetVersion) -> None:
    with web.app.state.database.write() as session:
        row = session.merge(version)
        ids = [image.id for image in datasets.images(session, row, split="test").items]
        health_data.give(session, who, row)
        row.health = health_data.health(row, ids, job_id=1)
        factories.classifier(session, who, row)
    page = web.get(f"/datasets/{version.dataset_id}/health").text
    assert "4 examples are test images, which are locked." in page
    assert 'class="tile"' not in page


def test_without_images_it_leads_to_the_dataset(web: Any, who: Identity) -> None:
    from models import Dataset

    with web.app.state.database.write() as session:
        dataset = Dataset(project_id=who.project_id, name="coming")
        session.add(dataset)
        session.flush()
    assert web.get(f"/datasets/{dataset.id}/health").url.path == f"/datasets/{dataset.id}"


def test_another_projects_health_is_not_there(web: Any) -> None:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, factories.identity(session, "other"))
    assert web.get(f"/datasets/{version.dataset_id}/health").status_code == 404
    assert web.post(f"/datasets/{version.dataset_id}/health/check").status_code == 404


def test_a_finished_check_leads_to_the_health_page(web: Any, version: DatasetVersion, blank: list[int]) -> None:
    with web.app.state.database.read() as session:
        job_id = session.merge(version).health["job_id"]
    assert f'href="/datasets/{version.dataset_id}/health"' in web.get(f"/jobs/{job_id}").text
