"""The lab script of docs/client.md, run as it stands against a whole studio: `python -m app up` with real workers.

Only two numbers are made smaller, so that the test takes a minute instead of ten: num_steps=300 becomes 5 and
per_class=50 becomes 4. Whoever wants the real thing runs the block of docs/client.md by hand.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from tests import factories

ROOT = Path(__file__).parents[2]
SMALLER = (("num_steps=300", "num_steps=5"), ("per_class=50", "per_class=4"))
pytestmark = pytest.mark.timeout(900)


def lab_script() -> str:
    """The first Python block of docs/client.md."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_script_in_the_docs_is_the_one_of_the_design() -> None:
    calls = re.findall(r"\.(\w+)\(", lab_script())
    wanted = [
        "upload",
        "train_diffusion",
        "wait",
        "sample",
        "train_classifier",
        "evaluate",
        "split",
        "explain",
        "images",
        "download",
    ]
    assert [call for call in wanted if call not in calls] == []
    assert all(lab_script().count(given) == 1 for given, _ in SMALLER)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PHANTOM_")}
    return {
        **kept,
        "PHANTOM_DATA_DIR": str(tmp_path / "data"),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def studio(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a studio that is up; stopped by SIGINT afterwards, as Ctrl-C would."""
    log = tmp_path / "up.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "up", "--port", "0"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _address(log, process)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0, log.read_text()[-3000:]


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"(http://127\.0\.0\.1:\d+)/sign-in", log.read_text())
        if found:
            with urllib.request.urlopen(f"{found.group(1)}/healthz", timeout=10) as answer:
                assert json.load(answer) == {"status": "alive"}
            return found.group(1)
        time.sleep(0.2)
    raise AssertionError(f"the studio did not come up:\n{log.read_text()[-3000:]}")


def draw_zip(path: Path, *, per_class: int = 15) -> None:
    """Two classes of drawn images in class folders, with a README beside them."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.txt", "Drawn by a test.")
        for label, name in enumerate(("disc", "ring")):
            for number in range(per_class):
                held = BytesIO()
                PillowImage.fromarray(factories.drawing(label, 100 * label + number, 32)[..., 0]).save(held, "PNG")
                archive.writestr(f"{name}/{number:03d}.png", held.getvalue())


def test_the_lab_script_runs_as_it_stands(studio: str, environment: dict[str, str], tmp_path: Path) -> None:
    draw_zip(tmp_path / "brain_mri.zip")
    token = subprocess.run(
        [sys.executable, "-m", "app", "tokens", "create", "--name", "lab"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    script = lab_script()
    for given, smaller in SMALLER:
        script = script.replace(given, smaller)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**environment, "PHANTOM_URL": studio, "PHANTOM_TOKEN": token},
        capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + _why(tmp_path)
    assert "['disc', 'ring']" in done.stdout
    assert re.search(r"^(0|1)\.\d+ \[\[\d+, \d+\], \[\d+, \d+\]\]$", done.stdout, re.MULTILINE), done.stdout
    assert len(list((tmp_path / "lime").rglob("overlay.png"))) == 4
    pictures = sorted(path.relative_to(tmp_path / "out").parts[0] for path in (tmp_path / "out").rglob("*.png"))
    assert pictures == ["disc"] * 4 + ["ring"] * 4
    assert len((tmp_path / "out" / "metadata.jsonl").read_text().splitlines()) == 8
    assert (tmp_path / "out" / "README.md").exists()


def _why(tmp_path: Path) -> str:
    return "\n--- studio ---\n" + (tmp_path / "up.log").read_text()[-3000:]
