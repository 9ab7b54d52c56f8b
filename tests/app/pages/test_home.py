"""The first page and the search."""

from typing import Any

from app.services.identity import Identity
from models import JobKind, JobState
from tests import factories


def test_an_empty_studio_says_what_to_do_first(web: Any) -> None:
    page = web.get("/").text
    assert 'href="/datasets/new"' in page
    assert "Try the demo" in page
    assert "no worker is running; jobs wait" in page
    assert "Nothing leaves this machine" in page


def test_names_the_next_step(web: Any, who: Identity) -> None:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, who)
    assert "Train a diffusion model" in web.get("/").text
    with web.app.state.database.write() as session:
        factories.synthetic_set(session, who, factories.checkpoint(session, who, version))
    assert "Train a classifier" in web.get("/").text


def test_shows_what_runs_and_asks_for_it_again(web: Any, who: Identity) -> None:
    with web.app.state.database.write() as session:
        factories.job(session, who, state=JobState.RUNNING, title="the running one", done=43, total=100)
        for _ in range(9):
            factories.job(session, who, JobKind.SAMPLE)
    fragment = web.get("/", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert "the running one" in fragment
    assert "43 %" in fragment
    assert "number 1 in “gpu”" in fragment
    assert "and 2 more" in fragment
    assert 'hx-trigger="every 2s"' in fragment


class TestSearch:
    def test_finds_by_part_of_a_name_and_by_number(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who, name="brain-mri")
            job = factories.job(session, who, title="on brains")
        found = web.get("/search?q=BRAIN").text
        assert f'href="/datasets/{version.dataset_id}"' in found
        assert "on brains" in found
        assert f'href="/jobs/{job.id}"' in web.get(f"/search?q={job.id}").text

    def test_takes_wildcards_as_they_are_and_shows_nobody_elses(self, web: Any) -> None:
        with web.app.state.database.write() as session:
            factories.dataset_with_version(session, factories.identity(session, "other"), name="theirs")
        assert "Nothing is called like that" in web.get("/search?q=%25").text
        assert "Nothing is called like that" in web.get("/search?q=theirs").text
