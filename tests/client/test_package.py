"""The client as a package: small, typed, and knowing nothing of the studio's own code."""

import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from phantom import Studio

from tests.client.conftest import Served
from tests.lab import Lab

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"


def test_it_imports_nothing_of_the_studio_and_nothing_heavy() -> None:
    code = (
        "import sys, phantom, phantom.cli; "
        "print(sorted({'app', 'models', 'workers', 'torch', 'numpy', 'sqlalchemy', 'fastapi'} & {m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


def test_it_is_a_distribution_of_its_own_with_few_dependencies() -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["name"], project["scripts"]) == ("phantom-studio-client", {"phantom": "phantom.cli:main"})
    names = {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert names == {"httpx2", "typer", "rich", "PyYAML"}
    assert (CLIENT / "phantom" / "py.typed").exists()


def test_progress_is_a_bar_on_a_terminal(served: Served, lab: Lab) -> None:
    code = f"from phantom import Studio; Studio().job({lab.job}).wait(timeout_s=1)"
    environment = {
        **os.environ,
        "PHANTOM_URL": served.url,
        "PHANTOM_TOKEN": served.token,
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 1  # TimeoutError: the job goes on
    assert "30%" in said.decode()
    assert "3 of 10 steps" in said.decode()
    assert "\x1b[" in said.decode()


def test_what_pages_and_docs_say_of_the_client_is_there() -> None:
    files = [*(ROOT / "app" / "pages").glob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    named = {
        found
        for file in files
        for found in re.findall(r"\bstudio\.(\w+)(?:\.(\w+))?\(", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    with Studio("http://127.0.0.1:9", "phs_x") as studio:
        missing = [names for names in named if not _has(studio, *names)]
    assert missing == []


def _has(studio: Studio, first: str, second: str) -> bool:
    return hasattr(studio, first) and (not second or hasattr(getattr(studio, first), second))
