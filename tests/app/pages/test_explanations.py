"""The LIME pages."""

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
from models import Classifier, Explanation, ExplanationItem
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


def test_deletes(web: Any, explanation: Explanation) -> None:
    assert web.post(f"/explanations/{explanation.id}/delete").url.path == "/explanations"
    assert web.get(f"/explanations/{explanation.id}").status_code == 404
