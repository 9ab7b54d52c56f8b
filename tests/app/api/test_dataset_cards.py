"""/datasets/{id}/card and what is downloaded of it."""

import hashlib
from typing import Any

import pytest

from app.api.schemas.cards import CardOut
from app.services import datasets
from app.services.identity import Identity
from models import Dataset, DatasetVersion, Image
from models.specs.card import MAX_TEXT, CardText
from models.specs.changing import Exclude
from tests import factories

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
DOWNLOADS = {"card.md": "text/markdown", "croissant.json": "application/ld+json", "manifest.csv": "text/csv"}


@pytest.fixture
def version(web: Any, who: Identity) -> DatasetVersion:
    with web.app.state.database.write() as session:
        return factories.dataset_with_version(session, who, name='brain "MRI"')


@pytest.fixture
def place(version: DatasetVersion) -> str:
    return f"/api/v1/datasets/{version.dataset_id}"


def test_what_is_written_is_read(web: Any, place: str) -> None:
    empty = web.get(f"{place}/card").json()
    assert empty["not_stated"] == list(CardText.model_fields)
    written = web.put(f"{place}/card", json={"source": " Ours ", "licence": "CC BY 4.0"})
    assert written.status_code == 200
    found = web.get(f"{place}/card").json()
    CardOut.model_validate(found)
    assert found == written.json()
    assert (found["text"]["source"], found["text"]["consent"], found["version"]) == ("Ours", "", 1)
    assert found["facts"][0] == {"name": "Images", "value": "20 of 2 classes"}
    assert found["counts"]["disc"] == {"train": 7, "val": 1, "test": 2}
    assert "source" not in found["not_stated"]


def test_writing_again_replaces_everything(web: Any, place: str) -> None:
    web.put(f"{place}/card", json={"source": "Ours", "licence": "CC BY 4.0"})
    web.put(f"{place}/card", json={"source": "Theirs"})
    text = web.get(f"{place}/card").json()["text"]
    assert (text["source"], text["licence"]) == ("Theirs", "")


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({"source": "x" * (MAX_TEXT + 1)}, "#/source", "5000 characters"),
        ({"license": "CC BY 4.0"}, "#/license", "not known"),
        ({"consent": "a\0b"}, "#/consent", "NUL"),
        ({"contact": 5}, "#/contact", "string"),
    ],
)
def test_bad_text_is_refused_and_named(web: Any, place: str, body: dict[str, Any], pointer: str, said: str) -> None:
    refused = web.put(f"{place}/card", json=body)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert said in error["detail"]
    assert web.get(f"{place}/card").json()["not_stated"] == list(CardText.model_fields)


def test_an_older_version_has_its_own(web: Any, who: Identity, version: DatasetVersion, place: str) -> None:
    with web.app.state.database.write() as session:
        row = session.merge(version)
        first = session.query(Image).filter_by(version_id=row.id).order_by(Image.id).first()
        datasets.change(session, who, row.dataset, Exclude(image_ids=[first.id]))
    web.put(f"{place}/card?version=1", json={"source": "Ours"})
    assert web.get(f"{place}/card").json()["text"]["source"] == ""
    assert "> Ours" in web.get(f"{place}/card.md?version=1").text
    assert web.get(f"{place}/croissant.json").json()["version"] == "2.0.0"
    assert len(web.get(f"{place}/manifest.csv?version=1").text.splitlines()) == 21
    assert len(web.get(f"{place}/manifest.csv").text.splitlines()) == 20


@pytest.mark.parametrize("name", DOWNLOADS)
def test_downloads_are_attachments_of_their_kind(web: Any, place: str, name: str) -> None:
    response = web.get(f"{place}/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == DOWNLOADS[name]
    assert response.headers["content-disposition"].startswith("attachment; ")


def test_the_name_of_the_markdown_file_is_the_datasets(web: Any, place: str) -> None:
    said = web.get(f"{place}/card.md").headers["content-disposition"]
    assert "filename*=UTF-8''brain%20%22MRI%22-v1.md" in said


def test_the_document_describes_the_manifest_and_names_no_host(web: Any, place: str) -> None:
    response = web.get(f"{place}/croissant.json", headers={"Host": "evil.example"})
    (file,) = response.json()["distribution"]
    assert file["sha256"] == hashlib.sha256(web.get(f"{place}/manifest.csv").content).hexdigest()
    assert response.json()["url"].startswith("/datasets/")
    assert "evil.example" not in response.text


@pytest.mark.parametrize("name", ["card", *DOWNLOADS])
def test_what_is_not_there(web: Any, who: Identity, place: str, name: str) -> None:
    with web.app.state.database.write() as session:
        other = factories.dataset_with_version(session, factories.identity(session, "other")).dataset_id
        coming = Dataset(project_id=who.project_id, name="coming")
        session.add(coming)
        session.flush()
    assert web.get(f"{place}/{name}?version=9").status_code == 404
    assert web.get(f"{place}/{name}?version=0").status_code == 422
    assert web.get(f"/api/v1/datasets/{other}/{name}").status_code == 404
    without_images = web.get(f"/api/v1/datasets/{coming.id}/{name}")
    assert (without_images.status_code, without_images.json()["hint"]) == (409, "Wait for its import.")


def test_another_projects_card_is_not_written(web: Any) -> None:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, factories.identity(session, "other"))
    assert web.put(f"/api/v1/datasets/{version.dataset_id}/card", json={"source": "Mine"}).status_code == 404
    with web.app.state.database.read() as session:
        assert session.get_one(DatasetVersion, version.id).card is None
