"""What an archive or an uploaded folder consists of, before anything is decoded."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.core import relative_paths
from app.core.errors import BadInputError, TooLargeError

SLACK_BYTES = 1 << 20  # a small archive of padding may exceed the ratio without harm
ADVICE = "Make the archive again from a plain folder of images, or upload the folder itself."


class Member(NamedTuple):
    """A file, or a folder (its path ends in `/`). problem: why it cannot be taken, if it cannot."""

    path: str
    size: int
    problem: str | None = None

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")


@dataclass(frozen=True)
class Opened:
    """A member of an archive while the archive stands at it. chunks(n) yields its bytes, at most n at a time."""

    member: Member
    chunks: Callable[[int], Iterator[bytes]]


@dataclass(frozen=True)
class Limits:
    max_entries: int
    max_bytes: int  # unpacked, all entries together
    max_ratio: int = 100  # unpacked to packed

    def check_entries(self, num_entries: int) -> None:
        if num_entries > self.max_entries:
            raise TooLargeError(
                f"The archive has more than {self.max_entries:,} entries.",
                hint="Split it into several, or raise PHANTOM_MAX_FILES.",
            )

    def check_unpacked(self, num_bytes: int, packed_bytes: int) -> None:
        if num_bytes > self.max_bytes:
            raise TooLargeError(
                f"The archive unpacks to more than {self.max_bytes / 1e9:.3g} GB.",
                hint="Split it into several, or raise PHANTOM_MAX_UNPACKED_GB.",
            )
        if num_bytes > self.max_ratio * packed_bytes + SLACK_BYTES:
            raise BadInputError(
                f"The archive unpacks to more than {self.max_ratio} times its size, which no set of images does.",
                hint=ADVICE,
            )


def unique(members: Iterable[Member]) -> list[Member]:
    """The members; of files whose names some disk takes for the same, all but the first get a problem."""
    first: dict[str, str] = {}
    return [member if member.is_folder else _checked(member, first) for member in members]


def _checked(member: Member, first: dict[str, str]) -> Member:
    key = relative_paths.key(member.path)
    if key not in first:
        first[key] = member.path
        return member
    how = "is there twice" if first[key] == member.path else f"differs from {first[key]!r} by case or spelling only"
    return member._replace(problem=f"Its name {how}.")
