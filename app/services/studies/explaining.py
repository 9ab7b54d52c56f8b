"""Which test images a study explains: spread over the classes and patients, chosen by a fixed draw that sees no prediction."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.services.studies import planning
from app.services.studies.planning import Planned
from models import DatasetVersion, Image, Job, Split, Study, StudyStep
from models.specs import StudySpec

DRAW = 0  # another number draws other images


def steps(
    session: Session,
    spec: StudySpec,
    version: DatasetVersion,
    *,
    drawn: Sequence[float] = (),
    image_ids: Sequence[int] = (),
) -> list[Planned]:
    """Every step of the study but the summary, with its explanations.

    drawn: as `planning.steps` takes it. image_ids: the images that it explains already; chosen, if not given.
    """
    explained = image_ids or chosen_images(session, spec, version)
    return planning.steps(spec, version, image_ids=explained, drawn=drawn)


def images_of(session: Session, study: Study) -> list[int]:
    """The images that the study explains, as they were chosen when it was launched; none where it explains none."""
    query = select(Job.spec).join(StudyStep, StudyStep.job_id == Job.id)
    spec = session.scalar(query.where(StudyStep.study_id == study.id, planning.EXPLAINS).limit(1))
    return list(spec["image_ids"]) if spec is not None else []


def chosen_images(session: Session, spec: StudySpec, version: DatasetVersion) -> list[int]:
    """Ids of test images by class, as many of each as there are, or as the number allows; none where none is asked for.

    The order of the draw is that of a hash of the pixels, so it is the same on another machine. Of each class, patients of
    whom an image is chosen come last.
    """
    if spec.explanations is None:
        return []
    unit = func.coalesce(Image.group, Image.series).label("unit")
    query = select(Image.id, Image.label, unit, Image.cluster, Image.pixel_sha256)
    rows = session.execute(query.where(Image.version_id == version.id, Image.split == Split.TEST)).all()
    by_class: dict[int, list[tuple[int, str]]] = {}
    for row in sorted(rows, key=lambda row: (_draw(row.pixel_sha256), row.id)):
        name = row.unit or (f"cluster {row.cluster}" if row.cluster is not None else f"image {row.id}")
        by_class.setdefault(row.label, []).append((row.id, name))
    drawn = [[(label, image_id) for image_id in _patients_first(by_class[label])] for label in sorted(by_class)]
    dealt = [each for each in chain(*zip_longest(*drawn)) if each is not None]
    rank = {each: place for place, each in enumerate(dealt)}
    kept = sorted(dealt[: spec.explanations.num_images], key=lambda each: (each[0], rank[each]))
    return [image_id for _, image_id in kept]


def _draw(pixel_sha256: str) -> str:
    return hashlib.sha256(f"{DRAW} {pixel_sha256}".encode()).hexdigest()


def _patients_first(drawn: Iterable[tuple[int, str]]) -> list[int]:
    """The first image of each patient, then the others."""
    first: dict[str, int] = {}
    others: list[int] = []
    for image_id, name in drawn:
        if name in first:
            others.append(image_id)
        else:
            first[name] = image_id
    return [*first.values(), *others]
