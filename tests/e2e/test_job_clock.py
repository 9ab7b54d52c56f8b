"""A job's page between two statuses: the clock of the browser counts on, by the server's time."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from app.core.config import Settings
from app.core.db import Database
from app.pages import words
from models import JobState, db_now
from tests import factories
from tests.e2e.served import Served, serve

RUNNING = {"state": JobState.RUNNING, "started_at": db_now(-95), "done": 43, "total": 100, "rate": 1.0}
WRONG_TIME = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)  # by the clock of the browser
SECONDS = [0, 1, 9.7, 59.2, 60, 95, 3599, 3600, 3700, 86_399, 86_400, 90_061, 400_000]
LOWS = [0.2, 1.4, 12.3, 44.1, 95, 700, 5000, 5500, 33_000, 40_000, 130_000, 1_000_000]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, int]]:
    """A studio, and in it a job that has run for 95 s."""
    folder = tmp_path_factory.mktemp("clock")
    with serve(folder, full=False) as served:
        database = Database(Settings(_env_file=None, data_dir=folder / "data").effective_database_url)
        with database.write() as session:
            job = factories.job(session, factories.identity(session), lease_until=db_now(3600), **RUNNING)
        database.dispose()
        yield served, job.id


def open_page(browser: Browser, served: tuple[Served, int], **options: Any) -> Page:
    studio, job_id = served
    context = browser.new_context(extra_http_headers={"Authorization": f"Bearer {studio.token}"}, **options)
    page = context.new_page()
    page.clock.install(time=WRONG_TIME)
    response = page.goto(f"{studio.url}/jobs/{job_id}")
    assert response is not None
    if options.get("java_script_enabled", True):  # the stream begins with a status, and has no other
        (told,) = re.findall('data-now="([^"]+)"', response.text())
        expect(page.locator(".readings")).not_to_have_attribute("data-now", told)
    return page


def seconds(page: Page) -> int:
    """How long the job has run, as the page says: 1 min 35 s -> 95."""
    text = page.locator("time[data-running]").inner_text()
    minutes, rest = re.fullmatch(r"(\d+) min(?: (\d+) s)?", text).groups()  # type: ignore[union-attr]
    return int(minutes) * 60 + int(rest or 0)


def low_and_high(page: Page) -> list[int]:
    """The time left, as the page says: 12 to 15 s -> [12, 15]."""
    return [int(number) for number in re.findall(r"\d+", page.locator("[data-low]").inner_text())]


def test_counts_each_second_by_the_clock_of_the_server(browser: Browser, served: tuple[Served, int]) -> None:
    page = open_page(browser, served)
    page.clock.pause_at(WRONG_TIME + dt.timedelta(seconds=40))
    page.clock.run_for(1000)
    ran, (low, high) = seconds(page), low_and_high(page)
    assert low < 48  # which the server said some seconds ago
    for passed in range(1, 4):
        page.clock.run_for(1000)
        assert seconds(page) == ran + passed
        assert low_and_high(page) == pytest.approx([low - passed, high - passed], abs=1)
    page.clock.run_for(90_000)
    assert seconds(page) == ran + 93
    assert page.locator("[data-low]").inner_text() == "any moment now"
    page.context.close()


def test_reads_the_seconds_to_nobody(browser: Browser, served: tuple[Served, int]) -> None:
    page = open_page(browser, served)
    assert page.locator("time[data-running]").count() == 1
    for live in ("[aria-live]", "[role=status]", "[role=log]", "[role=timer]"):
        assert page.locator(f"{live} time[data-running], {live} [data-low]").count() == 0
    page.context.close()


def test_reads_right_without_a_script(browser: Browser, served: tuple[Served, int]) -> None:
    page = open_page(browser, served, java_script_enabled=False)
    assert 95 <= seconds(page) < 155
    assert page.locator("[data-low]").inner_text() == "48 to 77 s"
    page.context.close()


def test_says_durations_as_the_server_does(browser: Browser, served: tuple[Served, int]) -> None:
    page = open_page(browser, served)
    script = f"""async ([seconds, lows]) => {{
      const words = await import("{served[0].url}/static/js/clock.js");
      return [seconds.map(words.duration), lows.map((low) => words.durationRange(low, low * 1.6))];
    }}"""
    durations, ranges = page.evaluate(script, [SECONDS, LOWS])
    assert durations == [words.duration(int(value)) for value in SECONDS]
    assert ranges == [words.duration_range((low, low * 1.6)) for low in LOWS]
    page.context.close()
