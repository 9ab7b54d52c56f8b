"""Evaluations: the images behind each cell of the confusion matrix, and the worst mistakes."""

import pytest
from sqlalchemy import select, update

from app.core.db import Database
from app.core.errors import BadInputError
from app.services import evaluations
from app.services.identity import Identity
from models import Evaluation, Prediction
from tests import factories


@pytest.fixture
def evaluation(database: Database, who: Identity) -> Evaluation:
    """Twelve test images of two classes; the factory gets every third wrong."""
    with database.write() as session:
        version = factories.dataset_with_version(session, who, num_images=60)
        return factories.evaluation(session, who, factories.classifier(session, who, version), {})


class TestCell:
    def test_cells_hold_every_image_once(self, database: Database, evaluation: Evaluation) -> None:
        with database.read() as session:
            cells = {
                (label, predicted): evaluations.cell(session, evaluation, label=label, predicted=predicted).items
                for label in (0, 1)
                for predicted in (0, 1)
            }
            everything = evaluations.cell(session, evaluation).items
        assert sum(map(len, cells.values())) == len(everything) == evaluation.num_images == 12
        for (label, predicted), found in cells.items():
            assert all((p.label, p.predicted) == (label, predicted) and image.label == label for p, image in found)

    def test_comes_in_pages(self, database: Database, evaluation: Evaluation) -> None:
        with database.read() as session:
            first = evaluations.cell(session, evaluation, limit=7)
            second = evaluations.cell(session, evaluation, cursor=first.next_cursor, limit=7)
        ids = [image.id for _, image in [*first.items, *second.items]]
        assert len(ids) == 12
        assert ids == sorted(set(ids))
        assert second.next_cursor is None


class TestWorst:
    def test_are_the_mistakes_made_with_most_confidence(self, database: Database, evaluation: Evaluation) -> None:
        with database.write() as session:
            wrong = list(session.scalars(select(Prediction).where(Prediction.label != Prediction.predicted)))
            for rank, prediction in enumerate(wrong):
                prediction.confidence = 0.5 + rank / 100
            session.execute(update(Prediction).where(Prediction.label == Prediction.predicted).values(confidence=0.99))
        with database.read() as session:
            worst = evaluations.worst(session, evaluation, limit=3)
            surest = evaluations.surest(session, evaluation, limit=3)
        assert [prediction.image_id for prediction, _ in worst] == [p.image_id for p in wrong[::-1][:3]]
        assert all(prediction.label == prediction.predicted for prediction, _ in surest)

    @pytest.mark.parametrize("limit", [0, 501])
    def test_refuses_a_limit_that_is_no_limit(self, database: Database, evaluation: Evaluation, limit: int) -> None:
        with database.read() as session, pytest.raises(BadInputError, match="use 1 to 500"):
            evaluations.worst(session, evaluation, limit=limit)


def test_deleting_takes_the_predictions_along(database: Database, who: Identity, evaluation: Evaluation) -> None:
    with database.write() as session:
        evaluations.delete(session, who, session.get_one(Evaluation, evaluation.id))
    with database.read() as session:
        assert session.scalars(select(Prediction)).all() == []
