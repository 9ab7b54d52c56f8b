"""Paths as an upload names them: cleaned, relative, and never used as a path on our disk."""

import re
import unicodedata

from app.core.errors import BadInputError

MAX_LENGTH = 1000
_DRIVE = re.compile(r"[A-Za-z]:")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def clean(path: str) -> str:
    """`path` with forward slashes, in NFC, without `.` and empty parts; a folder keeps its slash at the end.

    Raises BadInputError if it is absolute, climbs by `..`, is longer than 1000 characters, is empty, or holds control
    characters.
    """
    given, path = path, unicodedata.normalize("NFC", _printable_text(path)).replace("\\", "/")
    if path.startswith("/") or _DRIVE.match(path):
        raise _refused(given, "is absolute")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(given, "climbs out of its folder")
    if not parts:
        raise _refused(given, "names no file")
    if _UNPRINTABLE.search(path):
        raise _refused(given, "holds control characters")
    cleaned = "/".join(parts) + ("/" if path.endswith("/") else "")
    if len(cleaned) > MAX_LENGTH:
        raise _refused(given, f"is longer than {MAX_LENGTH} characters")
    return cleaned


def key(path: str) -> str:
    """Equal for paths that some file system takes for the same: NFKC, without case."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _printable_text(path: str) -> str:
    """Bytes that were no UTF-8 (surrogates) become U+FFFD, since no database would take them."""
    if path.isascii():
        return path
    return path.encode("utf-8", "surrogateescape" if _only_escapes(path) else "replace").decode("utf-8", "replace")


def _only_escapes(path: str) -> bool:
    return all(0xDC80 <= ord(char) <= 0xDCFF for char in path if 0xD800 <= ord(char) <= 0xDFFF)


def _refused(path: str, what: str) -> BadInputError:
    shown = ascii(path[:80])
    return BadInputError(
        f"The name {shown} {what}.",
        hint="Name files by their path relative to the uploaded folder, such as glioma/001.png.",
    )
