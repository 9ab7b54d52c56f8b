"""The names of timm's architectures, for the web process, which has no timm: a wrong name is told before anything waits for it.

architectures.txt has one on each line, with the tags of its published weights; a test holds it against the installed timm and
says how to write it anew.
"""

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from app.core.errors import BadInputError

NAMES = Path(__file__).with_suffix(".txt")


def need_known(architectures: Iterable[str], *, pointer: str) -> None:
    """BadInputError, with the nearest names, for the first that is none. pointer: to the option that names them."""
    known = _tags()
    for architecture in architectures:
        name, _, tag = architecture.partition(".")
        if name in known and (not tag or tag in known[name]):
            continue
        close = [f"{name}.{each}" for each in sorted(known.get(name, ()))] or difflib.get_close_matches(
            name, known, n=5, cutoff=0.5
        )
        raise BadInputError(
            f"{architecture!r} is not an architecture of timm.",
            hint=f"Did you mean {', '.join(close[:5])}?" if close else "Give a name that timm lists, such as resnet50.",
            errors=[{"pointer": pointer, "detail": f"{architecture!r} is not an architecture of timm"}],
        )


@cache
def _tags() -> dict[str, frozenset[str]]:
    lines = (line.split() for line in NAMES.read_text(encoding="utf-8").splitlines())
    return {name: frozenset(tags) for name, *tags in lines}
