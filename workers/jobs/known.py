"""Does a classifier know the images that it is tested on, what networks have learnt, and who has looked at the test images."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.core import known, versions
from app.core.errors import ConflictError
from models import Checkpoint, Classifier, DatasetVersion, Job, Opening, OpeningKind, Split, SyntheticSet
from models.specs import EvaluateSpec


class Trainings(NamedTuple):
    """A diffusion network and those that its training went on from, last first. deleted: the id of one that is gone, and ends them."""

    checkpoints: list[Checkpoint]
    deleted: int | None


def trainings_of(session: Session, last: Checkpoint) -> Trainings:
    """A checkpoint whose images are not here, as one that came with the studio, is the first: its ids are not of this studio."""
    found = [last]
    while found[-1].version_id is not None:
        start = found[-1].spec.get("init_checkpoint_id")
        before = session.get(Checkpoint, start) if start is not None else None
        if before is None:
            return Trainings(found, start)
        found.append(before)
    return Trainings(found, None)


def known_to_training(session: Session, spec: EvaluateSpec) -> dict[str, int]:
    """Tested images that training or the choice of the best epoch has seen, as `known.known_to_training` counts them.

    Training is the classifier's and, where it learnt from a synthetic set, that of the network that drew it and of all networks that
    this one went on from. What a deleted one had learnt cannot be told.
    """
    classifier = session.get_one(Classifier, spec.classifier_id)
    learnt = {classifier.version_id}
    if classifier.synthetic_set_id is not None:
        source = session.get_one(SyntheticSet, classifier.synthetic_set_id)
        network = session.get_one(Checkpoint, source.checkpoint_id)
        versions_of = [source.version_id, *(each.version_id for each in trainings_of(session, network).checkpoints)]
        learnt |= {each for each in versions_of if each is not None}
    assert spec.version_id is not None, "prepare() fills it in"
    version = session.get_one(DatasetVersion, spec.version_id)
    if (
        learnt == {version.id}
        and spec.split == "test"
        and version.leaks is not None
        and not any(version.leaks.values())
    ):
        return dict.fromkeys(versions.LEAK_KINDS, 0)
    splits = list(Split) if spec.split == "all" else [Split(spec.split)]
    return known.known_to_training(session, learnt=learnt, tested=version, splits=splits, classes=spec.class_map)


def refuse_leaks(leaks: Mapping[str, int], classifier: Classifier, spec: EvaluateSpec) -> None:
    """ConflictError where a test would measure memory, unless a person has accepted that, here or, of the dataset that
    was learnt, in training.
    """
    accepted_in_training = classifier.spec.get("accept_leaks") and spec.dataset_id == classifier.spec.get("dataset_id")
    if spec.split not in (Split.TEST, "all") or not any(leaks.values()) or spec.accept_leaks or accepted_in_training:
        return
    raise ConflictError(
        f"Of the test images, training has seen {leaks['identical']:,} with the same pixels, {leaks['near']:,} that are "
        f"or look the same, and {leaks['patients']:,} of the same patients: a test would measure memory.",
        hint="Test on images that training has not seen, or set accept_leaks; then the figures are marked.",
    )


def note_opening(session: Session, job: Job, num_images: Mapping[int, int], kind: OpeningKind) -> None:
    """Count a job's look at the test images of versions: {version_id: number of images}."""
    session.add_all(
        Opening(version_id=version_id, kind=kind, job_id=job.id, num_images=number)
        for version_id, number in num_images.items()
    )
    session.flush()
