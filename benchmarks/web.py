"""The web process with 10,000 jobs and 100,000 images: start, memory, and the time of GET /jobs/{id}."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil
from sqlalchemy import insert

from app.core.config import Settings
from app.core.db import Database
from app.services import tokens
from models import Base, Event, Image, Job, JobKind, JobState, Metric, Queue, Split
from tests import factories

NUM_JOBS = 10_000
NUM_IMAGES = 100_000
NUM_REQUESTS = 200
PORT = 8791
ROOT = Path(__file__).parents[1]


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(_env_file=None, data_dir=Path(folder))  # type: ignore[call-arg]
        secret, first_job = fill(settings)
        environment = {**os.environ, "PHANTOM_DATA_DIR": folder, "PHANTOM_PORT": str(PORT)}
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "app", "web"], cwd=ROOT, env=environment)
        try:
            seconds = wait_until_up(begun)
            return {"start_s": round(seconds, 2), **ask(process.pid, secret, first_job)}
        finally:
            process.terminate()
            process.wait(20)


def fill(settings: Settings) -> tuple[str, int]:
    """Rows for a busy studio; returns an API token and the id of a job with 1,000 metrics and events."""
    database = Database(settings.effective_database_url)
    Base.metadata.create_all(database.engine)
    with database.write() as session:
        who = factories.identity(session)
        version = factories.dataset_with_version(session, who, num_images=20)
        session.execute(insert(Image), [_image(version.id, i) for i in range(NUM_IMAGES)])
        job = factories.job(session, who, state=JobState.RUNNING, done=500, total=1000)
        session.execute(insert(Job), [_job(who.project_id, i) for i in range(NUM_JOBS)])
        session.execute(
            insert(Metric), [{"job_id": job.id, "name": "loss", "step": i, "value": 1 / (i + 1)} for i in range(1000)]
        )
        session.execute(
            insert(Event),
            [{"job_id": job.id, "number": i, "kind": "log", "data": {"text": f"step {i}"}} for i in range(1000)],
        )
        _, secret = tokens.create(session, who, name="bench", scopes=["read"], expires_in_days=None)
    database.dispose()
    return secret, job.id


def _job(project_id: int, i: int) -> dict[str, Any]:
    return {"project_id": project_id, "kind": JobKind.SAMPLE, "title": f"job {i}", "spec": {"kind": "sample", "seed": i},
            "state": JobState.SUCCEEDED if i % 3 else JobState.CANCELLED, "queue": Queue.GPU, "created_by": "bench"}  # fmt: skip


def _image(version_id: int, i: int) -> dict[str, Any]:
    key = f"{i:064x}"
    return {"version_id": version_id, "path": f"disc/{i}.png", "label": i % 2, "split": list(Split)[i % 3], "width": 64, "height": 64,
            "mode": "L", "bit_depth": 8, "file_sha256": key, "pixel_sha256": key, "stored_sha256": key, "thumbnail_sha256": key}  # fmt: skip


def wait_until_up(begun: float) -> float:
    while time.monotonic() - begun < 60:
        try:
            httpx2.get(f"http://127.0.0.1:{PORT}/healthz", timeout=1).raise_for_status()
            return time.monotonic() - begun
        except httpx2.HTTPError:
            time.sleep(0.02)
    raise TimeoutError("The web process did not answer within 60 s.")


def ask(pid: int, secret: str, job_id: int) -> dict[str, Any]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{PORT}", headers={"Authorization": f"Bearer {secret}"}) as client:
        figures: dict[str, Any] = {}
        for name, path in {"page": f"/jobs/{job_id}", "api": f"/api/v1/jobs/{job_id}", "jobs_page": "/jobs"}.items():
            times = [_seconds(client, path) for _ in range(NUM_REQUESTS)]
            figures[f"{name}_median_ms"] = round(statistics.median(times) * 1000, 1)
            figures[f"{name}_p95_ms"] = round(statistics.quantiles(times, n=20)[18] * 1000, 1)
    loaded = Path(f"/proc/{pid}/maps").read_text()
    return {
        **figures,
        "rss_mb": round(psutil.Process(pid).memory_info().rss / 1e6),
        "torch_loaded": "libtorch" in loaded,
    }


def _seconds(client: httpx2.Client, path: str) -> float:
    begun = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - begun
