"""The plan page in a browser: groups appear while a pattern is typed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.served import serve

expect.set_options(timeout=20_000)


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The plan of an upload with a table; whatever the browser complains of fails the test."""
    with serve(tmp_path, full=True) as served:
        context = browser.new_context(extra_http_headers={"Authorization": f"Bearer {served.token}"})
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{served.url}/datasets/new/{served.ids['upload_id']}")
        yield page
        context.close()
        assert complaints == []


def test_groups_appear_while_a_pattern_is_typed(page: Page) -> None:
    preview, pattern, column = (
        page.locator("#group-preview"),
        page.get_by_label("Group pattern"),
        page.get_by_label("Group by"),
    )
    expect(column).to_have_value("patient_id")
    expect(preview.get_by_role("row", name="shapes/disc/0.png p0")).to_be_visible()
    pattern.press_sequentially(r"(disc|ring)")
    expect(column).to_have_value("")  # one of the two
    expect(preview.get_by_role("row", name="shapes/ring/0.png ring")).to_be_visible()
    expect(preview.locator("dd")).to_have_text(["2", "3", "0"])
    pattern.press_sequentially("/[01]")
    expect(preview.locator("dd")).to_have_text(["2", "2", "2"])
    expect(preview.get_by_role("region", name="Files without a group")).to_contain_text("shapes/disc/2.png")
    expect(pattern).to_be_focused()
    pattern.press_sequentially("(")
    expect(preview).to_contain_text("is no regular expression")
    pattern.fill("")
    expect(preview).to_contain_text("Nothing says which images are of one patient")
    column.select_option("patient_id")
    expect(preview.locator("dd")).to_have_text(["3", "2", "0"])


def test_another_column_can_give_the_classes(page: Page) -> None:
    page.get_by_label("Classes are").select_option("column:patient_id")
    expect(page.get_by_role("row", name=re.compile("^p0"))).to_be_visible()
    expect(page).to_have_url(re.compile("classes=column%3Apatient_id"))
    page.get_by_role("button", name="Import 6 images").wait_for()
