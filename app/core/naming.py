"""Names that the studio makes up: a dataset's name and short facts, never one made-up name inside another.

People may give other names afterwards; so what is made up points at rows by their number, which never changes.
"""

import re
from collections.abc import Iterable

from app.core import relative_paths

LONGEST = 60  # characters of a dataset's name within another name
TAIL = 20


def shortened(name: str) -> str:
    """The name, or its beginning and end where it has more than 60 characters: both tell long names apart."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - TAIL - 1].rstrip()}…{name[-TAIL:].lstrip()}"


def checkpoint(dataset: str, *, preset: str, image_size: int, num_steps: int) -> str:
    return f"{shortened(dataset)}, {preset} {image_size} px, {num_steps:,} steps"


def synthetic_set(dataset: str, *, num_images: int, checkpoint_id: int, seed: int) -> str:
    return f"{shortened(dataset)}, {num_images:,} images of checkpoint {checkpoint_id}, seed {seed}"


def without_copies(name: str, *, num_copies: int, audit_job_id: int) -> str:
    return f"{shortened(name)}, without {num_copies:,} {'copy' if num_copies == 1 else 'copies'} (audit {audit_job_id})"


def classifier(dataset: str, *, architecture: str, learnt: str, seed: int) -> str:
    return f"{shortened(dataset)}, {shortened(architecture)} on {learnt}, seed {seed}"


def among(name: str, classes: Iterable[str]) -> str | None:
    """The class that `name` means: this spelling, else one that differs by case only, as within an upload; None: there is none."""
    alike = [each for each in classes if relative_paths.key(each) == relative_paths.key(name)]
    return name if name in alike else next(iter(alike), None)


def reproduction(dataset: str, *, study_id: int) -> str:
    return f"Study {study_id} of {shortened(dataset)}, reproduced"


def plain(name: str) -> str:
    """Equal for names that a person may take for the same: "No tumor" and "no_tumor"."""
    return re.sub(r"[\W_]+", "", name.casefold())
