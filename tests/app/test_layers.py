"""What the web process holds in memory: never the numerics, and little of anything."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, pathlib, resource, sys, tempfile, time
start = time.perf_counter()
from app.core.config import Settings
from app.main import create_app
create_app(Settings(_env_file=None, data_dir=pathlib.Path(tempfile.mkdtemp())))
seconds = time.perf_counter() - start
status = pathlib.Path("/proc/self/status").read_text()
rss = int(status.split("VmRSS:")[1].split()[0]) * 1024
print(json.dumps({"modules": sorted({name.split(".")[0] for name in sys.modules}), "seconds": seconds, "rss": rss}))
"""


def test_the_web_process_never_imports_numerics_and_stays_small() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    never = {"torch", "torchvision", "diffusers", "timm", "lime", "sklearn", "skimage", "workers", "pydicom", "nibabel"}
    assert never & set(found["modules"]) == set()
    assert found["rss"] < 200e6
