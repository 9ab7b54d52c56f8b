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
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
TOGETHER, SMALL_BYTES = 16, 32_768  # files handed to a child at once, and how large they may be
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
    facts: str | None = None  # JSON of app.core.images.facts, which as objects would take four times the memory


@dataclass(frozen=True)
class Keeper:
    """What is needed to decode a file and keep its images."""

    pool: DecoderPool
    storage: Storage
    pseudonyms: Pseudonyms
    conversion: Conversion
    scratch: Path
    count_image: Callable[[], None]

    def keep(self, files: Sequence[Extracted]) -> list[list[Kept]]:
        """The images of each file, stored; one with a problem if the file cannot be read to its end."""
        kept: list[list[Kept]] = [[] for _ in files]
        readable = [(place, extracted) for place, extracted in enumerate(files) if extracted.file is not None]
        try:
            contents = [extracted.file for _, extracted in readable if extracted.file is not None]
            for number, image in self.pool.of_many(contents, self.conversion):
                place, (source, _, _) = readable[number]
                if isinstance(image, Refused):
                    kept[place] = [_refused(source, image.reason)]
                else:
                    kept[place].append(self._stored(source, image))
                    self.count_image()
        finally:
            for _, file, _ in files:
                if isinstance(file, Path) and file.parent == self.scratch:
                    file.unlink(missing_ok=True)
        return [_checked(extracted, images) for extracted, images in zip(files, kept, strict=True)]

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
        for together in decoded:
            for kept in together:
                journal.note(kept)
                done[kept[0].source] = kept
            progress.step(len(together))
    missing = [[_refused(source, "It was not found any more.")] for source in sources - done.keys()]
    return sorted((image for images in (*done.values(), *missing) for image in images), key=lambda kept: kept.path)


def _checked(extracted: Extracted, images: list[Kept]) -> list[Kept]:
    """The images of a file, or why it has none."""
    if extracted.file is None:
        return [_refused(extracted.path, extracted.problem or "It could not be read.")]
    if not images:
        return [_refused(extracted.path, "It holds no image.")]
    if any(len(image.path) > MAX_LENGTH for image in images):
        return [_refused(extracted.path, "Its name is too long to number its images; shorten it.")]
    return images


def _refused(source: str, problem: str) -> Kept:
    return Kept(source, problem, source=source)


def _decoded(
    context: JobContext,
    files: Iterator[Extracted],
    scratch: Path,
    options: ConversionOptions,
    count_image: Callable[[], None],
) -> Generator[list[list[Kept]], None, None]:
    """Decode `files` in as many children as there are processors, and yield the images of some files as they are done.

    Yields an empty list now and then while a large file takes its time, so that the job can report, and end.
    """
    num_children = min(len(os.sched_getaffinity(0)), MAX_CHILDREN)
    pseudonyms, conversion = Pseudonyms(context.settings), Conversion.of(options)
    with DecoderPool(num_children) as pool, ThreadPoolExecutor(num_children) as executor:
        keeper = Keeper(pool, context.storage, pseudonyms, conversion, scratch, count_image)
        results: queue.SimpleQueue[Future[list[list[Kept]]]] = queue.SimpleQueue()
        num_waiting = 0
        try:
            for together in _small_ones_together(files):
                executor.submit(keeper.keep, together).add_done_callback(results.put)
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


def _small_ones_together(files: Iterator[Extracted]) -> Iterator[list[Extracted]]:
    """Up to TOGETHER small files at once, since handing each over by itself takes longer than decoding it."""
    together: list[Extracted] = []
    for extracted in files:
        if not _is_small(extracted.file):
            yield [extracted]
            continue
        together.append(extracted)
        if len(together) == TOGETHER:
            yield together
            together = []
    if together:
        yield together


def _is_small(file: Path | bytes | None) -> bool:
    if file is None:
        return True
    return (file.stat().st_size if isinstance(file, Path) else len(file)) <= SMALL_BYTES


def _next(results: "queue.SimpleQueue[Future[list[list[Kept]]]]") -> list[list[Kept]]:
    """The next files that are done; empty if none are within a heartbeat."""
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

    def step(self, num_files: int) -> None:
        self._done += num_files
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
        with (folder / JOURNAL).open(errors="replace") as journal:
            for line in journal:
                if not line.endswith("\n"):
                    break  # the attempt was killed while it wrote this line
                try:
                    kept = [Kept(*image) for image in json.loads(line)]
                except ValueError:
                    break  # the machine lost its power while it was written
                if all(image.problem is None and _is_stored(image, context.storage) for image in kept):
                    yield kept[0].source, kept


def _is_stored(kept: Kept, storage: Storage) -> bool:
    return storage.exists(kept.stored_sha256) and storage.exists(kept.thumbnail_sha256)
