"""Decodes and stores the images of an upload, several files at a time, and remembers each so that no work is done twice.

What is stored is named by its content, and the journal only says what was stored; so an attempt that is killed at any
moment leaves nothing wrong behind, and the next one goes on where it was. Patient and series ids become pseudonyms
here, before anything is written.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from app.core.archives import Extracted
from app.core.formats.conversion import Conversion
from app.core.images import DecoderPool, Prepared, Refused
from app.core.pseudonyms import Pseudonyms
from app.core.relative_paths import MAX_LENGTH
from app.core.storage import Storage
from app.core.upload_folder import UploadFolder
from models.specs import ConversionOptions
from workers.context import JobContext

MAX_CHILDREN = 8
WAITING_PER_CHILD = 4
HEARTBEAT_S = 0.5
JOURNAL = "decoded_files.jsonl"


class Kept(NamedTuple):
    """An image that was decoded and stored; problem says why a file was not, and the rest is empty.

    source: the file's path in the upload. path: the same, or source#frame for one image of several; unique. group,
    series: pseudonyms of patient and series, None if unknown. label, split: what the file itself says (npz).
    """

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
    source: str = ""
    group: str | None = None
    series: str | None = None
    position: float | None = None
    label: int | None = None
    split: str | None = None
    conversion: str = ""
    metadata_kinds: str = ""
    look: list[str] | None = None  # app.core.fingerprints.Fingerprint
    facts: dict[str, Any] | None = None


@dataclass(frozen=True)
class Keeper:
    """What is needed to decode a file and keep its images."""

    pool: DecoderPool
    storage: Storage
    pseudonyms: Pseudonyms
    conversion: Conversion
    scratch: Path
    count_image: Callable[[], None]

    def keep(self, extracted: Extracted) -> list[Kept]:
        """The images of one file, stored; one with a problem if the file cannot be read to its end."""
        source, file, problem = extracted
        if file is None:
            return [_refused(source, problem or "It could not be read.")]
        kept = []
        try:
            for image in self.pool.images(file, self.conversion):
                if isinstance(image, Refused):
                    return [_refused(source, image.reason)]
                kept.append(self._stored(source, image))
                self.count_image()
        finally:
            if isinstance(file, Path) and file.parent == self.scratch:
                file.unlink()
        if not kept:
            return [_refused(source, "It holds no image.")]
        too_long = any(len(image.path) > MAX_LENGTH for image in kept)
        return [_refused(source, "Its name is too long to number its images; shorten it.")] if too_long else kept

    def _stored(self, source: str, image: Prepared) -> Kept:
        about = image._asdict()
        png, thumbnail, frame = about.pop("png"), about.pop("thumbnail"), about.pop("frame")
        group, series = about.pop("group"), about.pop("series")
        stored = self.storage.put(png).sha256
        return Kept(
            path=f"{source}#{frame}" if frame else source,
            problem=None,
            source=source,
            group=group and self.pseudonyms.patient(group),
            series=series and self.pseudonyms.series(series),
            stored_sha256=stored,
            thumbnail_sha256=stored if thumbnail is png else self.storage.put(thumbnail).sha256,
            **about,
        )


def decode_all(context: JobContext, folder: UploadFolder, sources: set[str], options: ConversionOptions) -> list[Kept]:
    """The images of all files `sources`, stored, and one Kept with its problem for every other, in the order of paths."""
    done = {source: kept for source, kept in _from_earlier_attempts(context) if source in sources}
    if done:
        context.resumed_from(len(done))
    scratch = context.folder / "scratch"
    progress = _Progress(context, len(done), len(sources))
    files = folder.files(sources - done.keys(), scratch)
    with (
        closing(_Journal(context)) as journal,
        closing(_decoded(context, files, scratch, options, progress.count_image)) as decoded,
    ):
        for kept in done.values():
            journal.note(kept)
        for kept in decoded:
            if kept:
                journal.note(kept)
                done[kept[0].source] = kept
            progress.step(kept)
    missing = [[_refused(source, "It was not found any more.")] for source in sources - done.keys()]
    return sorted((image for images in (*done.values(), *missing) for image in images), key=lambda kept: kept.path)


def _refused(source: str, problem: str) -> Kept:
    return Kept(source, problem, source=source)


def _decoded(
    context: JobContext,
    files: Iterator[Extracted],
    scratch: Path,
    options: ConversionOptions,
    count_image: Callable[[], None],
) -> Generator[list[Kept], None, None]:
    """Decode `files` in as many children as there are processors, and yield the images of each as it is done.

    Yields an empty list now and then while a large file takes its time, so that the job can report, and end.
    """
    num_children = min(len(os.sched_getaffinity(0)), MAX_CHILDREN)
    pseudonyms, conversion = Pseudonyms(context.settings), Conversion.of(options)
    with DecoderPool(num_children) as pool, ThreadPoolExecutor(num_children) as executor:
        keeper = Keeper(pool, context.storage, pseudonyms, conversion, scratch, count_image)
        results: queue.SimpleQueue[Future[list[Kept]]] = queue.SimpleQueue()
        num_waiting = 0
        try:
            for file in files:
                executor.submit(keeper.keep, file).add_done_callback(results.put)
                num_waiting += 1
                while num_waiting >= num_children * WAITING_PER_CHILD or not results.empty():
                    kept = _next(results)
                    num_waiting -= bool(kept)
                    yield kept
            while num_waiting:
                kept = _next(results)
                num_waiting -= bool(kept)
                yield kept
        except BaseException:
            pool.interrupt()
            executor.shutdown(cancel_futures=True)
            raise


def _next(results: "queue.SimpleQueue[Future[list[Kept]]]") -> list[Kept]:
    """The next file that is done; empty if none is within a heartbeat."""
    try:
        return results.get(timeout=HEARTBEAT_S).result()
    except queue.Empty:
        return []


class _Progress:
    """Reports files, files/s of this attempt, and how many images they hold where that is more."""

    def __init__(self, context: JobContext, done: int, total: int) -> None:
        self._context, self._done, self._total = context, done, total
        self._first, self._started = done, time.monotonic()
        self._num_images, self._lock = 0, threading.Lock()
        context.report(done, total, message="Decoding images.", unit="files")

    def count_image(self) -> None:
        """One more image; called from any thread."""
        with self._lock:
            self._num_images += 1

    def step(self, kept: list[Kept]) -> None:
        self._done += bool(kept)
        rate = (self._done - self._first) / max(time.monotonic() - self._started, 1e-3)
        several = self._num_images > self._done - self._first + MAX_CHILDREN
        message = f"Decoding images; {self._num_images:,} so far." if several else None
        self._context.report(self._done, self._total, rate=rate, message=message)


class _Journal:
    """One line for all images of a file, so that a file is written down whole or not at all; flushed now and then."""

    def __init__(self, context: JobContext) -> None:
        folder = context.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        self._file = (folder / JOURNAL).open("w")
        self._flushed = time.monotonic()

    def note(self, kept: list[Kept]) -> None:
        self._file.write(json.dumps(kept) + "\n")
        if time.monotonic() - self._flushed > HEARTBEAT_S:
            self._file.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        self._file.close()


def _from_earlier_attempts(context: JobContext) -> Iterator[tuple[str, list[Kept]]]:
    """What earlier attempts wrote down, file by file, as far as its images are really there."""
    for folder in context.checkpoint_folders():
        if folder.parent == context.folder or not (folder / JOURNAL).exists():
            continue
        with (folder / JOURNAL).open() as journal:
            for line in journal:
                if not line.endswith("\n"):
                    break  # the attempt was killed while it wrote this line
                kept = [Kept(*image) for image in json.loads(line)]
                if all(image.problem is None and _is_stored(image, context.storage) for image in kept):
                    yield kept[0].source, kept


def _is_stored(kept: Kept, storage: Storage) -> bool:
    return storage.exists(kept.stored_sha256) and storage.exists(kept.thumbnail_sha256)
