"""A really running studio and a real Chromium.

What the studio wrote to its log is shown with every test that fails.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
LOG_LINES = 60
logs: list[Path] = []


@dataclass(frozen=True)
class Studio:
    """A studio that runs: its address, and the link that signs in once."""

    url: str
    link: str
    log: Path


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """`python -m app up` in a folder of its own, with real workers; stopped by Ctrl-C at the end."""
    folder = tmp_path_factory.mktemp("studio")
    log = folder / "log.txt"
    logs.append(log)
    with log.open("wb") as target:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "up", "--data-dir", str(folder / "data"), "--port", "0"],
            cwd=ROOT, stdout=target, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        link = _wait_for_link(process, log)
        yield Studio(link.split("/sign-in")[0], link, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=130)


def _wait_for_link(process: "subprocess.Popen[bytes]", log: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = re.search(r"https?://\S+/sign-in\?code=\S+", log.read_text())
        if found:
            return found[0]
        assert process.poll() is None, f"The studio stopped at once:\n{log.read_text()}"
        time.sleep(0.1)
    raise AssertionError(f"The studio printed no link within 60 s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}; name another one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    if report.failed:
        for log in logs:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            report.sections.append((f"the studio's log, {log}", tail))
    return report
