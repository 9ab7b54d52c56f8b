"""Of how many tested images the patient is known. The unit of a table does not say: look-alikes make groups without any patient."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.services.studies.planning import OWN
from app.services.studies.reporting.words import tested_on
from models import DatasetVersion, Image, Split
from models.specs import StudySpec


class Patients(NamedTuple):
    """Of one set of test images. images: all that are tested; unknown: those of which nothing says whose they are."""

    name: str
    images: int
    unknown: int


def patients_of(session: Session, spec: StudySpec, version: DatasetVersion) -> Iterator[Patients]:
    """Of the study's own test images, then of each external set, in its order."""
    yield Patients(tested_on(OWN), *_counted(session, Image.version_id == version.id, Image.split == Split.TEST))
    for name, test in spec.external.items():
        other = session.get(DatasetVersion, test.version_id)
        if other is None:  # its tests are gone with it
            continue
        tested: list[ColumnElement[bool]] = [Image.version_id == other.id]
        if test.class_map is not None:
            tested.append(Image.label.in_([other.classes.index(theirs) for theirs in test.class_map]))
        yield Patients(tested_on(name), *_counted(session, *tested))


def _counted(session: Session, *tested: ColumnElement[bool]) -> tuple[int, int]:
    """(images, those of them without a patient)"""
    patient = func.coalesce(Image.group, Image.series)
    images, known = session.execute(select(func.count(), func.count(patient)).select_from(Image).where(*tested)).one()
    return images, images - known
