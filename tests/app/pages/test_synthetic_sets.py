"""The gallery of a synthetic set."""

import re
from typing import Any

import pytest
from sqlalchemy import select

from app.core.db import Database
from app.services.identity import Identity
from models import Mark, SyntheticImage, SyntheticSet
from tests import factories


@pytest.fixture
def drawn(database: Database, who: Identity) -> SyntheticSet:
    """Two classes of four images: indices 0 to 3 are discs, 4 to 7 rings."""
    with database.write() as session:
        checkpoint = factories.checkpoint(session, who, factories.dataset_with_version(session, who))
        return factories.synthetic_set(session, who, checkpoint)


@pytest.fixture
def images(database: Database, drawn: SyntheticSet) -> list[int]:
    """The ids of the images, in the order of their indices."""
    with database.read() as session:
        query = select(SyntheticImage.id).where(SyntheticImage.set_id == drawn.id).order_by(SyntheticImage.index)
        return list(session.scalars(query))


def shown(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'class="shot" data-id="(\d+)"', page)]


class TestList:
    def test_says_how_to_draw_a_first_set(self, web: Any) -> None:
        page = web.get("/synthetic-sets").text
        assert "No synthetic set yet" in page
        assert 'href="/jobs/new/sample"' in page

    def test_shows_one_image_of_each_class(self, web: Any, drawn: SyntheticSet) -> None:
        page = web.get("/synthetic-sets").text
        assert f'href="/synthetic-sets/{drawn.id}"' in page
        assert page.count('src="/files/') == 2


class TestGallery:
    def test_shows_every_image_with_its_recipe(self, web: Any, drawn: SyntheticSet, images: list[int]) -> None:
        page = web.get(f"/synthetic-sets/{drawn.id}").text
        assert shown(page) == images
        assert "<dt>Seed</dt><dd>7</dd><dt>Index</dt><dd>7</dd>" in page
        assert 'data-width="768"' in page  # 16 px, 48 times

    def test_filters_by_class_and_by_mark_in_the_address(
        self, web: Any, drawn: SyntheticSet, images: list[int]
    ) -> None:
        here = f"/synthetic-sets/{drawn.id}"
        web.post(f"{here}/marks", data={"mark": "starred", "image_ids": [images[1], images[5]]})
        assert shown(web.get(here, params={"label": 1}).text) == images[4:]
        assert shown(web.get(here, params={"mark": "starred"}).text) == [images[1], images[5]]
        assert shown(web.get(here, params={"label": 0, "mark": "starred"}).text) == [images[1]]
        assert "No image of this set is rejected" in web.get(here, params={"mark": "rejected"}).text

    @pytest.mark.parametrize("query", ["label=2", "label=x", "mark=loved", "cursor=x"])
    def test_refuses_filters_that_mean_nothing(self, web: Any, drawn: SyntheticSet, query: str) -> None:
        assert web.get(f"/synthetic-sets/{drawn.id}?{query}").status_code == 422

    def test_sends_further_tiles_as_a_fragment(self, web: Any, database: Database, who: Identity) -> None:
        with database.write() as session:
            checkpoint = factories.checkpoint(session, who, factories.dataset_with_version(session, who))
            many = factories.synthetic_set(session, who, checkpoint, per_class=70)
        page = web.get(f"/synthetic-sets/{many.id}").text
        more = re.search(r'hx-get="([^"]+)"', page)
        assert more is not None
        rest = web.get(more[1].replace("&amp;", "&"), headers={"HX-Request": "true"}).text
        assert "<html" not in rest
        assert (len(shown(page)), len(shown(rest))) == (120, 20)
        assert not set(shown(page)) & set(shown(rest))
        assert "Load more" not in rest


class TestMarks:
    def test_answers_the_script_with_the_new_counts(self, web: Any, drawn: SyntheticSet, images: list[int]) -> None:
        answer = web.post(
            f"/synthetic-sets/{drawn.id}/marks",
            data={"mark": "rejected", "image_ids": images[:3]},
            headers={"Accept": "application/json"},
        )
        assert answer.json() == {"none": 5, "starred": 0, "rejected": 3}

    def test_counts_the_class_that_is_looked_at(self, web: Any, drawn: SyntheticSet, images: list[int]) -> None:
        answer = web.post(
            f"/synthetic-sets/{drawn.id}/marks",
            data={"mark": "starred", "image_ids": [images[0], images[7]], "label": "1"},
            headers={"Accept": "application/json"},
        )
        assert answer.json() == {"none": 3, "starred": 1, "rejected": 0}

    def test_works_without_a_script_and_goes_back_to_the_same_view(
        self, web: Any, database: Database, drawn: SyntheticSet, images: list[int]
    ) -> None:
        answer = web.post(f"/synthetic-sets/{drawn.id}/marks", data={"one": f"starred:{images[2]}", "label": "0"})
        assert str(answer.url).endswith(f"/synthetic-sets/{drawn.id}?label=0")
        with database.read() as session:
            assert session.get_one(SyntheticImage, images[2]).mark == Mark.STARRED

    @pytest.mark.parametrize("data", [{}, {"mark": "starred"}, {"one": "starred:x"}, {"one": "loved:1"}])
    def test_refuses_a_mark_for_nothing(self, web: Any, drawn: SyntheticSet, data: dict[str, str]) -> None:
        assert web.post(f"/synthetic-sets/{drawn.id}/marks", data=data).status_code == 422

    def test_marks_no_image_of_another_set(
        self, web: Any, database: Database, who: Identity, drawn: SyntheticSet, images: list[int]
    ) -> None:
        with database.write() as session:
            checkpoint = factories.checkpoint(session, who, factories.dataset_with_version(session, who, name="others"))
            other = factories.synthetic_set(session, who, checkpoint)
        answer = web.post(f"/synthetic-sets/{other.id}/marks", data={"mark": "starred", "image_ids": images[:1]})
        assert answer.status_code == 404


def test_renames_and_deletes(web: Any, drawn: SyntheticSet) -> None:
    here = f"/synthetic-sets/{drawn.id}"
    assert "<h1>first try</h1>" in web.post(f"{here}/rename", data={"name": "first try"}).text
    assert web.post(f"{here}/delete").url.path == "/synthetic-sets"
    assert web.get(here).status_code == 404
