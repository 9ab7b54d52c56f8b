"""A study's report that was kept: opened from a file in a real browser it loads nothing, and prints whole pages."""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.served import Served, serve
from tests.e2e.test_accessibility import AXE, LOOKS, problems


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """report.html as the REST API gives it; the studio is gone when it is opened."""
    folder = tmp_path_factory.mktemp("report")
    with serve(folder, full=True) as served:
        (folder / "report.html").write_bytes(report(served))
    return folder / "report.html"


def report(served: Served) -> bytes:
    address = f"{served.url}/api/v1/studies/{served.ids['study_id']}/report.html"
    answer = httpx2.get(address, headers={"Authorization": f"Bearer {served.token}"}, timeout=60)
    return answer.raise_for_status().content


@pytest.fixture
def page(browser: Browser, kept: Path) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


def test_from_a_file_it_loads_nothing_and_shows_every_picture(page: Page, kept: Path) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:100]))
    page.on("request", lambda request: asked.append(request.url.split(",")[0]))
    page.goto(kept.as_uri())
    assert page.get_by_role("heading", level=1).inner_text() == "Study of brain-mri"
    assert (complaints, set(asked) - {"data:image/png;base64", "data:"}) == ([], {kept.as_uri()})
    pictures = page.locator("img")
    assert pictures.count() > 40
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") != "none"  # its style is applied


def test_axe_finds_nothing_and_it_fits_a_phone(page: Page, kept: Path) -> None:
    page.goto(kept.as_uri())
    page.evaluate(AXE)
    assert [f"{scheme}, {width} px: {each}" for scheme, width in LOOKS for each in problems(page, scheme, width)] == []


def test_it_prints_on_several_light_pages_with_their_tables_headed(page: Page, kept: Path) -> None:
    page.goto(kept.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every((each) => getComputedStyle(each).overflowX === 'visible')"
    )
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", _unpacked(pdf))) > 5
    assert b"Study of brain-mri: report" in pdf or "Study of brain-mri: report".encode("utf-16-be") in pdf


def _unpacked(pdf: bytes) -> bytes:
    """The file with its packed object streams behind it."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return pdf + b"".join(_inflated(each) for each in streams)


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:  # a font or a picture packed otherwise
        return b""
