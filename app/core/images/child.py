"""The process that decodes strangers' files: `python -m app.core.images.child`, started by `images.pool`.

It limits its own memory, open files and processor time before it touches a file, may write no file at all, and knows
no setting or secret of the studio. One request (others may follow at once) is a JSON line {"path", "bytes", "conversion", "cpu_s", "thumbnail"}, and
if it names no path, so many bytes: the file itself. The answer is a stream of the file's images, so that a large volume is never in memory as PNGs: each is four bytes of length, that
much JSON, then the bytes of the PNG and of the thumbnail (none if the PNG is small enough to be its own). The last
JSON has {"end", "reason"}: why the file was refused, or nothing.
"""

import hashlib
import io
import json
import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

from app.core.errors import BadInputError
from app.core.fingerprints import fingerprint
from app.core.formats.conversion import Conversion, Picture
from app.core.formats.reading import read
from app.core.images.encoding import encode_png, thumbnail_png
from app.core.images.facts import facts

MAX_OPEN_FILES = 64
BUFFER_BYTES = 1 << 18
MAX_READ_BYTES = 4 << 20
OWN_THUMBNAIL_SIDE, OWN_THUMBNAIL_BYTES = 256, 32_768  # PNGs up to here are thumbnails of themselves


def limit_this_process(memory_bytes: int) -> None:
    """At most so many bytes of address space; 64 open files; no file written; no core dump."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_next_image(cpu_s: float) -> None:
    """Have the kernel end this process once it has used `cpu_s` more seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + cpu_s) + 1, hard))


def answer(request: dict[str, Any], sent: bytes, target: BinaryIO) -> None:
    """Answer one request; sent: the file, if it names no path."""
    reason = ""
    limit_next_image(request["cpu_s"])
    try:
        with opened(request["path"], sent) as file:
            send_images(file, request, target)
    except BadInputError as error:
        reason = error.detail
    except OSError as error:
        reason = f"It could not be read from the disk ({error.strerror})."
    except ModuleNotFoundError as error:
        reason = f"This machine lacks the package {error.name}, which reads such files; workers have it."
    except MemoryError:
        reason = "Decoding it needs more memory than an image may take."
    send(target, {"end": True, "reason": reason})
    target.flush()


def opened(path: str | None, sent: bytes) -> BinaryIO:
    """The file to decode; a small one is read once and for all."""
    if path is None:
        return io.BytesIO(sent)
    is_large = Path(path).stat().st_size > MAX_READ_BYTES
    return Path(path).open("rb") if is_large else io.BytesIO(Path(path).read_bytes())


def send_images(file: BinaryIO, request: dict[str, Any], target: BinaryIO) -> None:
    side = request["thumbnail"]
    file_sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # BytesIO or a file
    file.seek(0)
    for picture in read(file, file_sha256, Conversion(**request["conversion"])):
        png = encode_png(picture.array)
        longer = max(picture.array.shape[:2])
        is_small = longer <= side or (longer <= OWN_THUMBNAIL_SIDE and len(png) <= OWN_THUMBNAIL_BYTES)
        send(target, about(picture, file_sha256), png, b"" if is_small else thumbnail_png(picture.array, side))
        if picture.frame:  # others may follow, and take a while
            target.flush()
            limit_next_image(request["cpu_s"])


def about(picture: Picture, file_sha256: str) -> dict[str, Any]:
    """What is said of an image beside its pixels."""
    said = picture._asdict()
    array = said.pop("array")
    height, width, channels = array.shape
    said |= {"look": list(fingerprint(array)), "facts": json.dumps(facts(array))}
    return {**said, "width": width, "height": height, "channels": channels, "file_sha256": file_sha256}


def send(target: BinaryIO, said: dict[str, Any], png: bytes = b"", thumbnail: bytes = b"") -> None:
    header = json.dumps({**said, "sizes": [len(png), len(thumbnail)]}).encode()
    target.write(struct.pack("<I", len(header)) + header)
    target.write(png)
    target.write(thumbnail)


def main() -> None:
    target = os.fdopen(os.dup(1), "wb", buffering=BUFFER_BYTES)
    os.dup2(2, 1)  # what a decoder prints must not end up in an answer
    limit_this_process(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer(request, sys.stdin.buffer.read(request["bytes"]), target)


if __name__ == "__main__":
    main()
