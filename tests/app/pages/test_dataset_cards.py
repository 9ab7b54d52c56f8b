"""The card's page: a form for what a person knows, and what is measured below it."""

from typing import Any

import pytest

from app.services import datasets
from app.services.identity import Identity
from models import Dataset, DatasetVersion
from models.specs.card import MAX_TEXT
from models.specs.changing import Resplit
from tests import factories, health_data

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def version(web: Any, who: Identity) -> DatasetVersion:
    with web.app.state.database.write() as session:
        return factories.dataset_with_version(session, who)


@pytest.fixture
def place(version: DatasetVersion) -> str:
    return f"/datasets/{version.dataset_id}/card"


def test_says_what_is_not_stated_and_not_checked(web: Any, place: str) -> None:
    page = web.get(place).text
    assert (
        "Not stated yet: Source, Licence, Consent, Population, Acquisition, Known problems, Contact, Citation." in page
    )
    assert "No check of this version has ended." in page
    assert "Trivial baselines" not in page
    assert f'maxlength="{MAX_TEXT}"' in page


def test_what_is_saved_stands_in_the_form(web: Any, place: str) -> None:
    saved = web.post(place, data={"source": "Ours & <theirs>\r\nsince 2019", "licence": ""})
    assert saved.url.path == place
    assert "Ours &amp; &lt;theirs&gt;\nsince 2019</textarea>" in saved.text
    assert "Not stated yet: Licence, " in saved.text


def test_says_that_everything_is_stated(web: Any, place: str) -> None:
    names = ("source", "licence", "consent", "population", "acquisition", "known_problems", "contact", "citation")
    assert "Everything is stated." in web.post(place, data=dict.fromkeys(names, "Known.")).text


def test_shows_what_the_check_found(web: Any, who: Identity, version: DatasetVersion, place: str) -> None:
    with web.app.state.database.write() as session:
        health_data.give(session, who, session.merge(version))
    page = web.get(place).text
    assert "<strong>Serious:</strong> Something leaks" in page
    assert "24 × 24 grey pixels, random forest" in page
    assert "<dt>Images</dt><dd>20 of 2 classes</dd>" in page


def test_an_older_version_is_written_and_downloaded_by_its_number(
    web: Any, who: Identity, version: DatasetVersion, place: str
) -> None:
    with web.app.state.database.write() as session:
        datasets.change(session, who, session.merge(version).dataset, Resplit(seed=5))
    old = web.get(f"{place}?version=1").text
    assert "not the current one" in old
    assert f'action="{place}?version=1"' in old
    assert "/croissant.json?version=1" in old
    assert "Ours" in web.post(f"{place}?version=1", data={"source": "Ours"}).text
    assert "Ours</textarea>" not in web.get(place).text
    assert "/croissant.json?" not in web.get(place).text


@pytest.mark.parametrize("data", [{"source": "x" * (MAX_TEXT + 1)}, {"license": "CC"}])
def test_text_that_cannot_be_kept_is_refused(web: Any, place: str, data: dict[str, str]) -> None:
    refused = web.post(place, data=data)
    assert refused.status_code == 422
    assert next(iter(data)) in refused.text


def test_without_images_it_leads_to_the_dataset(web: Any, who: Identity) -> None:
    with web.app.state.database.write() as session:
        dataset = Dataset(project_id=who.project_id, name="coming")
        session.add(dataset)
        session.flush()
    assert web.get(f"/datasets/{dataset.id}/card").url.path == f"/datasets/{dataset.id}"


def test_another_projects_card_is_not_there(web: Any) -> None:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, factories.identity(session, "other"))
    place = f"/datasets/{version.dataset_id}/card"
    assert web.get(place).status_code == 404
    assert web.post(place, data={"source": "Mine"}).status_code == 404
