"""The form that asks for an explanation."""

import io
from typing import Any

import pytest
from PIL import Image as Pillow
from sqlalchemy import select

from app.core.db import Database
from app.services.identity import Identity
from models import Classifier, Image, Job, Split, UploadedImage
from tests import factories
from tests.app.pages import results_data


@pytest.fixture
def classifier(database: Database, who: Identity) -> Classifier:
    with database.write() as session:
        return factories.classifier(session, who, factories.dataset_with_version(session, who, num_images=40))


@pytest.fixture
def test_images(database: Database, classifier: Classifier) -> list[int]:
    with database.read() as session:
        query = (
            select(Image.id)
            .where(Image.version_id == classifier.version_id, Image.split == Split.TEST)
            .order_by(Image.id)
        )
        return list(session.scalars(query))


class TestForm:
    def test_asks_for_a_classifier_first(self, web: Any, classifier: Classifier) -> None:
        assert f'href="/explanations/new?classifier_id={classifier.id}"' in web.get("/explanations/new").text

    def test_offers_the_test_images(self, web: Any, classifier: Classifier, test_images: list[int]) -> None:
        page = web.get("/explanations/new", params={"classifier_id": classifier.id, "image_ids": test_images[0]}).text
        assert page.count('name="image_ids"') == len(test_images) == 8
        assert page.count(" checked") == 1

    def test_offers_the_images_of_a_cell(
        self, web: Any, database: Database, who: Identity, classifier: Classifier
    ) -> None:
        with database.write() as session:
            evaluation = factories.evaluation(session, who, classifier, results_data.report())
        found = web.get("/explanations/new", params={"evaluation_id": evaluation.id, "label": 0, "predicted": 1}).text
        assert "taken for ring" in found
        assert "taken for disc" not in found

    def test_says_what_further_seeds_cost(self, web: Any, classifier: Classifier) -> None:
        page = web.get("/explanations/new", params={"classifier_id": classifier.id}).text
        assert ">Further seeds</label>" in page
        assert "each takes as long again. 0 to 10." in page

    def test_submits_a_job_for_the_ticked_images(
        self, web: Any, database: Database, classifier: Classifier, test_images: list[int]
    ) -> None:
        data = {
            "classifier_id": classifier.id,
            "image_ids": test_images[:2],
            "num_samples": "200",
            "num_segments": "10",
            "stability_seeds": "3",
        }
        answer = web.post("/explanations", data=data, follow_redirects=False)
        assert answer.status_code == 303
        with database.read() as session:
            job = session.get_one(Job, int(answer.headers["location"].rsplit("/", 1)[1]))
            assert job.spec["image_ids"] == test_images[:2]
            assert (job.spec["num_samples"], job.spec["stability_seeds"]) == (200, 3)

    def test_keeps_an_uploaded_image_and_explains_it(
        self, web: Any, database: Database, classifier: Classifier
    ) -> None:
        target = io.BytesIO()
        Pillow.fromarray(factories.drawing(0, 1)[..., 0]).save(target, "BMP")
        answer = web.post(
            "/explanations",
            data={"classifier_id": classifier.id},
            files={"files": ("mine.bmp", target.getvalue(), "image/bmp")},
            follow_redirects=False,
        )
        assert answer.status_code == 303
        with database.read() as session:
            image = session.scalars(select(UploadedImage)).one()
            job = session.get_one(Job, int(answer.headers["location"].rsplit("/", 1)[1]))
            assert (image.name, image.width) == ("mine.bmp", 16)
            assert job.spec["uploaded_image_ids"] == [image.id]

    def test_shows_the_form_again_with_what_is_wrong(
        self, web: Any, classifier: Classifier, test_images: list[int]
    ) -> None:
        data = {"classifier_id": classifier.id, "image_ids": test_images[:1], "num_samples": "60", "num_segments": "20"}
        answer = web.post("/explanations", data=data)
        assert answer.status_code == 422
        assert "60 samples are too few for 20 superpixels" in answer.text
        assert answer.text.count(" checked") == 1

    def test_refuses_to_explain_nothing(self, web: Any, classifier: Classifier) -> None:
        answer = web.post("/explanations", data={"classifier_id": classifier.id})
        assert answer.status_code == 422
        assert "There is no image to explain" in answer.text

    def test_refuses_a_file_that_is_no_image(self, web: Any, database: Database, classifier: Classifier) -> None:
        answer = web.post(
            "/explanations",
            data={"classifier_id": classifier.id},
            files={"files": ("a.png", b"not an image", "image/png")},
        )
        assert answer.status_code == 422
        with database.read() as session:
            assert session.scalars(select(UploadedImage)).all() == []
