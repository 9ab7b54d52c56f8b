"""The process that decodes strangers' files: `python -m app.core.images.child`, started by `images.pool`.

It limits its own memory, open files and processor time before it touches a file, may write no file at all, and knows
no setting or secret of the studio. One request is a JSON line {"path", "cpu_s", "thumbnail"}; one answer is four bytes
of length, that much JSON, then the bytes of the PNG and of the thumbnail.
"""

import hashlib
import json
import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

from app.core.errors import BadInputError
from app.core.images.arrays import normalise, pixel_sha256
from app.core.images.decoding import decode_file
from app.core.images.encoding import encode_png, thumbnail_png

MAX_OPEN_FILES = 64


def limit_this_process(memory_bytes: int) -> None:
    """At most so many bytes of address space; 64 open files; no file written; no core dump."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_next_file(cpu_s: float) -> None:
    """Have the kernel end this process once it has used `cpu_s` more seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + cpu_s) + 1, hard))


def prepare(path: Path, thumbnail: int) -> tuple[dict[str, Any], bytes, bytes]:
    """What is kept of the file at `path`: its description, the stored PNG and the thumbnail's PNG."""
    with path.open("rb") as file:
        file_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    decoded = decode_file(path)
    array = normalise(decoded.array)
    about = {
        "width": decoded.width,
        "height": decoded.height,
        "channels": array.shape[2],
        "mode": decoded.mode,
        "bit_depth": decoded.bit_depth,
        "file_sha256": file_sha256,
        "pixel_sha256": pixel_sha256(array),
    }
    png = encode_png(array)
    is_small = array.itemsize == 1 and max(array.shape[:2]) <= thumbnail
    return about, png, png if is_small else thumbnail_png(array, thumbnail)


def answer(line: bytes, target: BinaryIO) -> None:
    request = json.loads(line)
    limit_next_file(request["cpu_s"])
    png = thumbnail = b""
    try:
        about, png, thumbnail = prepare(Path(request["path"]), request["thumbnail"])
    except BadInputError as error:
        about = {"reason": error.detail}
    except OSError as error:
        about = {"reason": f"It could not be read from the disk ({error.strerror})."}
    except MemoryError:
        about = {"reason": "Decoding it needs more memory than an image may take."}
    header = json.dumps({**about, "sizes": [len(png), len(thumbnail)]}).encode()
    target.write(struct.pack("<I", len(header)) + header)
    target.write(png)
    target.write(thumbnail)
    target.flush()


def main() -> None:
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints must not end up in an answer
    limit_this_process(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        answer(line, target)


if __name__ == "__main__":
    main()
