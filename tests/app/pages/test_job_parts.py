"""Pages of jobs that are done in parts: folded in the list, live on the page of the whole, and each part by itself."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app import events
from app.services import jobs
from app.services.identity import Identity
from models import Job, JobState
from models.specs import SampleSpec
from tests import factories


@pytest.fixture
def family(web: Any, who: Identity) -> list[int]:
    """Ids of the whole and of its three parts: one half drawn, one failed and one queued."""
    with web.app.state.database.write() as session:
        checkpoint = factories.checkpoint(session, who, factories.dataset_with_version(session, who))
        whole = jobs.submit(session, who, SampleSpec(checkpoint_id=checkpoint.id, per_class=16, num_parts=3))
        first, second, third = jobs.family(session, whole).parts
        first.state, first.done, first.owner = JobState.RUNNING, 4, "host:7:ab"
        second.state, second.done, second.error = JobState.PAUSED, 4, None
        return [whole.id, first.id, second.id, third.id]


def test_the_list_folds_parts_away_until_a_kind_or_state_is_chosen(web: Any, family: list[int]) -> None:
    whole, first, *_ = family
    everything = web.get("/jobs").text
    assert f"{whole}, in 3 parts</span>" in everything
    assert f'id="job-{first}"' not in everything
    assert "25 %" in everything  # 8 of 32 images
    assert 'all <span class="n">2</span>' in everything  # the whole, and the training of the checkpoint
    running = web.get("/jobs?state=running").text
    assert f'{first}, of <a href="/jobs/{whole}">job {whole}</a>' in running


def test_the_page_of_the_whole_lists_its_parts_and_counts_what_they_drew(web: Any, family: list[int]) -> None:
    whole, *parts = family
    page = web.get(f"/jobs/{whole}").text
    for number, part in enumerate(parts, 1):
        assert f'<a href="/jobs/{part}">Part {number} of 3</a>' in page
    assert "<dt>Done</dt><dd>8 of 32 images</dd>" in page
    assert "host:7:ab" in page
    assert "It needs" not in page
    assert f'href="/jobs/new/sample?like={whole}"' in page


def test_the_page_of_a_part_leads_to_the_whole_and_cancels_all_of_them(web: Any, family: list[int]) -> None:
    whole, first, *others = family
    page = web.get(f"/jobs/{first}").text
    assert f'Part 1 of 3 of <a href="/jobs/{whole}">job {whole}</a>' in page
    assert "Cancel all parts" in page
    assert "Same again" not in page
    web.post(f"/jobs/{first}/cancel")
    found = {each["id"]: each["state"] for each in web.get("/api/v1/jobs").json()["items"]}
    assert [found[each] for each in (whole, first, *others)] == ["cancelled", "running", "cancelled", "cancelled"]


def test_the_page_of_the_whole_hears_of_what_its_parts_draw(web: Any, family: list[int]) -> None:
    database = web.app.state.database

    async def listen() -> list[tuple[int, str, int]]:
        news = events.news_of(database, family[0], after=100, with_points=True)
        assert (await anext(news)).parts[0][2] == 4
        with database.write() as session:
            session.get_one(Job, family[1]).done = 6
        heard = await asyncio.wait_for(anext(news), 20)
        await news.aclose()  # type: ignore[attr-defined]  # it is a generator
        return list(heard.parts)

    with ThreadPoolExecutor(1) as thread:  # the browser tests leave a loop running in this one
        heard = thread.submit(lambda: asyncio.run(listen())).result()
    assert heard[0] == (family[1], "running", 6)


@pytest.mark.parametrize("kind", ["sample_part", "summarise_study"])
def test_there_is_no_form_for_what_nobody_asks_for_by_itself(web: Any, kind: str) -> None:
    for answer in (
        web.get(f"/jobs/new/{kind}"), web.post(f"/jobs/new/{kind}", data={}), web.post(f"/jobs/new/{kind}/form", data={})
    ):  # fmt: skip
        assert answer.status_code == 404
