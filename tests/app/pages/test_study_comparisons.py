"""A study run again by a button, and two of them side by side."""

import copy
import re
from typing import Any

import pytest
from sqlalchemy import select

from app.core.storage import Storage
from app.services import studies
from app.services.identity import Identity
from app.services.studies import reproducing
from models import Audit, DatasetVersion, Evaluation, Study
from tests import factories
from tests.app.pages import study_data


@pytest.fixture
def first(web: Any, who: Identity) -> int:
    """A study that has ended with its table."""
    with web.app.state.database.write() as session:
        made = study_data.launched(session, who, factories.dataset_with_version(session, who, name="hands & feet"))
        study_data.with_tests(session, who, made)
        study_data.answered(session, made)
        return made.id


def run_again(web: Any, who: Identity, first: int, *, ended: bool = True) -> int:
    with web.app.state.database.write() as session:
        made = reproducing.reproduce(session, who, session.get_one(Study, first))
        if ended:
            study_data.with_tests(session, who, made)
            study_data.answered(session, made)
        return made.id


class TestReproduce:
    def test_says_what_it_will_do_and_does_it_when_confirmed(self, web: Any, first: int) -> None:
        assert f'href="/studies/{first}/reproduce"' in web.get(f"/studies/{first}").text
        shown = web.get(f"/studies/{first}/reproduce").text
        assert "runs all 27 jobs again" in shown
        assert "on one worker" in shown
        answer = web.post(f"/studies/{first}/reproduce", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{first + 1}")
        shown = web.get(answer.headers["location"]).text
        assert f'It runs <a href="/studies/{first}">study {first}, Study of hands &amp; feet</a>, again' in shown
        assert "Once it has ended, it is compared" in shown
        assert f'<a href="/studies/{first + 1}">study {first + 1}</a>' in web.get(f"/studies/{first}").text

    def test_says_why_it_cannot_be_done(self, web: Any, who: Identity, first: int) -> None:
        again = run_again(web, who, first, ended=False)
        shown = web.get(f"/studies/{again}/reproduce")
        assert (shown.status_code, f"Study {again} is still running" in shown.text) == (200, True)
        assert "Run it again" not in shown.text
        assert web.post(f"/studies/{again}/reproduce").status_code == 409

    def test_the_verdict_stands_on_its_page(self, web: Any, who: Identity, first: int) -> None:
        again = run_again(web, who, first)
        shown = web.get(f"/studies/{again}").text
        assert re.search(r"All [\d,]+ figures are equal to the last digit\.", shown)
        assert f'href="/studies/compare?a={first}&amp;b={again}"' in shown


class TestCompare:
    def test_offers_two_studies_of_which_one_may_be_named(self, web: Any, who: Identity, first: int) -> None:
        assert "There is one only" in web.get("/studies/compare").text
        again = run_again(web, who, first)
        assert 'href="/studies/compare"' in web.get("/studies").text
        shown = web.get(f"/studies/compare?a={again}").text
        assert re.findall(r'<option value="(\d+)" selected', shown) == [str(again), str(first)]
        assert "Settings that differ" not in shown

    def test_shows_equal_figures_and_files(self, web: Any, who: Identity, first: int) -> None:
        shown = web.get(f"/studies/compare?a={first}&b={run_again(web, who, first)}").text
        assert re.search(r"All [\d,]+ figures are equal to the last digit\.", shown)
        assert "None: all settings are the same." in shown
        assert "all equal to the last digit" in shown
        assert "differs</span>" not in shown.split("What the steps made")[0]
        assert shown.count("same bytes</span>") >= 1
        num_lines = 6 * (3 + 2) + 5 * 3 + 17  # means and seeds; to the reference; audit
        assert len(re.findall("equal</span>", shown)) == num_lines

    def test_shows_audit_gate_and_explanations_with_links(self, web: Any, who: Identity, storage: Storage) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who, num_images=60, storage=storage)
            a = study_data.launched(session, who, version, explanations={"num_images": 4})
            made = [a, None]
            for place in range(2):
                study = made[place] or reproducing.reproduce(session, who, a)
                study_data.with_tests(session, who, study)
                study_data.answered(session, study)
                study_data.with_explanations(session, who, study, storage)
                made[place] = study
            audit = session.scalars(select(Audit).order_by(Audit.id.desc())).first()
            told = copy.deepcopy(audit.report)
            told["fidelity"]["extractors"][0]["whole"]["fid"]["synthetic"]["value"] += 2
            audit.report, audit_id, ids = told, audit.id, [study.id for study in made]
        shown = web.get(f"/studies/compare?a={ids[0]}&b={ids[1]}").text
        assert re.search(r"1 of [\d,]+ figures differ: 1 of the audits and lights\.", shown)
        _, audited, explained = re.split(r"<h2 id=\"evidence-\d\">", shown)
        assert audited.startswith("Audit of the synthetic images, size 1</h2>")
        assert f'href="/audits/{audit_id}">Audit {audit_id}</a>' in audited
        assert '<th scope="rowgroup" colspan="5">Release gate</th>' in audited
        assert '<span class="light-word">green</span>' in audited
        assert re.search(r'FID</th>.*<td class="num">\+2</td><td><span class="state state-paused">', audited)
        assert "<code>audit.fidelity.extractors.tf_efficientnet_lite0.whole.fid.synthetic.value</code>" in audited
        assert re.search(r'href="/explanations/\d+">Real, equal budget, seed 0</a>', explained)
        for name in ("Deletion area", "Agreement of the arms", "Second arm minus first"):
            assert name in explained

    def test_says_which_study_has_no_audit_and_that_neither_explains(self, web: Any, who: Identity, first: int) -> None:
        again = run_again(web, who, first)
        with web.app.state.database.write() as session:
            session.delete(session.scalars(select(Audit).order_by(Audit.id.desc())).first())
        shown = web.get(f"/studies/compare?a={first}&b={again}").text
        assert f"Only study {first} has an audit of size 1, so nothing is compared." in shown
        assert f'<a href="/studies/{again}">Study {again}</a>: It was deleted.' in shown
        assert "Neither study has explanations, so nothing is compared." in shown

    def test_shows_which_differ_and_by_how_much(self, web: Any, who: Identity, first: int) -> None:
        again = run_again(web, who, first)
        with web.app.state.database.write() as session:
            row = session.scalars(select(Evaluation).order_by(Evaluation.id.desc())).first()
            figure = row.report["balanced_accuracy"]
            row.report = {**row.report, "balanced_accuracy": {**figure, "value": figure["value"] + 0.125}}
            study = session.get_one(Study, again)
            study.spec = {**study.spec, "diffusion": {**study.spec["diffusion"], "seed": 9}}
        shown = web.get(f"/studies/compare?a={first}&b={again}").text
        assert re.search(r"1 of [\d,]+ figures differ, by at most 0\.12", shown)
        assert "<code>diffusion.seed</code></th><td>0</td><td>9</td>" in shown
        assert re.search(r'<td>Real, augmented, seed 1</td><th scope="row"><code>balanced_accuracy\.value', shown)
        assert "+0.12" in shown

    def test_shows_what_they_ran_with_where_that_differs(self, web: Any, who: Identity, first: int) -> None:
        again = run_again(web, who, first)
        path = f"/studies/compare?a={first}&b={again}"
        with web.app.state.database.write() as session:
            for study_id, threads in ((first, "1"), (again, "2")):
                for each in studies.progress(session, session.get_one(Study, study_id)).steps:
                    each.job.ran_with = {"device": "cpu (2 cores)", "threads": threads}
        page = web.get(path).text
        assert "What they ran with" in page
        assert "<code>threads</code></th><td>1</td><td>2</td>" in page
        assert "<code>device</code>" not in page
        told = web.get(f"/api/v1/studies/{first}/comparison/{again}").json()["ran_with"]
        assert told == [{"name": "threads", "a": "1", "b": "2"}]

    def test_of_other_data_stands_side_by_side_with_both_manifests(self, web: Any, who: Identity, first: int) -> None:
        with web.app.state.database.write() as session:
            other = study_data.launched(session, who, factories.dataset_with_version(session, who, name="others"))
            study_data.with_tests(session, who, other)
            study_data.answered(session, other)
            manifests = [row.manifest_sha256[:12] for row in session.scalars(select(DatasetVersion))]
        shown = web.get(f"/studies/compare?a={first}&b={other.id}").text
        assert "They were tested on different images" in shown
        for manifest in manifests:
            assert f"manifest {manifest}" in shown

    def test_before_there_is_a_table_says_so(self, web: Any, who: Identity, first: int) -> None:
        again = run_again(web, who, first, ended=False)
        assert f"Study {again} has no table yet" in web.get(f"/studies/compare?a={first}&b={again}").text

    def test_refuses_what_is_no_pair(self, web: Any, first: int) -> None:
        assert web.get(f"/studies/compare?a={first}&b={first}").status_code == 422
        assert web.get(f"/studies/compare?a={first}&b=99").status_code == 404
        assert web.get("/studies/compare?a=&b=").status_code == 200
