"""The other datasets in the form of a study: those that are ticked become external tests."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.core import naming
from app.services import datasets
from app.services.identity import Identity
from app.services.studies.planning import OWN, SYNTHETIC
from models import Dataset

TICKED, CLASS_MAP, ACCEPT = (
    "external",
    "class_map",
    "accept_leaks",
)  # names of the fields; of the last two with -<dataset id>


@dataclass(frozen=True)
class External:
    """A dataset that may be tested on. class_map: as it was typed."""

    dataset: Dataset
    classes: list[str]
    is_ticked: bool
    class_map: str
    accepts: bool


def externals(session: Session, found: Sequence[Dataset], given: Mapping[str, Any]) -> list[External]:
    """The datasets as they were ticked."""
    versions = datasets.current_versions(session, found)
    return [
        External(
            row, versions[row.id].classes, str(row.id) in given.get(TICKED, []), given.get(f"{CLASS_MAP}-{row.id}", ""),
            bool(given.get(f"{ACCEPT}-{row.id}")),
        )
        for row in found
        if row.id in versions
    ]  # fmt: skip


def tests_of(session: Session, who: Identity, given: Mapping[str, Any], *, dataset_id: int) -> dict[str, Any]:
    """The external tests of the ticked datasets, by name. dataset_id: the study's own. ValueError says what is wrong."""
    tests: dict[str, Any] = {}
    for external_id in given.get(TICKED, []):
        if external_id == str(dataset_id):
            raise ValueError("Also test on: the study's own dataset is ticked; its test images are tested anyway.")
        other = datasets.get(session, who, int(external_id) if external_id.isdecimal() else 0)
        name = naming.shortened(other.name)
        if name in {OWN, SYNTHETIC, *tests}:
            name = f"dataset {other.id}"
        typed = given.get(f"{CLASS_MAP}-{other.id}", "")
        class_map = _typed_map(other.name, typed) if typed.strip() else _same_names(session, who, dataset_id, other)
        tests[name] = {
            "dataset_id": other.id, "class_map": class_map, "accept_leaks": bool(given.get(f"{ACCEPT}-{other.id}")),
        }  # fmt: skip
    return tests


def _typed_map(name: str, text: str) -> dict[str, str]:
    class_map: dict[str, str] = {}
    for part in (part.strip() for part in re.split(r"[,\n]", text)):
        theirs, _, ours = (each.strip() for each in part.partition("="))
        if part and (not theirs or not ours or theirs in class_map):
            raise ValueError(
                f"Classes of {name}: {part!r} was given; write theirs=ours, apart by commas, each class once."
            )
        if part:
            class_map[theirs] = ours
    return class_map


def _same_names(session: Session, who: Identity, dataset_id: int, other: Dataset) -> dict[str, str] | None:
    """Each class that both have; None where all are the same, or too few for a test, which launching then refuses in words."""
    versions = datasets.current_versions(session, [datasets.get(session, who, dataset_id), other])
    if len(versions) < 2:
        return None
    ours, theirs = versions[dataset_id].classes, versions[other.id].classes
    shared = {name: name for name in theirs if name in ours}
    return shared if ours != theirs and len(shared) > 1 else None
