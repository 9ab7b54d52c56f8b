"""One studio for each data folder: a file that is locked as long as the studio runs, however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.errors import ConflictError


@contextmanager
def only_studio(folder: Path, address: str) -> Iterator[None]:
    """Hold the lock of `folder` for the block; ConflictError names the address of the studio that has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "studio.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConflictError(
                f"A studio already runs on {folder}: {file.read().strip() or 'address unknown'}.",
                hint="Open that address, stop that studio first, or choose another --data-dir.",
            ) from error
        file.truncate(0)
        file.write(address)
        file.flush()
        yield
        file.truncate(0)
