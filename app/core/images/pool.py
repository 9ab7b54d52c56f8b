"""Decodes strangers' files in child processes that a hostile file may kill without harm.

A child that dies or takes too long is replaced, and the file it was working on is refused with the reason.
"""

import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import app

MEMORY_BYTES = 3 * 2**30
CPU_S = 30.0
WALL_S = 120.0
THUMBNAIL_SIDE = 160
READ_BYTES = 1 << 20


class Prepared(NamedTuple):
    """A decoded file, ready to be stored. png: the normalised pixels; channels: theirs; mode, bit_depth: the file's."""

    width: int
    height: int
    channels: int
    mode: str
    bit_depth: int
    file_sha256: str
    pixel_sha256: str
    png: bytes
    thumbnail: bytes


class Refused(NamedTuple):
    """A file that could not be decoded, and why."""

    reason: str


class DecoderPool:
    """`num_children` limited processes; `prepare` may be called from as many threads. A context manager."""

    def __init__(
        self,
        num_children: int,
        *,
        memory_bytes: int = MEMORY_BYTES,
        cpu_s: float = CPU_S,
        wall_s: float = WALL_S,
        thumbnail: int = THUMBNAIL_SIDE,
    ) -> None:
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._children = [_Child(memory_bytes) for _ in range(num_children)]
        self._cpu_s, self._wall_s, self._thumbnail = cpu_s, wall_s, thumbnail
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

    def prepare(self, path: Path) -> Prepared | Refused:
        """Decode the file at `path` in a child that is free; waits for one."""
        child = self._idle.get()
        try:
            if self._is_interrupted:
                return Refused("The import was interrupted.")
            return self._ask(child, path)
        finally:
            self._idle.put(child)

    def _ask(self, child: "_Child", path: Path) -> Prepared | Refused:
        request = {"path": str(path), "cpu_s": self._cpu_s, "thumbnail": self._thumbnail}
        try:
            child.send(request)
            about = child.receive(self._wall_s)
        except TimeoutError:
            child.stop()
            return Refused(f"Decoding it took more than {self._wall_s:g} s.")
        except EOFError:
            return Refused(self._why_it_died(child.stop()))
        return Refused(about["reason"]) if "reason" in about else Prepared(**about)

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
        self.process: subprocess.Popen[bytes] | None = None

    def send(self, request: dict[str, Any]) -> None:
        line = json.dumps(request).encode() + b"\n"
        if self.process is not None and self.process.poll() is not None:
            self.stop()  # it died while idle: no fault of this file
        if self.process is None:
            self.process = _start(self._memory_bytes)
        try:
            os.write(_fileno(self.process.stdin), line)  # shorter than a pipe's atomic write
        except BrokenPipeError as error:
            raise EOFError from error

    def receive(self, wall_s: float) -> dict[str, Any]:
        """One answer; raises EOFError if the child died and TimeoutError after `wall_s` seconds."""
        deadline = time.monotonic() + wall_s
        (length,) = struct.unpack("<I", self._read(4, deadline))
        about: dict[str, Any] = json.loads(self._read(length, deadline))
        png, thumbnail = about.pop("sizes")
        if "reason" not in about:
            about |= {"png": self._read(png, deadline), "thumbnail": self._read(thumbnail, deadline)}
        return about

    def kill(self) -> None:
        process = self.process
        if process is not None:
            process.kill()

    def stop(self) -> int:
        """End and reap the process; its exit status, or 0 if there was none."""
        process, self.process = self.process, None
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
        source, parts = _fileno(self.process.stdout), []
        while num_bytes:
            if not select.select([source], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError
            part = os.read(source, min(num_bytes, READ_BYTES))
            if not part:
                raise EOFError
            parts.append(part)
            num_bytes -= len(part)
        return b"".join(parts)


def _start(memory_bytes: int) -> subprocess.Popen[bytes]:
    """A child that knows where our code is, and nothing of our settings."""
    environment = {
        "PYTHONPATH": str(Path(app.__path__[0]).parent),
        "PATH": os.environ.get("PATH", ""),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "app.core.images.child", str(memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
    )


def _fileno(pipe: Any) -> int:
    number: int = pipe.fileno()
    return number
