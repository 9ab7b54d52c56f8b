"""Decodes and stores the images of an upload, several at a time, and remembers each so that no work is done twice.

What is stored is named by its content, and the journal only says what was stored; so an attempt that is killed at any
moment leaves nothing wrong behind, and the next one goes on where it was.
"""

import json
import os
import time
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TextIO

from app.core.archives import Extracted
from app.core.images import DecoderPool, Refused
from app.core.storage import Storage
from app.core.upload_folder import UploadFolder
from workers.context import JobContext

MAX_CHILDREN = 8
WAITING_PER_CHILD = 4
JOURNAL = "decoded.jsonl"


class Kept(NamedTuple):
    """A file that was decoded and stored; problem says why, if it was not, and the rest is empty."""

    path: str
    problem: str | None
    width: int = 0
    height: int = 0
    channels: int = 0
    mode: str = ""
    bit_depth: int = 0
    file_sha256: str = ""
    pixel_sha256: str = ""
    stored_sha256: str = ""
    thumbnail_sha256: str = ""


def decode_all(context: JobContext, folder: UploadFolder, paths: set[str]) -> list[Kept]:
    """Every one of `paths`, decoded and stored or with its problem, in the order of the paths."""
    done = {kept.path: kept for kept in _from_earlier_attempts(context) if kept.path in paths}
    if done:
        context.resumed_from(len(done))
    todo = paths - done.keys()
    scratch = context.folder / "scratch"
    progress = _Progress(context, len(done), len(paths))
    with (
        _journal(context) as journal,
        closing(_decoded(folder.files(todo, scratch), context.storage, scratch)) as decoded,
    ):
        for kept in done.values():
            _note(journal, kept)
        for kept in decoded:
            _note(journal, kept)
            done[kept.path] = kept
            progress.step()
    return [done.get(path, Kept(path, "It was not found any more.")) for path in sorted(paths)]


def _decoded(files: Iterator[Extracted], storage: Storage, scratch: Path) -> Generator[Kept, None, None]:
    """Decode `files` in as many children as there are processors, and yield them as they are done."""
    num_children = min(len(os.sched_getaffinity(0)), MAX_CHILDREN)
    with DecoderPool(num_children) as pool, ThreadPoolExecutor(num_children) as executor:
        try:
            waiting: set[Future[Kept]] = set()
            for file in files:
                waiting.add(executor.submit(_decode_one, file, pool, storage, scratch))
                if len(waiting) >= num_children * WAITING_PER_CHILD:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            yield from (future.result() for future in wait(waiting).done)
        except BaseException:
            pool.interrupt()
            executor.shutdown(cancel_futures=True)
            raise


def _decode_one(extracted: Extracted, pool: DecoderPool, storage: Storage, scratch: Path) -> Kept:
    path, file, problem = extracted
    if file is None:
        return Kept(path, problem)
    try:
        result = pool.prepare(file)
    finally:
        if file.parent == scratch:
            file.unlink()
    if isinstance(result, Refused):
        return Kept(path, result.reason)
    about = result._asdict()
    png, thumbnail = about.pop("png"), about.pop("thumbnail")
    return Kept(
        path, None, **about, stored_sha256=storage.put(png).sha256, thumbnail_sha256=storage.put(thumbnail).sha256
    )


class _Progress:
    """Reports files and files/s of this attempt."""

    def __init__(self, context: JobContext, done: int, total: int) -> None:
        self._context, self._done, self._total = context, done, total
        self._first, self._started = done, time.monotonic()
        context.report(done, total, message="Decoding images.", unit="files")

    def step(self) -> None:
        self._done += 1
        rate = (self._done - self._first) / max(time.monotonic() - self._started, 1e-3)
        self._context.report(self._done, self._total, rate=rate)


def _journal(context: JobContext) -> TextIO:
    folder = context.folder / "checkpoints"
    folder.mkdir(exist_ok=True)
    return (folder / JOURNAL).open("w")


def _note(journal: TextIO, kept: Kept) -> None:
    journal.write(json.dumps(kept) + "\n")
    journal.flush()


def _from_earlier_attempts(context: JobContext) -> Iterator[Kept]:
    """What earlier attempts wrote down, as far as its files are really there."""
    for folder in context.checkpoint_folders():
        if folder.parent == context.folder or not (folder / JOURNAL).exists():
            continue
        for line in (folder / JOURNAL).read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # the attempt was killed while it wrote this line
            kept = Kept(*json.loads(line))
            if kept.problem is None and _is_stored(kept, context.storage):
                yield kept


def _is_stored(kept: Kept, storage: Storage) -> bool:
    return storage.exists(kept.stored_sha256) and storage.exists(kept.thumbnail_sha256)
