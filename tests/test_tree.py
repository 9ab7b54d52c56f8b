"""Rules for the whole tree that no linter holds."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# In halves, so that this file does not find itself.
BANNED = [
    "torch" + ".load(",
    "import " + "pickle",
    "extract" + "all(",
    "trust_remote" + "_code",
    "allow_pickle" + "=True",
]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("banned", BANNED)
def test_no_code_unpickles_or_unpacks_blindly(banned: str):
    assert [path.name for path in tracked("*.py") if banned in path.read_text()] == []


def test_templates_hold_no_inline_script_or_style():
    pattern = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|\son[a-z]+=|\sstyle=|<style", re.IGNORECASE)
    allowed = re.compile(r'<script type="(application/json|speculationrules)"')
    offenders = []
    for path in tracked("templates/**"):
        text = allowed.sub("", path.read_text())
        offenders += [f"{path.name}: {match.group()}" for match in pattern.finditer(text)]
    assert offenders == []


def test_no_page_asks_another_host():
    pattern = re.compile(r"""(?:src|href|action)=["']https?://""")
    assert [
        path.name
        for path in tracked("templates/**")
        if re.search(r"""(?:src|action)=["']https?://""", path.read_text())
    ] == []
    assert [path.name for path in tracked("templates/base.html") if pattern.search(path.read_text())] == []


def test_no_image_of_a_patient_and_no_large_file_is_in_the_repository():
    large = [path for path in tracked() if path.stat().st_size > 3_000_000]
    assert large == []
    images = [p for p in tracked() if p.suffix.lower() in {".jpg", ".jpeg", ".dcm", ".nii", ".tif", ".tiff", ".bmp"}]
    assert images == []
