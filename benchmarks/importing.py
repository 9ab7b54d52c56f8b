"""How fast an import is, beside bare decoding of the same files by Pillow in as many processes, in one run.

.venv/bin/python -m benchmarks.importing ARCHIVE.zip
.venv/bin/python -m benchmarks.importing --images 10000 --size 128      (JPEGs of smooth noise, made for it)
"""

import argparse
import io
import os
import resource
import tempfile
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from app.core.config import Settings
from app.core.db import Database
from app.core.storage import make_storage
from app.services import datasets, uploads
from app.services.identity import Identity
from models import Base, Job, JobState, Project, Queue, User
from models.specs import ImportSpec
from workers.runner import Runner

SUFFIXES = (".png", ".jpg", ".jpeg")


def make_archive(path: Path, num_images: int, size: int) -> None:
    """A zip of two classes of grey JPEGs saved in colour, as brain MRI comes."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(num_images):
            coarse = Image.fromarray(rng.integers(0, 256, (size // 8, size // 8), dtype=np.uint8))
            target = io.BytesIO()
            coarse.resize((size, size), Image.Resampling.BICUBIC).convert("RGB").save(target, "JPEG", quality=90)
            archive.writestr(f"class {index % 2}/{index:06d}.jpg", target.getvalue())


def decode(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.width


def bare_rate(archive: Path, num_processes: int) -> float:
    """Images/s of Pillow alone."""
    with zipfile.ZipFile(archive) as opened:
        files = [opened.read(name) for name in opened.namelist() if name.lower().endswith(SUFFIXES)]
    with ProcessPoolExecutor(num_processes) as executor:
        list(executor.map(decode, files[: 4 * num_processes]))  # start them
        started = time.perf_counter()
        list(executor.map(decode, files, chunksize=16))
        return len(files) / (time.perf_counter() - started)


def import_rate(archive: Path, folder: Path) -> tuple[float, int]:
    """Images/s from the job's claim to its committed rows, and how many images."""
    folder.mkdir()
    settings = Settings(_env_file=None, data_dir=folder)
    database = Database(settings.effective_database_url)
    Base.metadata.create_all(database.engine)
    who = _person(database)
    with database.write() as session:
        upload = uploads.start(session, who, kind="archive", name=archive.name)
    with archive.open("rb") as source:
        uploads.folder(settings, upload).receive_archive(source)
    with database.write() as session:
        upload = uploads.get(session, who, upload.id)
        uploads.plan(session, settings, upload)
        job = datasets.request_import(session, who, upload, ImportSpec(upload_id=upload.id, name="benchmark"))
    runner = Runner(
        settings=settings,
        database=database,
        storage=make_storage(settings),
        queues=[Queue.IO],
        owner="benchmark",
        device=lambda: "cpu",
    )
    runner.run_waiting()
    with database.read() as session:
        ended = session.get_one(Job, job.id)
        assert ended.state == JobState.SUCCEEDED, ended.error
        assert ended.started_at is not None
        assert ended.finished_at is not None
        seconds = (ended.finished_at - ended.started_at).total_seconds()
        num_images = datasets.version(session, (ended.result or {})["version_id"]).num_images
    return num_images / seconds, num_images


def _person(database: Database) -> Identity:
    with database.write() as session:
        project = Project(name="benchmark")
        session.add(project)
        session.flush()
        user = User(project_id=project.id, name="benchmark")
        session.add(user)
        session.flush()
        return Identity(project.id, user.id, user.name, frozenset({"read", "write"}), "system")


def compare(archive: Path | None, *, num_images: int, size: int) -> dict[str, float]:
    num_processes = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        if archive is None:
            archive = Path(folder, "made.zip")
            make_archive(archive, num_images, size)
        bare = bare_rate(archive, num_processes)
        before = _cpu_s()
        rate, num_done = import_rate(archive, Path(folder, "studio"))
    return {
        "images": num_done,
        "cores": num_processes,
        "load_before": round(os.getloadavg()[0], 1),
        "import_images_per_s": round(rate, 1),
        "import_and_check_cpu_ms_per_image": round(1000 * (_cpu_s() - before) / num_done, 2),
        "bare_decoding_images_per_s": round(bare, 1),
        "ratio": round(rate / bare, 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _cpu_s() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure() -> dict[str, float]:
    return compare(None, num_images=1000, size=256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    for name, figure in compare(given.archive, num_images=given.images, size=given.size).items():
        print(f"{name}: {figure}")


if __name__ == "__main__":
    main()
