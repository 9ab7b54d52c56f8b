"""Decodes strangers' files in child processes that a hostile file may kill without harm.

A child that dies or takes too long is replaced, and the file it was working on is refused with the reason.
"""

import fcntl
import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import accumulate, islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import app
from app.core.formats.conversion import Conversion

MEMORY_BYTES = 3 * 2**30
CPU_S = 30.0
WALL_S = 120.0
FILE_S = 3600.0
THUMBNAIL_SIDE = 160
READ_BYTES = 1 << 20
KEPT_BYTES = 1 << 27


class Prepared(NamedTuple):
    """One image of a file, ready to be stored. png: its pixels, 8 bit, in normal form; channels: theirs; mode,
    bit_depth: the file's; pixel_sha256: of the pixels before they became 8 bit.

    group, series: patient and series as the file names them, to be hashed before they are written anywhere. The rest
    is explained with `app.core.formats.conversion.Picture`. look: the fields of its
    fingerprint; facts: see images.facts.
    """

    width: int
    height: int
    channels: int
    mode: str
    bit_depth: int
    file_sha256: str
    pixel_sha256: str
    look: list[str]  # app.core.fingerprints.Fingerprint
    facts: str  # JSON
    png: bytes
    thumbnail: bytes
    frame: str
    group: str | None
    series: str | None
    position: float | None
    label: int | None
    split: str | None
    conversion: str
    metadata_kinds: str


class Refused(NamedTuple):
    """A file that could not be decoded, and why."""

    reason: str


class DecoderPool:
    """`num_children` limited processes; files may be asked for from as many threads. A context manager.

    cpu_s, wall_s: for one image. file_s: for all images of a file together.
    """

    def __init__(
        self,
        num_children: int,
        *,
        memory_bytes: int = MEMORY_BYTES,
        cpu_s: float = CPU_S,
        wall_s: float = WALL_S,
        file_s: float = FILE_S,
        thumbnail: int = THUMBNAIL_SIDE,
    ) -> None:
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._children = [_Child(memory_bytes) for _ in range(num_children)]
        self._cpu_s, self._wall_s, self._file_s, self._thumbnail = cpu_s, wall_s, file_s, thumbnail
        self._is_interrupted = False
        for child in self._children:
            self._idle.put(child)

    def __enter__(self) -> "DecoderPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.stop()

    def interrupt(self) -> None:
        """Kill the children, whatever they are doing; files that are being decoded come back as refused."""
        self._is_interrupted = True
        for child in self._children:
            child.kill()

    @property
    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children if child.process is not None]

    def prepare(self, file: Path | bytes) -> Prepared | Refused:
        """The only image of a file, converted as an import does by default; refused if it holds several."""
        with closing(self.images(file, Conversion.default())) as images:
            found = list(islice(images, 2))
        refused = [each for each in found if isinstance(each, Refused)]
        if refused or not found:
            return refused[0] if refused else Refused("It holds no image.")
        if len(found) > 1:
            return Refused("It holds several images; send one of them as a file of its own.")
        return found[0]

    def images(self, file: Path | bytes, conversion: Conversion) -> Generator[Prepared | Refused, None, None]:
        """The images of a file, or of its bytes, one after another, decoded in a child that is free; waits for one.

        A Refused ends it, and speaks of the file as a whole: what came before is not to be used.
        """
        with closing(self.of_many([file], conversion)) as answers:
            yield from (image for _, image in answers)

    def of_many(
        self, files: Sequence[Path | bytes], conversion: Conversion
    ) -> Generator[tuple[int, Prepared | Refused], None, None]:
        """`images` of several files, each with the file's place; one child gets them together, so it never waits for us."""
        child = self._idle.get()
        left = deque(enumerate(files))
        try:
            while left and not self._is_interrupted:
                yield from self._ask(child, left, conversion)
            while left:
                yield left.popleft()[0], Refused("The import was interrupted.")
        finally:
            if left:
                child.stop()  # its answers to these files must not be taken for those to the next
            self._idle.put(child)

    def _ask(
        self, child: "_Child", left: deque[tuple[int, Path | bytes]], conversion: Conversion
    ) -> Iterator[tuple[int, Prepared | Refused]]:
        """Send the first of the files that are left, as many as the child's pipe takes at once, and take off those answered.

        After a child has died or was stopped, those it had not come to are still left.
        """
        num_sent = 0
        try:
            num_sent = child.send([self._request(file, conversion) for _, file in left])
            while num_sent:
                last = time.monotonic() + self._file_s
                while not (about := child.receive(min(time.monotonic() + self._wall_s, last))).get("end"):
                    yield left[0][0], Prepared(**about)
                place, _ = left.popleft()
                num_sent -= 1
                if about["reason"]:
                    yield place, Refused(about["reason"])
        except TimeoutError:
            child.stop()
            limit_s = self._wall_s if time.monotonic() < last else self._file_s
            yield left.popleft()[0], Refused(f"Decoding it took more than {limit_s:g} s.")
        except EOFError:
            yield left.popleft()[0], Refused(self._why_it_died(child.stop()))

    def _request(self, file: Path | bytes, conversion: Conversion) -> bytes:
        sent = b"" if isinstance(file, Path) else file
        request = {
            "path": str(file) if isinstance(file, Path) else None,
            "bytes": len(sent),
            "conversion": conversion._asdict(),
            "cpu_s": self._cpu_s,
            "thumbnail": self._thumbnail,
        }
        return json.dumps(request).encode() + b"\n" + sent

    def _why_it_died(self, status: int) -> str:
        if status == -signal.SIGXCPU:
            return f"Decoding it took more than {self._cpu_s:g} s of processor time."
        if status == -signal.SIGKILL:
            return "The process that decoded it was killed, as happens when memory runs out."
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"It made the image decoder crash ({name})."


class _Child:
    """One process, started when it is first needed and again after it died."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._pipe_bytes = 0
        self._unread = bytearray()
        self.process: subprocess.Popen[bytes] | None = None

    def send(self, requests: Sequence[bytes]) -> int:
        """Send the first request, and with it those that fit into the pipe: writing more could wait for a child that waits
        for us to read. Returns how many were sent; EOFError if the child died.
        """
        if self.process is not None and self.process.poll() is not None:
            self.stop()  # it died while idle: no fault of this file
        if self.process is None:
            self.process = _start(self._memory_bytes)
            self._pipe_bytes = fcntl.fcntl(_fileno(self.process.stdin), fcntl.F_GETPIPE_SZ)
        ends = list(accumulate(map(len, requests)))
        num_sent = max(1, bisect_right(ends, self._pipe_bytes))
        try:
            _write(_fileno(self.process.stdin), b"".join(requests[:num_sent]))
        except BrokenPipeError as error:
            raise EOFError from error
        return num_sent

    def receive(self, deadline: float) -> dict[str, Any]:
        """One part of an answer; EOFError if the child died, TimeoutError if it has not come by `deadline` (monotonic)."""
        (length,) = struct.unpack("<I", self._read(4, deadline))
        about: dict[str, Any] = json.loads(self._read(length, deadline))
        png_bytes, thumbnail_bytes = about.pop("sizes")
        if not about.get("end"):
            about["png"] = self._read(png_bytes, deadline)
            about["thumbnail"] = self._read(thumbnail_bytes, deadline) if thumbnail_bytes else about["png"]
        return about

    def kill(self) -> None:
        process = self.process
        if process is not None:
            process.kill()

    def stop(self) -> int:
        """End and reap the process; its exit status, or 0 if there was none."""
        process, self.process = self.process, None
        self._unread.clear()
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()  # an idle child ends by itself, and one that has died says why
        try:
            return process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _read(self, num_bytes: int, deadline: float) -> bytes:
        assert self.process is not None
        source = _fileno(self.process.stdout)
        while len(self._unread) < num_bytes:
            if not select.select([source], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError
            part = os.read(source, READ_BYTES)
            if not part:
                raise EOFError
            self._unread += part
        taken = bytes(self._unread[:num_bytes])
        del self._unread[:num_bytes]
        return taken


def _start(memory_bytes: int) -> subprocess.Popen[bytes]:
    """A child that knows where our code is, and nothing of our settings."""
    environment = {
        "PYTHONPATH": str(Path(app.__path__[0]).parent),
        "PATH": os.environ.get("PATH", ""),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # glibc would give the memory of every image back and ask for it again, page by page.
        "MALLOC_MMAP_THRESHOLD_": str(KEPT_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "app.core.images.child", str(memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
    )


def _write(target: int, data: bytes) -> None:
    """All of it; an idle child reads whatever comes."""
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _fileno(pipe: Any) -> int:
    number: int = pipe.fileno()
    return number
