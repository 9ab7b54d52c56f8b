"""Check and complete what is asked of an explanation."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import NotFoundError
from app.services import classifiers
from app.services.identity import Identity
from app.services.rows import LARGEST_ID
from models import Dataset, DatasetVersion, Image, UploadedImage
from models.specs import ExplainSpec


def explain(session: Session, who: Identity, spec: ExplainSpec) -> tuple[ExplainSpec, str]:
    classifier = classifiers.get(session, who, spec.classifier_id)
    image_ids = list(dict.fromkeys(spec.image_ids))
    uploaded_ids = list(dict.fromkeys(spec.uploaded_image_ids))
    of_datasets = select(Image.id).join(DatasetVersion).join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    _need_rows(session, of_datasets.where(Dataset.project_id == who.project_id), Image.id, image_ids, "image")
    uploads = select(UploadedImage.id).where(UploadedImage.project_id == who.project_id)
    _need_rows(session, uploads, UploadedImage.id, uploaded_ids, "uploaded image")
    number = len(image_ids) + len(uploaded_ids)
    title = (
        f"LIME of {number} image{'s' if number > 1 else ''} with classifier {classifier.id} ({classifier.architecture})"
    )
    return spec.model_copy(update={"image_ids": image_ids, "uploaded_image_ids": uploaded_ids}), title


def _need_rows(session: Session, query: Any, key: InstrumentedAttribute[int], ids: list[int], noun: str) -> None:
    """NotFoundError unless `query` (of the project's ids) holds every id."""
    found = set(session.scalars(query.where(key.in_([i for i in ids if 0 < i <= LARGEST_ID]))))
    missing = [i for i in ids if i not in found]
    if missing:
        raise NotFoundError(f"There is no {noun} {missing[0]}.", hint="It may have been deleted with its dataset.")
