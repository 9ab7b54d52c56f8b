"""Jobs beside each other."""

from typing import Any

import pytest

from app.core.db import Database
from app.services.identity import Identity
from models import JobKind, JobState, Metric
from tests import factories
from tests.app.pages import results_data

SPEC = {"kind": "train_diffusion", "preset": "tiny", "num_steps": 300, "seed": 0, "lr": 0.001}


@pytest.fixture
def pair(database: Database, who: Identity) -> list[int]:
    """Two trainings that differ in seed and lr; the second has points at other steps."""
    with database.write() as session:
        first = factories.job(session, who, spec=SPEC, state=JobState.SUCCEEDED, title="first")
        second = factories.job(session, who, spec={**SPEC, "seed": 1, "lr": 0.002}, title="second")
        session.add_all(
            Metric(job_id=first.id, name="loss", step=step, value=value) for step, value in ((1, 0.9), (3, 0.5))
        )
        session.add_all(
            Metric(job_id=second.id, name="loss", step=step, value=value) for step, value in ((1, 0.8), (2, 0.4))
        )
        return [first.id, second.id]


def test_offers_jobs_to_tick_when_none_is_named(web: Any, pair: list[int]) -> None:
    page = web.get("/compare").text
    assert "Tick the jobs to compare." in page
    assert page.count('name="jobs"') == 2


def test_says_that_there_is_nothing_to_compare(web: Any) -> None:
    assert "There is no job yet" in web.get("/compare").text


@pytest.mark.parametrize("form", ["jobs={0},{1}", "jobs={0}&jobs={1}"])
def test_shows_only_the_settings_that_differ(web: Any, pair: list[int], form: str) -> None:
    page = web.get(f"/compare?{form.format(*pair)}").text
    section = page[page.index('id="differences-title"') : page.index('id="curves-title"')]
    assert "<td>0.001</td><td>0.002</td>" in section
    assert ">seed</code>" in section
    assert ">preset</code>" not in section
    assert "3 settings are the same in all." in section  # kind, preset, num_steps


def test_puts_curves_on_one_axis(web: Any, pair: list[int]) -> None:
    found = web.get(f"/compare/curves?jobs={pair[0]},{pair[1]}").json()
    assert found["curves"] == [{"name": "loss", "steps": [1, 2, 3], "series": [[0.9, None, 0.5], [0.8, 0.4, None]]}]


def test_tells_the_curves_in_numbers(web: Any, pair: list[int]) -> None:
    page = web.get(f"/compare?jobs={pair[0]},{pair[1]}").text
    assert "0.9 → 0.5" in page
    assert "least 0.4, 2 points" in page


def test_shows_evaluations_with_intervals(web: Any, database: Database, who: Identity) -> None:
    with database.write() as session:
        version = factories.dataset_with_version(session, who)
        report = results_data.report()
        evaluation = factories.evaluation(session, who, factories.classifier(session, who, version), report)
        job = factories.job(
            session, who, JobKind.EVALUATE, state=JobState.SUCCEEDED, result={"evaluation_id": evaluation.id}
        )
    page = web.get(f"/compare?jobs={job.id}").text
    assert f"{report['accuracy']['value']:.3f}" in page
    assert f"[{report['accuracy']['low']:.3f}, {report['accuracy']['high']:.3f}]" in page


@pytest.mark.parametrize(("query", "status"), [("jobs=x", 422), ("jobs=999", 404), ("jobs=1,2,3,4,5,6,7,8,9", 422)])
def test_refuses_what_cannot_be_compared(web: Any, query: str, status: int) -> None:
    assert web.get(f"/compare?{query}").status_code == status
