"""Does a classifier know the images that it is tested on, and who has looked at the test images."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core import versions
from app.core.errors import ConflictError
from app.core.fingerprints import Fingerprint as Look
from models import Classifier, DatasetVersion, Fingerprint, Image, Job, Opening, OpeningKind, Split, SyntheticSet
from models.specs import EvaluateSpec


class Seen(NamedTuple):
    pixel_sha256: str
    stored_sha256: str
    group: str | None


def known_to_training(session: Session, spec: EvaluateSpec) -> dict[str, int]:
    """Tested images that training or the choice of the best epoch has seen: {"patients", "identical", "near"} (near includes
    identical; patients: images whose patient was seen).
    """
    classifier = session.get_one(Classifier, spec.classifier_id)
    trained = {classifier.version_id}
    if classifier.synthetic_set_id is not None:
        source = session.get_one(SyntheticSet, classifier.synthetic_set_id)
        trained |= {source.version_id} if source.version_id is not None else set()
    assert spec.version_id is not None, "prepare() fills it in"
    version = session.get_one(DatasetVersion, spec.version_id)
    if (
        trained == {version.id}
        and spec.split == "test"
        and version.leaks is not None
        and not any(version.leaks.values())
    ):
        return dict.fromkeys(versions.LEAK_KINDS, 0)
    seen = [each for version_id in sorted(trained) for each in _images(session, version_id, [Split.TRAIN, Split.VAL])]
    tested = _images(session, version.id, list(Split) if spec.split == "all" else [Split(spec.split)])
    patients = {each.group for each in seen} - {None}
    matches = versions.known_images(
        [each[:2] for each in seen], [each[:2] for each in tested],
        _looks(session, sorted(trained)), _looks(session, [version.id]),
    )  # fmt: skip
    return {
        "patients": sum(each.group in patients for each in tested if each.group is not None),
        "identical": sum(match.kind == "identical" for match in matches),
        "near": len(matches),
    }


def _images(session: Session, version_id: int, splits: Sequence[Split]) -> list[Seen]:
    patient = func.coalesce(Image.group, Image.series)
    query = select(Image.pixel_sha256, Image.stored_sha256, patient)
    return [Seen(*row) for row in session.execute(query.where(Image.version_id == version_id, Image.split.in_(splits)))]


def _looks(session: Session, version_ids: Sequence[int]) -> dict[str, Look]:
    query = (
        select(Fingerprint.stored_sha256, Fingerprint.perceptual_hash, Fingerprint.mirrored_hash, Fingerprint.tile)
        .join(Image, Image.stored_sha256 == Fingerprint.stored_sha256)
        .where(Image.version_id.in_(version_ids))
        .distinct()
    )
    return {row[0]: Look(*row[1:]) for row in session.execute(query)}


def refuse_leaks(leaks: Mapping[str, int], classifier: Classifier, spec: EvaluateSpec) -> None:
    """ConflictError where a test would measure memory, unless a person has accepted that, here or in training."""
    if (
        spec.split not in (Split.TEST, "all")
        or not any(leaks.values())
        or spec.accept_leaks
        or classifier.spec.get("accept_leaks")
    ):
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
