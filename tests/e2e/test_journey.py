"""The whole main job in a browser: from a folder of images to a moved slider on a LIME overlay."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from app.core.images import encode_png
from tests.e2e.conftest import Studio
from tests.factories import drawing

CLASSES = ("disc", "ring")
PER_CLASS = 30
JOB_MS = 120_000  # a job of this size takes seconds; a loaded machine takes longer
expect.set_options(timeout=20_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two class folders, with a file in between that is no image."""
    folder = tmp_path / "shapes"
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for k in range(PER_CLASS):
            (folder / name / f"{k:03d}.png").write_bytes(encode_png(drawing(label, k)))
    (folder / "README.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="module")
def session(browser: Browser, studio: Studio) -> StorageState:
    """The cookies of a person who has signed in by the studio's link, which works once."""
    context = browser.new_context(base_url=studio.url)
    context.new_page().goto(studio.link)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(browser: Browser, studio: Studio, session: StorageState) -> Iterator[Page]:
    """A signed-in page; whatever the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=studio.url, storage_state=session)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto("/")
    yield page
    context.close()
    assert complaints == []


def test_from_a_folder_of_images_to_an_explanation(page: Page, folder: Path) -> None:
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    upload_and_import(page, folder)
    train_a_diffusion_network(page)
    sample_from_it(page)
    look_through_the_gallery(page)
    train_a_classifier(page)
    evaluate_it(page)
    explain_a_mistake_or_a_hit(page)
    move_the_controls(page)


def upload_and_import(page: Page, folder: Path) -> None:
    choose_folder(page, "/datasets/new", folder)
    expect(page.get_by_role("row", name=re.compile("^disc")).first).to_contain_text(str(PER_CLASS))
    page.get_by_text("1 file would be left out").click()
    expect(page.get_by_text("README.txt")).to_be_visible()
    page.get_by_label("Name of the dataset").or_(page.get_by_label("Name", exact=True)).first.fill("shapes")
    page.get_by_role("button", name="Import 60 images").click()
    open_result(page, "dataset")
    expect(page.get_by_role("heading", level=1, name="shapes", exact=True)).to_be_visible()
    expect(page.locator("[data-grid] [data-open]").first).to_be_visible()


def test_images_are_added_to_a_dataset(page: Page, tmp_path: Path) -> None:
    for folder, classes, first in (("small", CLASSES, 0), ("more", (*CLASSES, "cross"), 2)):
        for label, name in enumerate(classes):
            (tmp_path / folder / name).mkdir(parents=True)
            for k in range(first, first + 4):
                (tmp_path / folder / name / f"{k}.png").write_bytes(encode_png(drawing(label, 10 * label + k, 24)))
    choose_folder(page, "/datasets/new", tmp_path / "small")
    page.get_by_label("Name", exact=True).fill("growing")
    page.get_by_role("button", name="Import 8 images").click()
    open_result(page, "dataset")
    page.get_by_role("main").get_by_role("button", name="Add images").click()
    expect(page.get_by_role("heading", level=1, name="Add images to growing")).to_be_visible()
    choose_folder(page, None, tmp_path / "more")
    expect(page.get_by_text("1 is new: cross.")).to_be_visible()
    page.get_by_role("button", name="Add 12 images").click()
    open_result(page, "dataset")
    expect(page.get_by_text("16 images, grey, version 2")).to_be_visible()
    page.get_by_text("of the import").click()
    expect(page.get_by_text("New classes, numbered after those that were there: cross.")).to_be_visible()
    page.get_by_role("link", name="4 files").click()
    expect(page.get_by_text("It is in the dataset already: small/disc/2.png has the same pixels.")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="Versions", exact=True).click()
    page.get_by_role("link", name="Differences of version 2 from version 1").click()
    expect(page.get_by_text("8 added.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("cross.2.png added – cross, "))).to_be_visible()
    page.get_by_role("button", name="Use version 1").click()
    page.get_by_role("link", name="Images", exact=True).click()
    expect(page.get_by_text("8 images, grey, version 1")).to_be_visible()


def choose_folder(page: Page, address: str | None, folder: Path) -> None:
    """Send a folder from the page that is open, or from `address`, and look at its plan."""
    if address is not None:
        page.goto(address)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(folder)
    expect(page.get_by_role("heading", name="What was found")).to_be_visible(timeout=JOB_MS)


def train_a_diffusion_network(page: Page) -> None:
    page.locator("main a", has_text="Train diffusion").click()
    page.get_by_text("tiny", exact=True).click()
    expect(page.get_by_role("radio", name=re.compile("tiny"))).to_be_checked()
    page.get_by_text(re.compile("All settings")).click()
    for label, value in (
        ("Image size", "16"),
        ("Steps", "40"),
        ("Batch size", "8"),
        ("Preview every", "20"),
        ("Checkpoint every", "20"),
    ):
        set_option(page, label, value)
    submit(page)
    expect(page.get_by_role("heading", name="Curves")).to_be_visible()
    expect(page.locator("#chart canvas").first).to_be_visible(timeout=JOB_MS)
    expect(page.locator("#preview-image")).to_be_visible(timeout=JOB_MS)
    page.reload()  # nothing is lost by it
    open_result(page, "checkpoint")
    expect(page.get_by_role("heading", name="Last preview")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Samples of each class at step 40"))).to_be_visible()


def sample_from_it(page: Page) -> None:
    set_option(page, "Images per class", "12")
    set_option(page, "Steps", "4")
    page.get_by_role("button", name="Draw images").click()
    open_result(page, "synthetic set")


def look_through_the_gallery(page: Page) -> None:
    tiles = page.locator(".shot")
    expect(tiles).to_have_count(24)
    page.locator(".chip", has_text="ring").click()
    expect(tiles).to_have_count(12)
    page.locator(".chip", has_text="All classes").click()
    expect(tiles).to_have_count(24)
    expect(page.locator("[data-current]")).to_have_count(1)  # the script has taken the grid over
    first = tiles.first.locator("[data-open]")
    first.focus()
    page.keyboard.press("s")
    expect(page.locator("[data-count=starred]")).to_have_text("1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.keyboard.press("x")
    expect(page.locator("[data-count=rejected]")).to_have_text("2")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[data-count=rejected]")).to_have_text("0")
    page.keyboard.press("Escape")
    look_at_one_image(page)
    page.locator(".chip", has_text="Starred").click()
    expect(tiles).to_have_count(2)
    page.locator(".chip", has_text="Any mark").click()


def look_at_one_image(page: Page) -> None:
    page.locator(".shot [data-open]").nth(13).click()
    caption = page.locator(".pswp__caption")
    expect(caption).to_contain_text("ring")
    expect(caption).to_contain_text("Index1000006")  # classes take turns; the numbers of the second begin at 1,000,000
    page.keyboard.press("ArrowRight")
    expect(caption).to_contain_text("Index7")
    page.keyboard.press("s")
    expect(page.get_by_role("button", name="Star (s)")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator(".pswp")).to_have_count(0)
    expect(page.locator("[data-count=starred]")).to_have_text("2")


def train_a_classifier(page: Page) -> None:
    page.locator("main a", has_text="Train a classifier on it").click()
    page.get_by_text(re.compile("All settings")).click()
    page.get_by_label("Train on").select_option("both")
    page.get_by_label("Pretrained").uncheck()
    for label, value in (("Epochs", "1"), ("Input size", "32"), ("Batch size", "8")):
        set_option(page, label, value)
    submit(page)
    open_result(page, "classifier")
    expect(page.get_by_text("real and synthetic images").first).to_be_visible()


def evaluate_it(page: Page) -> None:
    set_option(page, "Bootstrap resamples", "200")
    page.get_by_role("button", name=re.compile("^Evaluate on")).click()
    open_result(page, "evaluation")
    expect(page.get_by_text(re.compile("95 % interval")).first).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("ROC curves"))).to_be_visible()
    of_disc = page.locator(".matrix tr:has(td a)").first.locator("td a")
    numbers = [int(re.findall(r"[0-9]+", text)[0]) for text in of_disc.all_inner_texts()]
    of_disc.nth(numbers.index(max(numbers))).click()  # at least two of four are there
    expect(page).to_have_url(re.compile(r"label=0&predicted=\d#images"))
    expect(page.get_by_role("heading", name=re.compile("^True class disc, predicted"))).to_be_in_viewport()


def explain_a_mistake_or_a_hit(page: Page) -> None:
    cell = page.locator("#images")
    cell.get_by_role("checkbox", name=re.compile("^Select")).first.check()
    cell.get_by_role("checkbox", name=re.compile("^Select")).nth(1).check()
    cell.get_by_role("button", name="Explain the selected").click()
    expect(page.locator("input[name=image_ids]:checked")).to_have_count(2)
    set_option(page, "Samples", "100")
    set_option(page, "Superpixels", "10")
    set_option(page, "Further seeds", "1")
    page.get_by_role("button", name="Explain", exact=True).click()
    open_result(page, "explanation")
    expect(page.get_by_role("img", name="Deletion and insertion curves")).to_be_visible()
    expect(page.get_by_text("LIME ran with the seeds 0, 1.")).to_be_visible()
    expect(page.locator("[data-lime-rows]")).to_contain_text("±")


def move_the_controls(page: Page) -> None:
    """Each control changes the picture, and what was set stays for the next image."""
    expect(page.locator("[data-lime-root].is-ready")).to_be_visible()
    seen = {pixels(page)}
    page.get_by_label("Opacity").press("End")
    seen.add(pixels(page))
    page.get_by_label("Strongest regions").press("Home")
    expect(page.locator("[data-lime-rows] .is-chosen")).to_have_count(1)
    seen.add(pixels(page))
    page.keyboard.press("o")
    expect(page.get_by_text("The overlay is off.")).to_be_visible()
    seen.add(pixels(page))
    assert len(seen) == 4
    page.keyboard.press("o")
    other = page.get_by_role("combobox", name="Class").locator("option:not([selected])").get_attribute("value")
    page.get_by_role("combobox", name="Class").select_option(other)
    expect(page.locator("[data-lime-summary]")).to_contain_text("region")
    page.keyboard.press("Tab")
    page.keyboard.press("]")
    expect(page.get_by_text("2 of 2")).to_be_visible()
    expect(page.locator("[data-lime-output=opacity]")).to_have_text("100 %")
    expect(page.locator("[data-lime-rows] .is-chosen")).to_have_count(1)


def pixels(page: Page) -> str:
    return str(page.locator("[data-lime-root] canvas").evaluate("canvas => canvas.toDataURL()"))


def set_option(page: Page, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    field.press("Tab")
    page.wait_for_load_state("networkidle")  # the form asks for its estimate again
    expect(field).to_have_value(value)


def submit(page: Page) -> None:
    page.locator(".submit-bar button[type=submit]").click()
    expect(page).to_have_url(re.compile(r"/jobs/\d+$"))


def open_result(page: Page, word: str) -> None:
    """Watch the job until it has ended well, then open what it made."""
    expect(page.locator("#job-status .state")).to_be_visible()
    link = page.locator("#job-status a", has_text=f"Open the {word}")
    failed = page.locator("#job-status .state-failed, #job-status .state-cancelled")
    expect(link.or_(failed).first).to_be_visible(timeout=JOB_MS)
    assert failed.count() == 0, page.locator("#job-status").inner_text()
    link.click()
    expect(page).not_to_have_url(re.compile(r"/jobs/\d+$"))
