"""/api/v1/classifiers: CNNs trained on real, synthetic or both kinds of images."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.api.lists import page_out, send_download, send_stored
from app.api.schemas.base import Cursor, Limit, PageOut
from app.api.schemas.results import ClassifierOut, Rename
from app.deps import ClassifierDep, IdentityDep, SessionDep, StorageDep
from app.services import classifiers, downloads
from models import Classifier

router = APIRouter(prefix="/api/v1/classifiers", tags=["classifiers"])


@router.get("")
def list_classifiers(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    dataset_id: Annotated[int | None, Query(ge=0, description="Only those validated on this dataset.")] = None,
    synthetic_set_id: Annotated[int | None, Query(ge=0, description="Only those that learnt from this set.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[ClassifierOut]:  # fmt: skip
    """List classifiers."""
    found = classifiers.listing(
        session, who, dataset_id=dataset_id, synthetic_set_id=synthetic_set_id, cursor=cursor, limit=limit
    )
    return page_out(request, response, found, lambda row: _out(session, row))


@router.get("/{classifier_id}")
def get_classifier(classifier: ClassifierDep, session: SessionDep) -> ClassifierOut:
    """Get a classifier."""
    return _out(session, classifier)


@router.patch("/{classifier_id}")
def rename_classifier(classifier: ClassifierDep, change: Rename, session: SessionDep) -> ClassifierOut:
    """Rename a classifier."""
    return _out(session, classifiers.rename(session, classifier, change.name))


@router.delete("/{classifier_id}", status_code=204)
def delete_classifier(classifier: ClassifierDep, who: IdentityDep, session: SessionDep) -> None:
    """Delete a classifier that nothing rests on."""
    classifiers.delete(session, who, classifier)


@router.get("/{classifier_id}/download", response_class=Response)
def download_classifier(classifier: ClassifierDep, session: SessionDep, storage: StorageDep) -> Response:
    """Download network, config and card as a zip."""
    return send_download(downloads.classifier(session, storage, classifier))


@router.get("/{classifier_id}/network", response_class=Response)
def download_classifier_network(request: Request, classifier: ClassifierDep, storage: StorageDep) -> Response:
    """Download the network alone, as safetensors; takes Range."""
    name = f"classifier-{classifier.id}.safetensors"
    return send_stored(request, storage, classifier.sha256, media_type="application/octet-stream", name=name)


def _out(session: Session, row: Classifier) -> ClassifierOut:
    return ClassifierOut.of(row, dataset_id=classifiers.dataset_of(session, row).id)
