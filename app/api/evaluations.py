"""/api/v1/evaluations: classifiers tested on real images, with every prediction."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.api.lists import class_index, page_out
from app.api.schemas.base import Cursor, Limit, PageOut
from app.api.schemas.results import EvaluationOut, PredictionOut
from app.deps import EvaluationDep, IdentityDep, SessionDep
from app.services import evaluations
from models import Evaluation

router = APIRouter(prefix="/api/v1/evaluations", tags=["evaluations"])


@router.get("")
def list_evaluations(
    request: Request, response: Response, who: IdentityDep, session: SessionDep,
    classifier_id: Annotated[int | None, Query(ge=0, description="Only those of this classifier.")] = None,
    cursor: Cursor = None, limit: Limit = 50,
) -> PageOut[EvaluationOut]:  # fmt: skip
    """List evaluations."""
    found = evaluations.listing(session, who, classifier_id=classifier_id, cursor=cursor, limit=limit)
    return page_out(request, response, found, lambda row: _out(session, row))


@router.get("/{evaluation_id}")
def get_evaluation(evaluation: EvaluationDep, session: SessionDep) -> EvaluationOut:
    """Get an evaluation: every metric with its interval, the confusion matrix, the per-class table."""
    return _out(session, evaluation)


@router.delete("/{evaluation_id}", status_code=204)
def delete_evaluation(evaluation: EvaluationDep, who: IdentityDep, session: SessionDep) -> None:
    """Delete an evaluation with its predictions."""
    evaluations.delete(session, who, evaluation)


@router.get("/{evaluation_id}/predictions")
def list_predictions(
    request: Request, response: Response, evaluation: EvaluationDep, session: SessionDep,
    label: Annotated[str | None, Query(description="True class: one row of the confusion matrix.")] = None,
    predicted: Annotated[str | None, Query(description="Predicted class: one column of it.")] = None,
    cursor: Cursor = None, limit: Limit = 100,
) -> PageOut[PredictionOut]:  # fmt: skip
    """List predictions, of one cell, row or column of the confusion matrix if asked for."""
    classes = evaluation.classes
    found = evaluations.cell(
        session, evaluation, label=class_index(classes, label, "label"),
        predicted=class_index(classes, predicted, "predicted"), cursor=cursor, limit=limit,
    )  # fmt: skip
    return page_out(request, response, found, lambda pair: PredictionOut.of(*pair, classes))


def _out(session: Session, row: Evaluation) -> EvaluationOut:
    looks = evaluations.num_openings(session, [row]).get(row.id)
    return EvaluationOut.of(row, dataset_id=evaluations.dataset_of(session, row).id, num_openings=looks)
