"""The LIME pages."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import select, update

from app.core.db import Database
from app.core.images import read_segments
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
        assert read_segments(target.getvalue()).tolist() == [[0, 399]]


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


class TestWhetherItCanBeBelieved:
    def test_the_areas_stand_beside_what_they_mean(self, web: Any, explanation: Explanation) -> None:
        page = web.get(f"/explanations/{explanation.id}").text
        assert '<td class="num">0.200</td><td>small: it falls early</td>' in page
        assert '<td class="num">0.700</td><td>large: it rises early</td>' in page
        assert "Insertion lies 0.50 above deletion" in page

    def test_the_curves_are_told_in_words_and_in_numbers(self, web: Any, explanation: Explanation) -> None:
        page = web.get(f"/explanations/{explanation.id}").text
        # half of 0.9 is passed between two and three of 16 regions, and reached by four shown
        assert "takes its probability from 0.90 to 0.10; it is below half once 19 % of the image is hidden." in page
        assert "from 0.10 to 0.90; it has half of that once 25 % of the image is shown." in page
        row = '<th scope="row" class="num">2</th><td class="num">12.5 %</td><td class="num">0.500</td><td class="num">0.300</td>'
        assert row in page

    def test_stability_has_its_seeds(self, web: Any, explanation: Explanation) -> None:
        page = web.get(f"/explanations/{explanation.id}").text
        assert "<dt>Overlap of the top 3</dt><dd>0.67</dd>" in page
        assert "LIME ran with the seeds 0, 1, 2" in page

    def test_weight_at_the_edge_stands_beside_the_area(
        self, web: Any, database: Database, explanation: Explanation, items: list[int]
    ) -> None:
        share, known = (
            {"area": 0.36, "positive": 0.72, "absolute": 0.5},
            web.get(f"/explanations/{explanation.id}").text,
        )
        assert "Where the weight lies" in known
        with database.write() as session:
            session.get_one(ExplanationItem, items[0]).places = {
                "label": 1, "border": share, "corners": {**share, "positive": None}, "outside": None, "reason": "The picture fills the frame."
            }  # fmt: skip
        page = web.get(f"/explanations/{explanation.id}?item={items[0]}").text
        assert '<td class="num">72 %</td><td class="num">36 %</td>' in page
        assert "none speaks for it" in page
        assert "cannot be told: the picture fills the frame." in page

    def test_means_over_all_images_have_their_number(
        self, web: Any, database: Database, explanation: Explanation, items: list[int]
    ) -> None:
        with database.write() as session:
            item = session.get_one(ExplanationItem, items[0])
            item.faithfulness = {**results_data.faithfulness(0), "deletion_auc": 0.6}
        page = web.get(f"/explanations/{explanation.id}").text
        # (0.6 + 3 * 0.2) / 4
        assert '<td class="num">0.300</td><td class="num">0.200 to 0.600</td><td class="num">4</td>' in page

    def test_a_figure_that_nobody_asked_for_is_missing_among_the_others(
        self, web: Any, database: Database, explanation: Explanation
    ) -> None:
        with database.write() as session:
            session.execute(update(ExplanationItem).values(stability=None))
        page = web.get(f"/explanations/{explanation.id}").text
        assert page.count('<span class="missing">not measured</span>') == 2
        assert "no further seeds were asked for" in page

    def test_an_old_explanation_says_that_nothing_was_measured(
        self, web: Any, database: Database, who: Identity, storage: Storage, classifier: Classifier
    ) -> None:
        with database.write() as session:
            old = results_data.explanation(
                session, who, session.get_one(Classifier, classifier.id), storage, is_measured=False
            )
        page = web.get(f"/explanations/{old.id}").text
        assert "made before the studio measured it" in page
        assert "no further seeds were asked for" in page
        assert "Nothing was measured." in page
        entry = web.get(f"/explanations/{old.id}/regions/{_first_item(database, old)}").json()["classes"][0]
        assert entry["deviations"] is None


def _first_item(database: Database, explanation: Explanation) -> int:
    with database.read() as session:
        return session.scalars(
            select(ExplanationItem.id).where(ExplanationItem.explanation_id == explanation.id)
        ).first()


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

    def test_deviations_belong_to_the_class_that_was_measured(
        self, web: Any, explanation: Explanation, items: list[int]
    ) -> None:
        found = web.get(f"/explanations/{explanation.id}/regions/{items[0]}").json()["classes"]
        assert found[0]["deviations"] is None  # the first image is a disc that is taken for a ring
        assert found[1]["deviations"][15] == 0.15


def test_deletes(web: Any, explanation: Explanation) -> None:
    assert web.post(f"/explanations/{explanation.id}/delete").url.path == "/explanations"
    assert web.get(f"/explanations/{explanation.id}").status_code == 404
