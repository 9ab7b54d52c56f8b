"""Which images belong together: by a column of the table, or by a pattern over the paths.

A stranger's pattern can keep Python busy for years, so patterns are matched in a child process that has a few seconds
and a little memory for all paths together.
"""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.core.errors import BadInputError
from app.core.layouts.columns import may_be_groups
from app.core.layouts.layout import Groups, Layout, refused
from app.core.layouts.tables import tidy
from models.specs import LayoutOptions

CHILD = Path(__file__).with_name("pattern_child.py")
CPU_S = 5
WALL_S = 30
MEMORY_BYTES = 2**30
NO_VALUES = frozenset({"", "nan", "null", "none", "n/a"})


def with_groups(layout: Layout, options: LayoutOptions) -> Layout:
    """The layout with a group for every image that the column or the pattern gives one to; without either, a warning
    if there is a column that could name patients.

    Raises BadInputError, pointing at the option, if there is no such column or the pattern cannot be used.
    """
    if options.group_by is None and options.group_pattern is None:
        return replace(layout, warnings=[*layout.warnings, *_overlooked(layout)])
    if layout.kind == "npz":
        option = "group_by" if options.group_by is not None else "group_pattern"
        raise refused(option, "An npz file says nothing of patients.", "Leave this out.")
    paths = [image.path for image in layout.images]
    if options.group_pattern is not None:
        found = matches(paths, options.group_pattern)
    else:
        values = _column(layout, options.group_by or "")
        found = [values.get(path) for path in paths]
    groups = [_group(value) for value in found]
    images = [image._replace(group=group) for image, group in zip(layout.images, groups, strict=True)]
    warnings = [*layout.warnings, *_ungrouped(groups)]
    return replace(layout, images=images, groups=_counted(groups, options), warnings=warnings)


def matches(paths: Sequence[str], pattern: str) -> list[str | None]:
    """What `pattern` finds in each path: its first group, or all of the match if it has none; None without a match.

    Raises BadInputError if the pattern is none, or takes more than 5 s of processor time or 1 GiB for all paths.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(CHILD), str(CPU_S), str(MEMORY_BYTES)],
            input=json.dumps({"pattern": pattern, "paths": paths}).encode(),
            capture_output=True, timeout=WALL_S, cwd="/", env={}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _too_slow() from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise _too_slow()
    if done.returncode != 0:
        raise refused("group_pattern", "The pattern needs more memory than it may have.", "Write it more simply.")
    found: list[str | None] = json.loads(done.stdout)
    return found


def _column(layout: Layout, name: str) -> dict[str, str]:
    listing = layout.listing
    if listing is None:
        raise refused("group_by", f"There is no column {name!r}: the upload has no table that names its images.", "Use a pattern over the file names, or add a CSV table.")  # fmt: skip
    if name not in listing.columns:
        raise refused("group_by", f"{listing.names} has no column {name!r}.", f"It has {', '.join(listing.columns)}.")
    return listing.values(name)


def _group(value: str | None) -> str | None:
    value = tidy(value or "")
    return None if value.casefold() in NO_VALUES else value


def _counted(groups: Sequence[str | None], options: LayoutOptions) -> Groups:
    sizes = Counter(group for group in groups if group is not None)
    largest = max(sizes.values(), default=0)
    return Groups(options.group_by or "", options.group_pattern or "", len(sizes), groups.count(None), largest)


def _ungrouped(groups: Sequence[str | None]) -> list[str]:
    without = groups.count(None)
    if not without:
        return []
    return [
        "No image has a group." if without == len(groups) else f"{without:,} of {len(groups):,} images have no group."
    ]


def _overlooked(layout: Layout) -> list[str]:
    if layout.listing is None:
        return []
    return [
        f"The column {name} of {layout.listing.names} could name patients: group by it, so that nobody is on two sides."
        for name in layout.listing.columns
        if may_be_groups(layout.listing, name)
    ]


def _too_slow() -> BadInputError:
    return refused(
        "group_pattern",
        f"The pattern takes more than {CPU_S} s for the names of this upload.",
        r"Avoid repeats inside repeats, such as (a+)+; a part such as (person\d+) is quick.",
    )
