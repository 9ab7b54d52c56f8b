"""The pages of classifiers."""

from typing import Any

import pytest

from app.core.db import Database
from app.services.identity import Identity
from models import Classifier, TrainOn
from tests import factories
from tests.app.pages import results_data


@pytest.fixture
def classifier(database: Database, who: Identity) -> Classifier:
    """Trained on a synthetic set."""
    with database.write() as session:
        version = factories.dataset_with_version(session, who)
        drawn = factories.synthetic_set(session, who, factories.checkpoint(session, who, version))
        return factories.classifier(session, who, version, train_on=TrainOn.SYNTHETIC, synthetic_set_id=drawn.id)


class TestList:
    def test_says_how_to_get_a_first_classifier(self, web: Any) -> None:
        page = web.get("/classifiers").text
        assert "No classifier yet" in page
        assert 'href="/jobs/new/train_classifier"' in page

    def test_shows_the_last_test_with_its_interval(
        self, web: Any, database: Database, who: Identity, classifier: Classifier
    ) -> None:
        assert "not tested yet" in web.get("/classifiers").text
        report = results_data.report()
        with database.write() as session:
            evaluation = factories.evaluation(session, who, classifier, report)
        page = web.get("/classifiers").text
        accuracy = report["accuracy"]
        assert f'href="/evaluations/{evaluation.id}"' in page
        assert f"{accuracy['value']:.3f}" in page
        assert f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in page


class TestShow:
    def test_tells_what_it_learnt_from_and_where_it_started(self, web: Any, classifier: Classifier) -> None:
        page = web.get(f"/classifiers/{classifier.id}").text
        assert "14 synthetic images only" in page
        assert f'href="/synthetic-sets/{classifier.synthetic_set_id}"' in page
        assert f'href="/jobs/{classifier.job_id}"' in page
        assert classifier.sha256 in page

    def test_offers_to_evaluate_and_to_explain(self, web: Any, classifier: Classifier) -> None:
        page = web.get(f"/classifiers/{classifier.id}").text
        assert 'action="/jobs/new/evaluate"' in page
        assert f'name="classifier_id" value="{classifier.id}"' in page
        assert f'href="/explanations/new?classifier_id={classifier.id}"' in page


class TestChange:
    def test_renames_and_deletes(self, web: Any, classifier: Classifier) -> None:
        here = f"/classifiers/{classifier.id}"
        assert "<h1>lite</h1>" in web.post(f"{here}/rename", data={"name": "lite"}).text
        assert web.post(f"{here}/delete").url.path == "/classifiers"
        assert web.get(here).status_code == 404

    def test_is_kept_while_an_evaluation_is_about_it(
        self, web: Any, database: Database, who: Identity, classifier: Classifier
    ) -> None:
        with database.write() as session:
            factories.evaluation(session, who, classifier, results_data.report())
        assert web.post(f"/classifiers/{classifier.id}/delete").status_code == 409
