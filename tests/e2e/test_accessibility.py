"""axe finds nothing on any page: light and dark, wide and phone, with data and without."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from app import pages
from tests.e2e.served import Served, serve

VENDOR = Path(__file__).parents[1] / "vendor"
AXE = (VENDOR / "axe-core" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
CONTRAST = ["color-contrast"]  # the only rule that the colours of a scheme decide
LOOKS = [(scheme, width) for width in (1280, 390) for scheme in ("light", "dark")]
NOT_PAGES = {
    "/search", "/jobs/{job_id}/curves", "/jobs/{job_id}/live", "/jobs/{job_id}/duplicate", "/compare/curves",
    "/explanations/{explanation_id}/regions/{item_id}", "/files/{sha256}.png", "/datasets/new/{upload_id}/groups",
}  # fmt: skip
PATHS = sorted(
    {route.path for router in pages.routers for route in router.routes if "GET" in getattr(route, "methods", ())}
    - NOT_PAGES  # type: ignore[attr-defined]
)
SAME_WITHOUT_DATA = {"/api/v1/docs", "/help", "/sign-in", "/datasets/new", "/datasets/new/server"}
SPECIAL = [
    "/synthetic-sets/{synthetic_set_id}?label=1&mark=starred",
    "/evaluations/{evaluation_id}?label=0&predicted=1",
    "/explanations/{old_explanation_id}",
    "/audits/{unknown_audit_id}",
    "/synthetic-sets/{filtered_set_id}",
    "/jobs/new/audit_set",
    "/explanations/new?classifier_id={classifier_id}",
    "/compare?jobs={job_id}",
    "/studies/compare?a={study_id}&b={again_id}",
    "/studies/{again_id}",
    "/datasets/new/{upload_id}?classes=column:patient_id",
    "/datasets/new?dataset_id={dataset_id}",
    "/datasets/new/{upload_id}?dataset_id={dataset_id}",
    "/datasets/new/server?dataset_id={dataset_id}",
    "/datasets/new/server?path=/nowhere",
    "/jobs/new/sample",
    "/jobs/new/train_classifier",
    "/jobs/{whole_id}",
    "/jobs/{part_id}",
    "/jobs/999999",
]
CHECK = """async (rules) => {
  const found = await axe.run(document, { preload: false, runOnly: rules, resultTypes: ["violations"] });
  return found.violations.map((rule) => `${rule.id}: ` + rule.nodes.slice(0, 3).map(
    (node) => node.target.join(" ") + " (" + [...node.any, ...node.all].map((check) => check.message).join("; ") + ")").join(" | "));
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("full"), full=True) as served:
        yield served


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("empty"), full=False) as served:
        yield served


def look(browser: Browser, served: Served, path: str) -> list[str]:
    """What axe says of `path` in every look, and where it is wider than the screen."""
    context = browser.new_context(
        extra_http_headers={"Authorization": f"Bearer {served.token}"}, reduced_motion="reduce"
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    page.goto(served.url + path)
    found = list(complaints)  # before axe, which sets styles that the policy refuses
    page.evaluate(AXE)
    found += [
        f"{scheme}, {width} px: {problem}" for scheme, width in LOOKS for problem in problems(page, scheme, width)
    ]
    context.close()
    return found


def problems(page: Page, scheme: Any, width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    overflow = page.evaluate(OVERFLOW)
    rules = {"type": "tag", "values": RULES} if scheme == "light" else {"type": "rule", "values": CONTRAST}
    return [*page.evaluate(CHECK, rules), *([f"{overflow} px wider than the screen"] if overflow > 0 else [])]


@pytest.mark.parametrize("path", PATHS + SPECIAL)
def test_with_data(browser: Browser, full: Served, path: str) -> None:
    assert look(browser, full, path.format(**full.ids)) == []


@pytest.mark.parametrize(
    "path", [path for path in PATHS if not re.search(r"\{(?!kind)", path) and path not in SAME_WITHOUT_DATA]
)
def test_without_data(browser: Browser, empty: Served, path: str) -> None:
    assert look(browser, empty, path.format(kind="sample")) == []


def test_axe_is_the_file_that_vendor_toml_names() -> None:
    listed = tomllib.loads((VENDOR / "vendor.toml").read_text())["axe-core"]["files"]
    for file in listed:
        assert hashlib.sha256((VENDOR / file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_the_lightbox(browser: Browser, full: Served) -> None:
    context = browser.new_context(extra_http_headers={"Authorization": f"Bearer {full.token}"}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{full.url}/synthetic-sets/{full.ids['synthetic_set_id']}")
    page.locator("[data-open]").nth(1).click()
    page.locator(".pswp__caption .recipe").wait_for()
    page.evaluate(AXE)
    assert [problem for scheme, width in LOOKS for problem in problems(page, scheme, width)] == []
    context.close()
