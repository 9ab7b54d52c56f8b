"""Draw the README's picture from a running demo: `make screenshots` while `make demo` runs beside it."""

import argparse
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.e2e.conftest import CHROMIUM, ROOT

SIZE = {"width": 1280, "height": 1060}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default="demo-data", help="folder of the demo that runs")
    parser.add_argument("--path", default="/demo", help="page to draw")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "demo.png")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(sign_in_link(options.data_dir), options.path, options.out)
    print(f"Drew {options.out}.")


def sign_in_link(data_dir: str) -> str:
    """A link that signs in once; its port is PHANTOM_PORT or 8000."""
    command = [sys.executable, "-m", "app", "link", "--data-dir", data_dir]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def draw(link: str, path: str, out: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        page.goto(link)
        page.goto(link.split("/sign-in")[0] + path)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main()
