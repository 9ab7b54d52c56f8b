"""The page of an evaluation: figures with intervals, and the images behind the cells."""

import re
from typing import Any

import pytest

from app.core.db import Database
from app.services.identity import Identity
from models import Evaluation
from tests import factories
from tests.app.pages import results_data


@pytest.fixture
def evaluation(database: Database, who: Identity) -> Evaluation:
    """On 40 test images of 200: every third is predicted wrongly, 14 in all."""
    with database.write() as session:
        version = factories.dataset_with_version(session, who, num_images=200)
        classifier = factories.classifier(session, who, version)
        report = results_data.report(40) | {"confusion_matrix": [[13, 7], [7, 13]]}
        return factories.evaluation(session, who, classifier, report)


def shown(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'class="shot" data-id="(\d+)"', page)]


class TestList:
    def test_says_what_an_evaluation_is_for(self, web: Any) -> None:
        assert "No evaluation yet" in web.get("/evaluations").text

    def test_shows_accuracy_with_its_interval(self, web: Any, evaluation: Evaluation) -> None:
        page = web.get("/evaluations").text
        accuracy = evaluation.report["accuracy"]
        assert f'href="/evaluations/{evaluation.id}"' in page
        assert f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in page


class TestFigures:
    def test_each_headline_has_value_interval_and_n(self, web: Any, evaluation: Evaluation) -> None:
        page = web.get(f"/evaluations/{evaluation.id}").text
        for name in ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "auroc", "ece"):
            entry = evaluation.report[name]
            assert f"{entry['value']:.3f}" in page
            assert f"interval {entry['low']:.3f} to {entry['high']:.3f}" in page
        assert page.count("n&nbsp;=&nbsp;40") == 7

    def test_a_figure_that_is_missing_says_why(
        self, web: Any, database: Database, who: Identity, evaluation: Evaluation
    ) -> None:
        with database.write() as session:
            row = session.get_one(Evaluation, evaluation.id)
            missing = {"value": None, "low": None, "high": None, "reason": "All test images are of class 0."}
            row.report = {**row.report, "auroc": missing}
        page = web.get(f"/evaluations/{evaluation.id}").text
        assert "All test images are of class 0." in page
        assert "not computed" in page

    def test_the_method_is_told_in_words(self, web: Any, evaluation: Evaluation) -> None:
        page = " ".join(web.get(f"/evaluations/{evaluation.id}").text.split())
        assert "score intervals with the spread of 200 bootstrap resamples" in page
        assert "over single images, because neither patients nor look-alikes are known; seed 0" in page

    def test_curves_have_a_summary_and_a_table(self, web: Any, evaluation: Evaluation) -> None:
        page = web.get(f"/evaluations/{evaluation.id}").text
        assert 'aria-labelledby="roc-name roc-text"' in page
        assert "Sensitivity at a specificity of" in page
        assert 'aria-labelledby="reliability-name reliability-text"' in page


class TestCells:
    def test_the_matrix_links_each_cell_to_its_images(self, web: Any, evaluation: Evaluation) -> None:
        page = web.get(f"/evaluations/{evaluation.id}").text
        cells = re.findall(rf'href="/evaluations/{evaluation.id}\?label=(\d)&amp;predicted=(\d)#images"', page)
        assert cells == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
        assert "<b>13</b>" in page
        assert "65 %" in page  # 13 of 20

    def test_a_cell_shows_only_its_images(self, web: Any, evaluation: Evaluation) -> None:
        page = web.get(f"/evaluations/{evaluation.id}", params={"label": 0, "predicted": 1}).text
        cell = page[page.index('id="images"') : page.index("By class")]
        assert "True class disc, predicted ring" in cell
        assert len(shown(cell)) == 7
        assert cell.count("<dt>True class</dt><dd>disc</dd>") == 7

    @pytest.mark.parametrize("query", ["label=2", "predicted=-1", "label=x"])
    def test_refuses_cells_that_are_not_there(self, web: Any, evaluation: Evaluation, query: str) -> None:
        assert web.get(f"/evaluations/{evaluation.id}?{query}").status_code == 422

    def test_worst_mistakes_are_all_wrong(self, web: Any, evaluation: Evaluation) -> None:
        page = web.get(f"/evaluations/{evaluation.id}").text
        worst = page[page.index("Worst mistakes") :]
        assert len(shown(worst)) == 12
        assert worst.count("(wrong)") == 12


def test_deletes(web: Any, evaluation: Evaluation) -> None:
    assert web.post(f"/evaluations/{evaluation.id}/delete").url.path == "/evaluations"
    assert web.get(f"/evaluations/{evaluation.id}").status_code == 404
