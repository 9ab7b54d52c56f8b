"""Classifiers: CNNs trained on real, synthetic or mixed images."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.services.identity import Identity
from app.services.paging import Page, page
from app.services.rows import clean_name, count, note, owned, refuse_if_a_job_needs
from models import Classifier, Dataset, DatasetVersion, Evaluation, Explanation, SyntheticSet


def get(session: Session, who: Identity, classifier_id: int) -> Classifier:
    return owned(session, who, Classifier, classifier_id, noun="classifier")


def listing(
    session: Session,
    who: Identity,
    *,
    dataset_id: int | None = None,
    synthetic_set_id: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Classifier]:
    """Newest first; only those of one dataset or trained on one synthetic set if given."""
    query = select(Classifier).where(Classifier.project_id == who.project_id)
    if dataset_id is not None:
        query = query.join(DatasetVersion).where(DatasetVersion.dataset_id == dataset_id)
    if synthetic_set_id is not None:
        query = query.where(Classifier.synthetic_set_id == synthetic_set_id)
    return page(session, query, key=Classifier.id, cursor=cursor, limit=limit)


def dataset_of(session: Session, classifier: Classifier) -> Dataset:
    """The dataset whose real images it was validated on."""
    return session.get_one(DatasetVersion, classifier.version_id).dataset


def synthetic_set_of(session: Session, classifier: Classifier) -> SyntheticSet | None:
    return session.get(SyntheticSet, classifier.synthetic_set_id) if classifier.synthetic_set_id is not None else None


def evaluations_of(session: Session, classifier: Classifier, *, limit: int = 50) -> list[Evaluation]:
    """Newest first."""
    query = select(Evaluation).where(Evaluation.classifier_id == classifier.id)
    return list(session.scalars(query.order_by(Evaluation.id.desc()).limit(limit)))


def explanations_of(session: Session, classifier: Classifier, *, limit: int = 50) -> list[Explanation]:
    """Newest first."""
    query = select(Explanation).where(Explanation.classifier_id == classifier.id)
    return list(session.scalars(query.order_by(Explanation.id.desc()).limit(limit)))


def rename(session: Session, classifier: Classifier, name: str) -> Classifier:
    classifier.name = clean_name(name)
    session.flush()
    return classifier


def delete(session: Session, who: Identity, classifier: Classifier) -> None:
    """Delete it; ConflictError while an evaluation, an explanation or an unfinished job rests on it."""
    tests = count(session, Evaluation.classifier_id == classifier.id)
    explained = count(session, Explanation.classifier_id == classifier.id)
    if tests or explained:
        raise ConflictError(
            f"Classifier {classifier.id} has {tests} evaluations and {explained} explanations.",
            hint="Delete those first: they could not say what they are about.",
        )
    refuse_if_a_job_needs(session, who, option="classifier_id", row_id=classifier.id, noun="classifier")
    note(session, who, "delete", classifier)
    session.delete(classifier)
