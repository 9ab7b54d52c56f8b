"""Rename, describe and delete datasets.

Files in storage may be shared with other rows of any kind; only those that no other names are deleted, after the commit.
"""

from collections.abc import Collection

from sqlalchemy import delete as sql_delete
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.core import references
from app.core.commits import after_commit
from app.core.errors import ConflictError
from app.core.storage import Storage
from app.services.datasets.names import make_room, refuse_taken
from app.services.identity import Identity
from app.services.rows import clean_name, count, note, refuse_if_a_job_needs
from models import (
    FINISHED,
    Artifact,
    Audit,
    AuditPair,
    Checkpoint,
    Classifier,
    Dataset,
    DatasetVersion,
    Evaluation,
    ExplanationItem,
    Fingerprint,
    Image,
    Job,
    JobKind,
    RefusedFile,
    Study,
    SyntheticSet,
)


def rename(session: Session, who: Identity, dataset: Dataset, name: str) -> Dataset:
    name = clean_name(name)
    if name == dataset.name:
        return dataset
    refuse_taken(session, dataset.project_id, name)
    make_room(session, dataset.project_id, name)
    note(session, who, "rename", dataset)
    dataset.name = name
    session.flush()
    return dataset


def describe(session: Session, dataset: Dataset, description: str) -> Dataset:
    dataset.description = description.strip()
    session.flush()
    return dataset


def delete(session: Session, who: Identity, dataset: Dataset, *, storage: Storage) -> None:
    """Delete it with its images, and their files once that is committed.

    ConflictError while something was made from it, or while a job is using it.
    """
    _refuse_if_used(session, dataset)
    if dataset.job_id is not None and session.get_one(Job, dataset.job_id).state not in FINISHED:
        raise ConflictError(
            f"Dataset {dataset.name!r} is still being imported.", hint=f"Cancel job {dataset.job_id} first."
        )
    refuse_if_a_job_needs(session, who, option="dataset_id", row_id=dataset.id, noun="dataset")
    note(session, who, "delete", dataset)
    keys = _delete_rows(session, dataset)
    _forget_looks(session, keys - references.named(session, keys))
    if not _an_import_is_under_way(session):  # it may have just stored a file of the same content
        unused = keys - references.named(session, keys)
        after_commit(session, lambda: _delete_files(storage, unused))


def _delete_files(storage: Storage, keys: Collection[str]) -> None:
    for key in keys:
        storage.delete(key)


def _refuse_if_used(session: Session, dataset: Dataset) -> None:
    mine = select(DatasetVersion.id).where(DatasetVersion.dataset_id == dataset.id)
    explained = select(Image.id).where(Image.version_id.in_(mine))
    shown = select(AuditPair.audit_id).where(AuditPair.image_id.in_(explained))
    used = {
        "checkpoints": count(session, Checkpoint.version_id.in_(mine)),
        "synthetic sets": count(session, SyntheticSet.version_id.in_(mine)),
        "audits": count(session, or_(Audit.version_id.in_(mine), Audit.id.in_(shown))),
        "classifiers": count(session, Classifier.version_id.in_(mine)),
        "evaluations": count(session, Evaluation.version_id.in_(mine)),
        "studies": count(session, Study.version_id.in_(mine)),
        "explained images": count(session, ExplanationItem.image_id.in_(explained)),
    }
    found = ", ".join(f"{number} {noun}" for noun, number in used.items() if number)
    if found:
        raise ConflictError(
            f"Dataset {dataset.name!r} cannot be deleted: there are {found} made from it.",
            hint="Delete those first: they could not say what they came from.",
        )


def _delete_rows(session: Session, dataset: Dataset) -> set[str]:
    """Delete the dataset's rows; returns the storage keys of its images and of what its checks drew of them."""
    mine = select(DatasetVersion.id).where(DatasetVersion.dataset_id == dataset.id)
    pairs = session.execute(select(Image.stored_sha256, Image.thumbnail_sha256).where(Image.version_id.in_(mine)))
    keys = {key for pair in pairs for key in pair} | _delete_drawings(session, dataset)
    session.execute(sql_delete(Image).where(Image.version_id.in_(mine)))
    session.execute(sql_delete(RefusedFile).where(RefusedFile.version_id.in_(mine)))
    session.delete(dataset)
    session.flush()
    return keys


def _forget_looks(session: Session, keys: Collection[str]) -> None:
    """Delete what is known of pictures that no row names any more: a fingerprint shows a patient in small."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), references.AT_ONCE):
        part = ordered[start : start + references.AT_ONCE]
        session.execute(sql_delete(Fingerprint).where(Fingerprint.stored_sha256.in_(part)))


def _delete_drawings(session: Session, dataset: Dataset) -> set[str]:
    """Delete what checks drew of the dataset; returns its storage keys. The mean image of a small class shows its patients."""
    checks = select(Job.id).where(
        Job.project_id == dataset.project_id,
        Job.kind == JobKind.CHECK_DATASET,
        Job.spec["dataset_id"].as_integer() == dataset.id,
    )
    keys = set(session.scalars(select(Artifact.sha256).where(Artifact.job_id.in_(checks))))
    session.execute(sql_delete(Artifact).where(Artifact.job_id.in_(checks)))
    return keys


def _an_import_is_under_way(session: Session) -> bool:
    waiting = select(Job.id).where(Job.kind == JobKind.IMPORT_DATASET, Job.state.not_in(FINISHED)).limit(1)
    return session.scalar(waiting) is not None
