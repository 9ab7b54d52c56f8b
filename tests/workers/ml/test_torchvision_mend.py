"""After the mend, what builds on torchvision can be imported; before it, beside a CPU torch, it cannot."""

import subprocess
import sys

import pytest

MISSING = "operator torchvision::nms does not exist"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torchvision_and_timm_import_after_our_package():
    result = run("import workers.ml, torchvision, timm; print('imported')")
    assert result.stdout.strip() == "imported", result.stderr


def test_mends_only_where_the_import_fails_without_it():
    plain = run("import torchvision")
    mended = run("import workers.ml, torchvision; print(len(workers.ml.torchvision_mend._libraries))")
    if plain.returncode == 0:
        assert mended.stdout.strip() == "0"
        pytest.skip("torchvision is whole here, so there is nothing to mend")
    assert MISSING in plain.stderr
    assert mended.stdout.strip() == "1"


def test_what_needs_no_network_never_loads_torch():
    assert run("import workers.ml, sys; print('torch' in sys.modules)").stdout.strip() == "False"


def test_the_declared_schemas_are_known_to_torch():
    known = "import workers.ml, torch, torchvision; print(hasattr(torch.ops.torchvision, 'nms'))"
    assert run(known).stdout.strip() == "True"
