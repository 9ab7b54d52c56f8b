"""Names that people give are at most 200 characters long, and no page grows wider by them."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import update

from app.core.config import Settings
from app.core.db import Database
from models import (
    Audit,
    Checkpoint,
    Classifier,
    Dataset,
    DatasetVersion,
    Evaluation,
    Explanation,
    Image,
    Job,
    RefusedFile,
    Study,
    SyntheticSet,
    Upload,
    UploadedImage,
)
from tests.e2e.served import CLASSES, Served, serve
from tests.e2e.test_accessibility import OVERFLOW, PATHS, SPECIAL

LONG = "W" * 200  # without a blank at which a line could end
LONG_CLASSES = [f"{name}_{'C' * 100}" for name in CLASSES]
CUT = """() => [...document.querySelectorAll("main *")].filter((element) => {
  const style = getComputedStyle(element);
  return style.textOverflow === "ellipsis" && element.scrollWidth > element.clientWidth && !element.closest("[title]");
}).map((element) => element.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One of everything, with names as long as they may be."""
    folder = tmp_path_factory.mktemp("long")
    with serve(folder, full=True) as served:
        database = Database(Settings(_env_file=None, data_dir=folder / "data").effective_database_url)
        with database.write() as session:
            for named in (Dataset, Checkpoint, SyntheticSet, Classifier, UploadedImage, Upload, Study):
                session.execute(update(named).values(name=LONG))
            for table in (DatasetVersion, Checkpoint, SyntheticSet, Classifier, Evaluation, Explanation, Audit):
                session.execute(update(table).values(classes=LONG_CLASSES))
            for table in (Image, RefusedFile):
                session.execute(update(table).values(path=LONG))
            session.execute(update(Job).values(title=LONG, message=LONG))
            session.execute(update(DatasetVersion).values(card={"licence": LONG}, change=LONG))
        database.dispose()
        yield served


@pytest.fixture(scope="module")
def page(browser: Browser, served: Served) -> Iterator[Page]:
    context = browser.new_context(
        extra_http_headers={"Authorization": f"Bearer {served.token}"}, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("path", PATHS + SPECIAL)
def test_wrap_or_are_cut_with_the_whole_in_a_title(page: Page, served: Served, path: str) -> None:
    page.goto(served.url + path.format(**served.ids))
    found: dict[int, Any] = {}
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        found[width] = page.evaluate(OVERFLOW), page.evaluate(CUT)
    assert found == {1280: (0, []), 390: (0, [])}
