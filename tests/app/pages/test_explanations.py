"""The LIME pages, and the form that asks for an explanation."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import select

from app.core.db import Database
from app.core.storage import Storage
from app.pages import segments
from app.services.identity import Identity
from models import Classifier, Explanation, ExplanationItem, Image, Job, Split, UploadedImage
from tests import factories
from tests.app.pages import results_data


@pytest.fixture
def classifier(database: Database, who: Identity) -> Classifier:
    with database.write() as session:
        return factories.classifier(session, who, factories.dataset_with_version(session, who, num_images=40))


@pytest.fixture
def explanation(database: Database, who: Identity, storage: Storage, classifier: Classifier) -> Explanation:
    with database.write() as session:
        return results_data.explanation(session, who, session.get_one(Classifier, classifier.id), storage)


@pytest.fixture
def items(database: Database, explanation: Explanation) -> list[int]:
    with database.read() as session:
        query = (
            select(ExplanationItem.id)
            .where(ExplanationItem.explanation_id == explanation.id)
            .order_by(ExplanationItem.id)
        )
        return list(session.scalars(query))


@pytest.fixture
def test_images(database: Database, classifier: Classifier) -> list[int]:
    with database.read() as session:
        query = (
            select(Image.id)
            .where(Image.version_id == classifier.version_id, Image.split == Split.TEST)
            .order_by(Image.id)
        )
        return list(session.scalars(query))


class TestSegments:
    def test_runs_hold_every_pixel(self) -> None:
        assert segments.to_runs(np.array([[0, 0, 1], [1, 1, 300]])) == [0, 2, 1, 3, 300, 1]

    def test_regions_know_their_share_and_place(self) -> None:
        regions = segments.describe_regions(results_data.segments().astype(np.int64))
        assert regions[0] == {"share": 0.0625, "place": "top left"}
        assert regions[15] == {"share": 0.0625, "place": "bottom right"}

    def test_reads_more_than_256_segments(self) -> None:
        target = io.BytesIO()
        Pillow.fromarray(np.array([[0, 399]], dtype=np.uint16)).save(target, "PNG")
        assert segments.read_segments(target.getvalue()).tolist() == [[0, 399]]


class TestList:
    def test_says_what_lime_shows(self, web: Any) -> None:
        assert "No explanation yet" in web.get("/explanations").text

    def test_links_to_each_explanation(self, web: Any, explanation: Explanation) -> None:
        page = web.get("/explanations").text
        assert f'href="/explanations/{explanation.id}">4 images explained</a>' in page


class TestShow:
    def test_looks_at_the_first_image_closely(self, web: Any, explanation: Explanation, items: list[int]) -> None:
        page = web.get(f"/explanations/{explanation.id}").text
        assert f'data-src="/explanations/{explanation.id}/regions/{items[0]}"' in page
        assert 'max="16" step="1" value="3"' in page  # top-k: 16 regions, 3 stored
        assert f'href="/explanations/{explanation.id}?item={items[1]}" rel="next"' in page
        assert 'rel="prev"' not in page

    def test_the_image_is_in_the_address(self, web: Any, explanation: Explanation, items: list[int]) -> None:
        page = web.get(f"/explanations/{explanation.id}", params={"item": items[3]}).text
        assert f"/regions/{items[3]}" in page
        assert 'rel="next"' not in page

    def test_groups_the_sheet_mistakes_first(self, web: Any, explanation: Explanation) -> None:
        page = web.get(f"/explanations/{explanation.id}").text
        wrong, right = page.index("Wrong: disc taken for ring"), page.index("Right: disc")
        assert wrong < right

    def test_offers_every_class_likeliest_first(self, web: Any, explanation: Explanation) -> None:
        page = web.get(f"/explanations/{explanation.id}").text
        assert page.index(">ring (90 %)</option>") < page.index(">disc (10 %)</option>")

    def test_an_item_of_another_explanation_is_not_found(
        self, web: Any, explanation: Explanation, items: list[int]
    ) -> None:
        assert web.get(f"/explanations/{explanation.id}", params={"item": items[-1] + 1}).status_code == 404


class TestRegions:
    def test_sends_segments_and_the_weights_of_every_class(
        self, web: Any, explanation: Explanation, items: list[int]
    ) -> None:
        found = web.get(f"/explanations/{explanation.id}/regions/{items[0]}").json()
        assert (found["width"], found["height"]) == (32, 32)
        assert sum(found["runs"][1::2]) == 32 * 32
        assert found["runs"][:4] == [0, 8, 1, 8]
        assert [entry["name"] for entry in found["classes"]] == ["disc", "ring"]
        assert found["classes"][0]["weights"][15] == [15, 0.8]


class TestNew:
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

    def test_submits_a_job_for_the_ticked_images(
        self, web: Any, database: Database, classifier: Classifier, test_images: list[int]
    ) -> None:
        data = {
            "classifier_id": classifier.id,
            "image_ids": test_images[:2],
            "num_samples": "200",
            "num_segments": "10",
        }
        answer = web.post("/explanations", data=data, follow_redirects=False)
        assert answer.status_code == 303
        with database.read() as session:
            job = session.get_one(Job, int(answer.headers["location"].rsplit("/", 1)[1]))
            assert job.spec["image_ids"] == test_images[:2]
            assert job.spec["num_samples"] == 200

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


def test_deletes(web: Any, explanation: Explanation) -> None:
    assert web.post(f"/explanations/{explanation.id}/delete").url.path == "/explanations"
    assert web.get(f"/explanations/{explanation.id}").status_code == 404
