"""What nothing names any more: stored files of cancelled samplings and killed imports, and folders of jobs that are over.

Nothing here runs by itself, since a database that does not belong to the folder would name none of its files: a person
says `python -m app doctor --sweep`. It is safe beside running jobs and beside other sweeps, for these reasons:

- Whoever names a file has put it first, and names it within seconds (a row of a page or a preview, a note in the job's
  folder) or at the end of the attempt that put it. So the notes of all jobs that may go on are read first (and what the
  parts of a divided sampling list that may still be joined), and then
  the moment is chosen before which a file must have been put: GRACE_S ago, or GRACE_S before the job that has run
  longest began. A job that is claimed after that finds what it noted, and puts the rest anew.
- The rows are asked last. What a job put before the moment and recorded since is named by now; a job that has yet to
  record it is one of the above.
- A file that is put again only now may be recorded at any time. Putting makes it new, and Storage.discard() looks at
  the date as its last step.

GRACE_S is far more than clocks differ and than a request or one step of a job takes.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import exists, func, select
from sqlalchemy.orm import aliased

from app.core import references
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import ConflictError, NotFoundError
from app.core.storage import Storage, Stored
from models import PARTS, Job, JobKind, JobNeed, JobState, db_now

GRACE_S = 2 * 86_400.0
OVER = (JobState.SUCCEEDED, JobState.CANCELLED)  # nobody goes on from what they noted
NOTES = (".json", ".jsonl")
KEY = re.compile(rb"[0-9a-f]{64}")
AT_ONCE = 2000
Item = TypeVar("Item")


class Leftovers(NamedTuple):
    """How much there is, in files and bytes."""

    num_files: int
    num_bytes: int


def survey(database: Database, storage: Storage, settings: Settings) -> Leftovers:
    """What a sweep would delete now; ConflictError where it would refuse to."""
    _refuse_a_foreign_database(database, storage, settings)
    folders = _folders_of_jobs_that_are_over(database, settings)
    sizes = [size for folder in folders for size in _sizes(folder)]
    sizes += [stored.size for stored, _ in _unnamed(database, storage, settings, without=folders)]
    return Leftovers(len(sizes), sum(sizes))


def sweep(database: Database, storage: Storage, settings: Settings) -> Leftovers:
    """Delete what nothing names, and return how much that was.

    Raises ConflictError if the database seems to be of another studio than the folder.
    """
    _refuse_a_foreign_database(database, storage, settings)
    storage.remove_remains(older_than=storage.now() - GRACE_S)
    sizes = []
    folders = _folders_of_jobs_that_are_over(database, settings)
    for folder in folders:
        sizes += _sizes(folder)
        shutil.rmtree(folder, ignore_errors=True)
    for stored, moment in _unnamed(database, storage, settings, without=folders):
        if storage.discard(stored.sha256, put_before=moment):
            sizes.append(stored.size)
    return Leftovers(len(sizes), sum(sizes))


def _refuse_a_foreign_database(database: Database, storage: Storage, settings: Settings) -> None:
    beside = settings.folder / "studio.sqlite3"
    if beside.exists() and settings.effective_database_url != f"sqlite:///{beside}":
        raise ConflictError(
            f"{settings.folder} holds studio.sqlite3, which may name files that the database in use does not.",
            hint="Move studio.sqlite3 away if it is of no more use, or leave PHANTOM_DATABASE_URL empty.",
        )
    with database.read() as session:
        names_any = references.names_any(session)
    if not names_any and next(storage.put_before(storage.now() - GRACE_S), None) is not None:
        raise ConflictError(
            f"The database names no file at all, but {settings.files_dir} holds some: it may be that of another studio.",
            hint="Check PHANTOM_DATABASE_URL and PHANTOM_DATA_DIR; if they are right, delete that folder by hand.",
        )


def _folders_of_jobs_that_are_over(database: Database, settings: Settings) -> list[Path]:
    """Job folders that their worker could not tidy; of jobs that this database knows, and that ended GRACE_S ago."""
    folders = {int(folder.name): folder for folder in settings.jobs_dir.glob("*") if folder.name.isdigit()}
    over = select(Job.id).where(Job.state.in_(OVER), Job.finished_at < db_now(-GRACE_S))
    found: list[Path] = []
    with database.read() as session:
        for job_ids in _parts(iter(sorted(folders))):
            found += [folders[job_id] for job_id in session.scalars(over.where(Job.id.in_(job_ids)))]
    return found


def _unnamed(
    database: Database, storage: Storage, settings: Settings, *, without: list[Path]
) -> Iterator[tuple[Stored, float]]:
    """Each stored file that nothing names, and the moment before which it was put. The order of steps matters."""
    noted = _noted(settings, without)  # first: a part that ends meanwhile has no folder then, but a result
    noted |= _drawn_in_parts(database, storage)
    moment = _moment(database, storage)
    for part in _parts(storage.put_before(moment)):
        candidates = [stored for stored in part if stored.sha256 not in noted]
        with database.read() as session:
            named = references.named(session, [stored.sha256 for stored in candidates])
        yield from ((stored, moment) for stored in candidates if stored.sha256 not in named)


def _noted(settings: Settings, without: list[Path]) -> set[str]:
    """Every key that stands in a note of a job; a note that is deleted meanwhile belongs to an attempt given up."""
    found: set[str] = set()
    for folder in set(settings.jobs_dir.glob("*")) - set(without):
        for path in _files(folder):
            if path.suffix in NOTES:
                try:
                    found.update(key.decode() for key in KEY.findall(path.read_bytes()))
                except FileNotFoundError:
                    continue
    return found


def _drawn_in_parts(database: Database, storage: Storage) -> set[str]:
    """What parts have drawn that may still be joined, and the lists in which that stands."""
    whole = aliased(Job)
    to_join = exists().where(
        JobNeed.needs_id == Job.id, JobNeed.option == PARTS, whole.id == JobNeed.job_id, whole.state.not_in(OVER)
    )
    query = select(Job.result).where(Job.kind == JobKind.SAMPLE_PART, Job.state == JobState.SUCCEEDED, to_join)
    with database.read() as session:
        lists = [str(result["drawn_sha256"]) for result in session.scalars(query) if result is not None]
    found = set(lists)
    for key in lists:
        with contextlib.suppress(NotFoundError):  # deleted by hand: there is nothing to join
            found.update(each.decode() for each in KEY.findall(storage.read(key)))
    return found


def _moment(database: Database, storage: Storage) -> float:
    """Files put before it are put by nobody who is still at work."""
    with database.read() as session:
        longest = session.scalar(select(func.min(Job.started_at)).where(Job.state == JobState.RUNNING))
    now = storage.now()
    return (min(now, longest.timestamp()) if longest is not None else now) - GRACE_S


def _files(folder: Path) -> Iterator[Path]:
    return (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)


def _sizes(folder: Path) -> list[int]:
    sizes = []
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError):  # another sweep is at it
            sizes.append(path.stat().st_size)
    return sizes


def _parts(items: Iterator[Item]) -> Iterator[list[Item]]:
    while part := list(islice(items, AT_ONCE)):
        yield part
