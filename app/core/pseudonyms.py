"""Names for patients and series that say nothing about them: keyed hashes, with a key that never leaves the data folder.

The same id has the same pseudonym in every import of this installation, and another one in every other. Without the
key nobody can find out by trying ids which one is meant. A lost key loses no image: later imports only no longer know
the patients of earlier ones.
"""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from app.core.config import Settings

KEY_BYTES = 32
HEX_DIGITS = 16


class Pseudonyms:
    """Makes pseudonyms by the key in the data folder, which is made when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._key = _key(settings.folder / "pseudonyms.key")

    def patient(self, patient_id: str) -> str:
        """patient-3f2a... for the id as a file has it."""
        return f"patient-{self._digest('patient', patient_id)}"

    def series(self, series_uid: str) -> str:
        return f"series-{self._digest('series', series_uid)}"

    def _digest(self, kind: str, identifier: str) -> str:
        return hmac.digest(self._key, f"{kind}:{identifier}".encode(errors="surrogatepass"), "sha256").hex()[
            :HEX_DIGITS
        ]


def _key(path: Path) -> bytes:
    """The key at `path`, 0600; of several processes that make it at once, one does."""
    with suppress(FileNotFoundError):
        return _checked(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()
    return _checked(path)


def _checked(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise RuntimeError(
            f"{path} holds {len(key)} bytes; expected {KEY_BYTES}. Restore it from a backup of the data folder."
        )
    return key
