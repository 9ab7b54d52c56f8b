"""Classifiers of the project: lists by dataset and by set, and what may be deleted."""

import pytest

from app.core.db import Database
from app.core.errors import ConflictError, NotFoundError
from app.services import classifiers
from app.services.identity import Identity
from models import Classifier
from tests import factories


@pytest.fixture
def classifier(database: Database, who: Identity) -> Classifier:
    with database.write() as session:
        return factories.classifier(session, who, factories.dataset_with_version(session, who, num_images=40))


def test_another_projects_is_as_if_it_were_not_there(database: Database, classifier: Classifier) -> None:
    with database.write() as session:
        stranger = factories.identity(session, "other")
        with pytest.raises(NotFoundError, match=f"There is no classifier {classifier.id}"):
            classifiers.get(session, stranger, classifier.id)


def test_can_be_listed_by_what_they_learnt_from(database: Database, who: Identity, classifier: Classifier) -> None:
    with database.write() as session:
        version = factories.dataset_with_version(session, who, name="other")
        drawn = factories.synthetic_set(session, who, factories.checkpoint(session, who, version))
        other = factories.classifier(session, who, version, synthetic_set_id=drawn.id, train_on="synthetic")
    with database.read() as session:
        assert [row.id for row in classifiers.listing(session, who).items] == [other.id, classifier.id]
        assert [row.id for row in classifiers.listing(session, who, synthetic_set_id=drawn.id).items] == [other.id]
        assert [row.id for row in classifiers.listing(session, who, dataset_id=version.dataset_id).items] == [other.id]
        assert classifiers.synthetic_set_of(session, classifier) is None
        assert classifiers.dataset_of(session, other).name == "other"


def test_is_not_deleted_while_an_evaluation_speaks_of_it(
    database: Database, who: Identity, classifier: Classifier
) -> None:
    with database.write() as session:
        factories.evaluation(session, who, classifier, {})
    with database.write() as session, pytest.raises(ConflictError, match="has 1 evaluations and 0 explanations"):
        classifiers.delete(session, who, session.get_one(Classifier, classifier.id))


def test_is_deleted_when_nothing_rests_on_it(database: Database, who: Identity, classifier: Classifier) -> None:
    with database.write() as session:
        classifiers.delete(session, who, session.get_one(Classifier, classifier.id))
    with database.read() as session:
        assert session.get(Classifier, classifier.id) is None
