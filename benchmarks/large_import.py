"""A folder of many small images, all the way: sent, imported, imported again with the worker killed in the middle.

.venv/bin/python -m benchmarks large_import --images 50000

Beside it, in the same run on the same cores, bare decoding of the same files by Pillow in as many processes as the import uses.
The studio is `python -m app up` with its own workers; memory is what /proc says of each process, the most seen.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "client"))
from phantom import Job, Studio  # noqa: E402
from phantom.progress import Progress  # noqa: E402
from phantom.sending import FolderSender  # noqa: E402

CLASSES = ("benign", "early", "pre", "pro")
SIDES = (64, 96, 128)
SAMPLE_S = 0.25


def make_image(place: tuple[str, int]) -> None:
    """Number `index` of the folder: a bright disc on smooth noise, every other one a JPEG saved in colour."""
    folder, index = place
    rng = np.random.default_rng(index)
    side = SIDES[index % len(SIDES)]
    coarse = Image.fromarray(rng.integers(0, 160, (side // 8, side // 8), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
    y, x = np.mgrid[:side, :side] - rng.uniform(0.3, 0.7, (2, 1, 1)) * side
    pixels = pixels + 60 * (x * x + y * y < (side * rng.uniform(0.1, 0.25)) ** 2) + rng.normal(0, 4, (side, side))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    stem = f"{folder}/{CLASSES[index % len(CLASSES)]}/{index:06d}"
    if index % 2:
        image.convert("RGB").save(f"{stem}.jpg", quality=90)
    else:
        image.save(f"{stem}.png")


def decode(path: str) -> None:
    with Image.open(path) as image:
        image.load()


def bare_rate(files: list[str], num_processes: int) -> float:
    """Images/s of Pillow alone."""
    with ProcessPoolExecutor(num_processes) as executor:
        list(executor.map(decode, files[: 4 * num_processes]))  # start them
        started = time.perf_counter()
        list(executor.map(decode, files, chunksize=64))
        return len(files) / (time.perf_counter() - started)


class Memory:
    """The most memory (MB) of the web process, and of the import worker with its decoders, that was seen."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor, self._stopping = supervisor, threading.Event()
        self.web = self.worker = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def forget(self) -> None:
        self.web = self.worker = 0.0

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(SAMPLE_S):
            for pid in children(self._supervisor):
                command = command_of(pid)
                if "-m app web" in command:
                    self.web = max(self.web, resident_mb(pid))
                if "--queues io" in command:
                    self.worker = max(self.worker, sum(map(resident_mb, [pid, *children(pid)])))


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def resident_mb(pid: int) -> float:
    """0 for a process that is gone."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def studio_in(folder: Path) -> Iterator[tuple[Studio, int]]:
    """A running studio, and its supervisor's process id."""
    data, log = folder / "data", folder / "log.txt"
    with log.open("wb") as target:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "up", "--data-dir", str(data), "--port", "0"],
            cwd=ROOT, stdout=target, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        url = wait_for(lambda: re.search(r"(http://\S+?)/sign-in", log.read_text()), "the studio's address")[1]
        command = [sys.executable, "-m", "app", "tokens", "create", "--name", "benchmark", "--data-dir", str(data)]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        with Studio(url, made.stdout.split()[-1]) as studio:
            yield studio, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=130)


def wait_for(look: Callable[[], Any], what: str, *, within_s: float = 120) -> Any:
    end = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {within_s:g} s.")
        time.sleep(0.1)
    return found


def send(studio: Studio, folder: Path) -> tuple[dict[str, Any], int, float]:
    """Returns the upload, how many files were sent, and seconds."""
    started = time.perf_counter()
    upload = studio.transport.post("/api/v1/uploads", {"kind": "folder", "name": folder.name})
    sender = FolderSender(studio.transport, upload["id"], folder)
    sender.send(Progress("", quiet=True))
    return upload, sender.num_missing, time.perf_counter() - started


def finish(studio: Studio, job: Job[Any]) -> tuple[float, str]:
    """Wait for an import; returns the seconds it ran, by the studio's clock, and its manifest's hash. Its check is not waited for."""
    dataset = job.wait(progress=False)
    job.refresh()
    studio.job(int(job.data["result"]["check_job_id"])).cancel()
    return seconds(job.data), dataset.version["manifest_sha256"]


def seconds(job: dict[str, Any]) -> float:
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["started_at"])).total_seconds()


def kill_worker(supervisor: int) -> None:
    (worker,) = [pid for pid in children(supervisor) if "--queues io" in command_of(pid)]
    os.kill(worker, signal.SIGKILL)


def measure(num_images: int) -> dict[str, Any]:
    num_processes = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "many")
        for name in CLASSES:
            (folder / name).mkdir(parents=True)
        with ProcessPoolExecutor(num_processes) as executor:
            list(executor.map(make_image, [(str(folder), k) for k in range(num_images)], chunksize=256))
        files = [str(file) for file in folder.rglob("*.*")]
        return {
            "images": num_images,
            "megabytes": round(sum(Path(file).stat().st_size for file in files) / 1e6, 1),
            "cores": num_processes,
            "load_before": round(os.getloadavg()[0], 1),
            **go_through(Path(place), folder, bare_rate(files, num_processes)),
        }


def go_through(place: Path, folder: Path, bare: float) -> dict[str, Any]:
    num_images = len(list(folder.rglob("*.*")))
    with studio_in(place) as (studio, supervisor):
        memory = Memory(supervisor)
        first, _, send_s = send(studio, folder)
        second, num_again, look_s = send(studio, folder)
        web_mb = memory.web
        job = studio.datasets.start_import(first, name="undisturbed")
        import_s, manifest = finish(studio, job)
        worker_mb = memory.worker
        job = studio.datasets.start_import(second, name="killed")
        wait_for(lambda: job.refresh().data["done"] > num_images / 2, "half of the import", within_s=3600)
        kill_worker(supervisor)
        resumed_s, resumed_manifest = finish(studio, job)
        memory.stop()
    if manifest != resumed_manifest:
        raise AssertionError(f"The manifests differ: {manifest} undisturbed, {resumed_manifest} after kill -9.")
    return {
        "bare_decoding_images_per_s": round(bare, 1),
        "import_images_per_s": round(num_images / import_s, 1),
        "ratio": round(num_images / import_s / bare, 4),
        "import_s": round(import_s, 1),
        "import_worker_peak_mb": round(worker_mb),
        "web_peak_mb": round(web_mb),
        "web_peak_whole_run_mb": round(memory.web),
        "send_files_per_s": round(num_images / send_s, 1),
        "send_s": round(send_s, 1),
        "sent_again_files": num_again,
        "look_again_s": round(look_s, 1),
        "killed_at_files": int(num_images / 2),
        "resumed_from_files": job.data["resumed_from"],
        "killed_import_s": round(resumed_s, 1),
        "same_manifest_after_kill": True,
    }
