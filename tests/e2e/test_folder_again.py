"""A folder whose upload was interrupted is chosen again in a real browser: only what is missing is sent."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, Route, expect

from tests.e2e.served import serve
from tests.imports import picture

BATCH = 200
EXTRA = 30
FILES = re.compile(r"/api/v1/uploads/\d+/files\?part=0$")
LIST = re.compile(r"/api/v1/uploads/\d+/list/0$")
expect.set_options(timeout=20_000)


@pytest.fixture
def context(browser: Browser, tmp_path: Path) -> Iterator[BrowserContext]:
    with serve(tmp_path / "studio", full=False) as served:
        headers = {"Authorization": f"Bearer {served.token}"}
        context = browser.new_context(base_url=served.url, extra_http_headers=headers)
        yield context
        context.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """More files than go in one batch."""
    folder = tmp_path / "interrupted"
    for k in range(BATCH + EXTRA):
        file = folder / ("disc", "ring")[k % 2] / f"{k:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(k))
    return folder


def held_back(page: Page) -> list[Route]:
    """The batches that the page sends, none of which gets through by itself."""
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route(FILES, hold)
    return waiting


def first_of(page: Page, waiting: list[Route]) -> Route:
    """The first batch, which is on its way a moment after the page says that it sends."""
    deadline = time.monotonic() + 20
    while not waiting:
        assert time.monotonic() < deadline, "The page sent no batch."
        page.wait_for_timeout(20)
    return waiting[0]


def choose(page: Page, folder: Path) -> None:
    page.goto("/datasets/new")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(folder)


def test_choosing_it_again_sends_only_what_is_missing(context: BrowserContext, folder: Path) -> None:
    page = context.new_page()
    sent: list[Route] = []

    def break_off(route: Route) -> None:
        sent.append(route)
        route.continue_() if len(sent) == 1 else route.abort()

    page.route(FILES, break_off)
    choose(page, folder)
    expect(page.get_by_text("The connection was lost; trying again")).to_be_visible()
    page.close()

    (folder / "disc" / "000.png").write_bytes(picture(1000))
    (folder / "ring" / "001.png").unlink()
    (folder / "ring" / "new.png").write_bytes(picture(1001))
    page, answers = context.new_page(), []
    waiting = held_back(page)
    page.on("response", lambda response: answers.append(response) if LIST.search(response.url) else None)
    choose(page, folder)
    num_files = len(list(folder.rglob("*.png")))
    num_missing = number_of_missing(page, answers)
    # One batch had arrived; one file of it is gone by now, and one at most has changed.
    assert EXTRA + 1 <= num_missing <= EXTRA + 3
    expect(page.locator("#upload-word")).to_have_text(
        f"Sending 0 of {num_missing} files; {num_files - num_missing} were already there"
    )
    expect(page.locator("#upload-note")).to_be_hidden()
    batch = first_of(page, waiting)
    assert len(waiting) == 1
    batch.continue_()
    expect(page.get_by_role("heading", name="What was found")).to_be_visible()
    expect(page.get_by_role("button", name=f"Import {num_files} images")).to_be_visible()


def number_of_missing(page: Page, answers: list[Response]) -> int:
    expect(page.locator("#upload-word")).to_have_text(re.compile("^Sending"))
    (answer,) = answers
    return len(answer.json()["missing"])


def test_where_the_browser_cannot_hash_all_is_sent_and_the_page_says_why(context: BrowserContext, folder: Path) -> None:
    page = context.new_page()
    page.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined })")
    held_back(page)
    choose(page, folder)
    expect(page.locator("#upload-word")).to_have_text(f"Sending 0 of {BATCH + EXTRA} files")
    expect(page.get_by_text("This page is not served over https")).to_be_visible()
    page.unroute(FILES)  # which lets go what waits
    expect(page.get_by_role("button", name=f"Import {BATCH + EXTRA} images")).to_be_visible()


def test_a_file_that_changes_while_it_is_sent_is_named(context: BrowserContext, folder: Path) -> None:
    page = context.new_page()
    waiting = held_back(page)
    choose(page, folder)
    batch = first_of(page, waiting)
    expect(page.locator("#upload-word")).to_have_text(re.compile("^Sending 0"))
    for file in folder.rglob("*.png"):
        file.write_bytes(b"changed")
    batch.abort()
    expect(page.get_by_text(re.compile("cannot be read: it was changed or removed"))).to_be_visible()
