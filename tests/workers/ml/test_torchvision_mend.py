"""After the mend, what builds on torchvision can be imported; before it, beside a CPU torch, it cannot."""

import subprocess
import sys

import pytest
import torch

MISSING = "operator torchvision::nms does not exist"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torchvision_and_timm_import_after_our_package():
    result = run("import workers.ml, torchvision, timm; print('imported')")
    assert result.stdout.strip() == "imported", result.stderr


def test_reports_a_mend_only_where_the_import_fails_without_it():
    plain = run("import torchvision")
    mended = run("from workers.ml.torchvision_mend import mend_torchvision; print(mend_torchvision())")
    # importing workers.ml mends first, so a second call finds a whole torchvision
    assert mended.stdout.strip() == "False"
    if plain.returncode == 0:
        pytest.skip("torchvision is whole here, so there is nothing to mend")
    assert MISSING in plain.stderr
    first = run("import workers.ml.torchvision_mend as m; print(len(m._libraries))")
    assert first.stdout.strip() == "1"


def test_the_declared_schemas_are_known_to_torch():
    for name in ("nms", "qnms"):
        assert hasattr(torch.ops.torchvision, name) or run("import torchvision").returncode == 0
