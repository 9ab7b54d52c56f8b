"""Studies in the browser: the form, what it refuses, and a table that fills as jobs end."""

import re
from typing import Any

import pytest
from sqlalchemy import select, update

from app.services.identity import Identity
from models import Arm, DatasetVersion, Image, Job, JobState, Study
from tests import factories, health_data
from tests.app.pages import study_data

FORM = {
    "protocol": "studio", "arms": ["real_equal", "synthetic"], "architectures": "resnet10t, mobilenetv2_100", "seeds": "0 1 2",
    "sizes": "1", "preset": "tiny", "image_size": "16", "num_steps": "4", "per_class": "5", "epochs": "1", "augment": "none",
    "action": "launch",
}  # fmt: skip


@pytest.fixture
def dataset_id(web: Any, who: Identity) -> int:
    with web.app.state.database.write() as session:
        return factories.dataset_with_version(session, who).dataset_id


def study(web: Any, who: Identity, *, ended: bool = True, answered: bool = True, but: int = 0, **options: Any) -> int:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, who, name="hands & feet")
        made = study_data.launched(session, who, version, **options)
        if ended:
            study_data.with_tests(session, who, made, but=but)
        if answered:
            study_data.answered(session, made)
        return made.id


class TestTheForm:
    def test_needs_a_dataset(self, web: Any) -> None:
        assert "A study needs a dataset" in web.get("/studies/new").text

    def test_launches_what_was_filled_in(self, web: Any, dataset_id: int) -> None:
        answer = web.post("/studies/new", data={**FORM, "dataset_id": dataset_id}, follow_redirects=False)
        assert answer.status_code == 303
        with web.app.state.database.read() as session:
            made = session.scalars(select(Study)).one()
            assert made.spec["architectures"] == ["resnet10t", "mobilenetv2_100"]
            assert made.spec["seeds"] == [0, 1, 2]
            assert made.spec["diffusion"]["image_size"] == 16
            assert made.spec["sampling"]["per_class"] == 5
            assert made.spec["classifier"]["pretrained"] is False
        assert web.get(answer.headers["location"]).status_code == 200

    def test_says_what_it_will_take_and_launches_nothing(self, web: Any, dataset_id: int) -> None:
        shown = web.post("/studies/new", data={**FORM, "dataset_id": dataset_id, "action": "estimate"})
        assert "27 jobs" in shown.text  # three of drawing, two of each of 2 x 2 x 3 cells
        assert "on one worker" in shown.text
        assert 'value="0 1 2"' in shown.text  # what was typed stays
        with web.app.state.database.read() as session:
            assert session.scalars(select(Job)).all() == []

    def test_takes_further_options_as_json(self, web: Any, dataset_id: int) -> None:
        more = '{"classifier": {"lr": 0.01}, "num_bootstrap": 500}'
        web.post("/studies/new", data={**FORM, "dataset_id": dataset_id, "more": more})
        with web.app.state.database.read() as session:
            spec = session.scalars(select(Study)).one().spec
        assert (spec["classifier"]["lr"], spec["classifier"]["epochs"], spec["num_bootstrap"]) == (0.01, 1, 500)

    def test_offers_other_datasets_to_test_on_once_there_is_one(self, web: Any, who: Identity, dataset_id: int) -> None:
        assert "Also test on" not in web.get("/studies/new").text
        with web.app.state.database.write() as session:
            factories.dataset_with_version(session, who, name="elsewhere", classes=["hoop", "blob"])
        shown = web.get("/studies/new").text
        assert "Also test on" in shown
        assert "Classes: hoop, blob." in shown

    @pytest.mark.parametrize(("classes", "typed", "class_map"), [
        (["disc", "ring"], "", None), (["ring", "disc"], "", {"ring": "ring", "disc": "disc"}),
        (["dust", "disc", "ring"], "", {"disc": "disc", "ring": "ring"}),
        (["hoop", "blob"], "hoop = ring,\nblob=disc,", {"hoop": "ring", "blob": "disc"}),
    ])  # fmt: skip
    def test_tests_on_the_datasets_that_are_ticked_by_their_classes(
        self, web: Any, who: Identity, dataset_id: int, classes: list[str], typed: str, class_map: dict[str, str] | None
    ) -> None:
        with web.app.state.database.write() as session:
            other = factories.dataset_with_version(session, who, name="own", classes=classes, num_images=30)
            factories.dataset_with_version(session, who, name="not ticked")
        options = {
            f"class_map-{other.dataset_id}": typed,
            f"accept_leaks-{other.dataset_id}": "true",
            "external": [str(other.dataset_id)],
        }
        answer = web.post("/studies/new", data={**FORM, "dataset_id": dataset_id, **options}, follow_redirects=False)
        assert answer.status_code == 303
        with web.app.state.database.read() as session:
            tests = session.scalars(select(Study)).one().spec["external"]
        assert tests == {f"dataset {other.dataset_id}": {
            "dataset_id": other.dataset_id, "version_id": other.id, "class_map": class_map, "accept_leaks": True,
        }}  # fmt: skip

    @pytest.mark.parametrize(("typed", "says"), [
        ("hoop", "Classes of elsewhere: &#39;hoop&#39; was given; write theirs=ours, apart by commas"),
        ("hoop=ring, hoop=disc", "each class once"), ("cat=ring, hoop=disc", "class_map names &#39;cat&#39;"),
        ("", "Say with class_map which class"),
    ])  # fmt: skip
    def test_keeps_what_was_typed_of_a_dataset_whose_classes_do_not_fit(
        self, web: Any, who: Identity, dataset_id: int, typed: str, says: str
    ) -> None:
        with web.app.state.database.write() as session:
            other = factories.dataset_with_version(session, who, name="elsewhere", classes=["hoop", "blob"]).dataset_id
        options = {"external": [str(other)], f"class_map-{other}": typed, f"accept_leaks-{other}": "true"}
        answer = web.post("/studies/new", data={**FORM, "dataset_id": dataset_id, **options})
        assert answer.status_code == 422
        assert says in answer.text
        assert f'name="external" value="{other}" checked' in answer.text
        assert f'name="class_map-{other}" value="{typed}"' in answer.text
        assert f'name="accept_leaks-{other}" value="true" checked' in answer.text
        assert f'name="external" value="{dataset_id}" checked' not in answer.text

    @pytest.mark.parametrize("ticked", ["own", "unknown", "none"])
    def test_refuses_to_test_on_the_studys_own_dataset_and_on_none(
        self, web: Any, dataset_id: int, ticked: str
    ) -> None:
        external = {"own": str(dataset_id), "unknown": "99", "none": "x"}[ticked]
        answer = web.post("/studies/new", data={**FORM, "dataset_id": dataset_id, "external": [external]})
        assert answer.status_code == 422
        assert ("own dataset is ticked" if ticked == "own" else "There is no dataset") in answer.text

    def test_says_before_launch_what_training_knows_of_another_dataset(
        self, web: Any, who: Identity, dataset_id: int
    ) -> None:
        with web.app.state.database.write() as session:
            other = factories.dataset_with_version(session, who, name="elsewhere")
            session.execute(update(Image).values(group="patient-1"))
        options = {"external": [str(other.dataset_id)], "action": "estimate"}
        answer = web.post("/studies/new", data={**FORM, "dataset_id": dataset_id, **options})
        assert answer.status_code == 422
        assert "hold the patients of 20, so that a test would measure memory" in answer.text

    def test_stops_the_diffusion_training_on_copies_if_asked(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            many = factories.dataset_with_version(session, who, num_images=260).dataset_id
            few = factories.dataset_with_version(session, who, name="few").dataset_id
        ticked = {**FORM, "stop_on_copies": "true"}
        refused = web.post("/studies/new", data={**ticked, "dataset_id": few})
        assert "validation images" in refused.text
        assert re.search(r'name="stop_on_copies" value="true" checked', refused.text)
        web.post("/studies/new", data={**ticked, "dataset_id": many})
        web.post("/studies/new", data={**FORM, "dataset_id": many})
        with web.app.state.database.read() as session:
            made = session.scalars(select(Study).order_by(Study.id)).all()
        assert [each.spec["diffusion"]["stop_on_copies"] for each in made] == [True, False]

    @pytest.mark.parametrize(("change", "says"), [
        ({"seeds": "one"}, "Seeds: &#39;one&#39; was given; write whole numbers, apart by commas."),
        ({"seeds": ""}, "Seeds: &#39;&#39; was given"),
        ({"image_size": "33"}, "image_size 33 does not fit"),
        ({"arms": []}, "arms: List should have at least 1 item"),
        ({"more": "{"}, "Further options are not JSON"),
        ({"more": "[1]"}, "Further options: write an object"),
        ({"more": '{"colour": 1}'}, "colour: Extra inputs are not permitted"),
        ({"dataset_id": "99"}, "There is no dataset 99."),
    ])  # fmt: skip
    def test_says_what_is_wrong_and_keeps_what_was_typed(
        self, web: Any, dataset_id: int, change: dict[str, Any], says: str
    ) -> None:
        answer = web.post("/studies/new", data={**FORM, "dataset_id": dataset_id, "name": "my study", **change})
        assert answer.status_code == 422
        assert says in answer.text
        assert 'value="my study"' in answer.text


class TestAStudy:
    def test_fills_its_table_as_jobs_end(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, answered=False, but=1)
        shown = web.get(f"/studies/{study_id}").text
        assert 'hx-trigger="every 3s"' in shown
        assert len(re.findall(r'href="/evaluations/\d+" title="seed \d">0\.\d{3}', shown)) == 6 * 2 - 1
        assert 'title="seed 1">failed' in shown

    def test_shows_intervals_and_tests_once_the_table_is_made(self, web: Any, who: Identity) -> None:
        shown = web.get(f"/studies/{study(web, who)}").text
        assert "hx-trigger" not in shown
        assert "Real, equal budget <span" in shown
        assert '<span class="tag">reference</span>' in shown
        assert "Synthetic ×\u00a00.5" in shown
        rows = 5  # all but the reference
        assert (
            len(re.findall(r'<span class="interval">\[[+-]\d', shown)) == 3 * rows
        )  # to the reference, and every test
        assert shown.count("McNemar&#39;s exact test and its mid-p") == shown.count("DeLong&#39;s variance") == 1
        assert "<li>Training: 1 epoch of " in shown
        assert "How these figures were made, n = 120 images" in shown

    @pytest.mark.parametrize("answered", [False, True])
    def test_marks_the_rows_of_which_training_had_seen_images(self, web: Any, who: Identity, answered: bool) -> None:
        study_id = study(web, who, answered=False)
        assert "leaking</strong>" not in web.get(f"/studies/{study_id}").text
        with web.app.state.database.write() as session:
            made = session.get_one(Study, study_id)
            study_data.leaking(session, made, arm="real_equal")
            if answered:
                study_data.answered(session, made)
        shown = web.get(f"/studies/{study_id}").text
        assert shown.count('<strong class="leaking">leaking</strong>') == 1
        assert re.search(r'Real, equal budget.{0,50} <strong class="leaking">leaking</strong>', shown)
        assert (
            "Real, equal budget. Training had seen the same picture as 3 (2 with identical pixels) and the patients of 5 of these images"
            in shown
        )

    def test_marks_them_in_the_tests_against_the_reference_too(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, answered=False)
        with web.app.state.database.write() as session:
            study_data.leaking(session, session.get_one(Study, study_id), arm="synthetic")
            study_data.answered(session, session.get_one(Study, study_id))
        assert web.get(f"/studies/{study_id}").text.count('<strong class="leaking">leaking</strong>') == 2 * 2
        report = web.get(f"/studies/{study_id}/report").text
        assert report.count('<strong class="leaking">leaking</strong>') == 3 * 2  # and among the further metrics
        assert report.count('<p class="leaking">') == 2

    def test_shows_interval_n_and_method_of_the_test_on_synthetic_images(self, web: Any, who: Identity) -> None:
        shown = web.get(f"/studies/{study(web, who, arms=['real_equal', 'synthetic_test'])}").text
        table = shown.split("on the synthetic images</h2>")[1].split("</section>")[0]
        assert len(re.findall(r'<span class="interval">\[0\.\d{3}, 0\.\d{3}\]</span>', table)) == 1
        assert "n = 40 images" in table
        assert "too wide rather than too narrow" in table

    def test_shows_how_far_a_model_comes_that_hardly_looks(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, answered=False)
        assert "The check of this version has not ended" in web.get(f"/studies/{study_id}").text
        with web.app.state.database.write() as session:
            health_data.give(session, who, session.get_one(DatasetVersion, session.get_one(Study, study_id).version_id))
        shown = web.get(f"/studies/{study_id}").text
        assert re.search(r"balanced accuracy 0\.\d{3}\s*<span class=\"interval\">\[0\.\d{3}", shown)

    def test_polls_for_the_live_part_alone(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, ended=False, answered=False)
        part = web.get(f"/studies/{study_id}", headers={"hx-request": "true"}).text
        assert part.lstrip().startswith('<div id="study-live"')
        assert "<html" not in part

    def test_says_why_there_is_no_table(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, but=12, answered=False)
        with web.app.state.database.write() as session:
            answer = session.get_one(Job, session.get_one(Study, study_id).answer_job_id)
            answer.state, answer.error = (
                JobState.FAILED,
                {"code": "x", "title": "t", "detail": "Nothing to compare.", "hint": ""},
            )
        assert "Nothing to compare." in web.get(f"/studies/{study_id}").text

    def test_is_extended_cancelled_and_deleted_by_buttons(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, ended=False, answered=False)
        web.post(f"/studies/{study_id}/extend", data={"seeds": "5", "sizes": "0.5, 2", "architectures": "resnet10t"})
        with web.app.state.database.read() as session:
            assert session.get_one(Study, study_id).spec["seeds"] == [0, 1, 5]
            assert sorted(session.get_one(Study, study_id).spec["sizes"]) == [0.5, 1, 2]
        web.post(f"/studies/{study_id}/cancel")
        assert "cancelled" in web.get(f"/studies/{study_id}").text
        assert web.post(f"/studies/{study_id}/delete", follow_redirects=False).headers["location"] == "/studies"
        assert web.get(f"/studies/{study_id}").status_code == 404

    def test_is_extended_by_the_arms_that_it_lacks(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, ended=False, answered=False)
        with web.app.state.database.read() as session:
            had = session.get_one(Study, study_id).spec["arms"]
        offered = re.findall(r'name="arms" value="(\w+)"', web.get(f"/studies/{study_id}").text)
        assert offered == [str(arm) for arm in Arm if arm not in had]
        web.post(f"/studies/{study_id}/extend", data={"arms": offered[:2]})
        with web.app.state.database.read() as session:
            assert session.get_one(Study, study_id).spec["arms"] == [*had, *offered[:2]]
        assert web.post(f"/studies/{study_id}/extend", data={"arms": ["imagined"]}).status_code == 422

    def test_says_what_is_wrong_with_further_seeds(self, web: Any, who: Identity) -> None:
        study_id = study(web, who, ended=False, answered=False)
        for asked, says in (
            ({"seeds": "one"}, "write whole numbers"), ({"seeds": "-1"}, "greater than or equal to 0"),
            ({"sizes": "big"}, "write numbers"), ({"sizes": "0"}, "greater than 0"),
        ):  # fmt: skip
            answer = web.post(f"/studies/{study_id}/extend", data=asked)
            assert (answer.status_code, says in answer.text) == (422, True)

    def test_of_another_project_does_not_exist(self, web: Any) -> None:
        with web.app.state.database.write() as session:
            stranger = factories.identity(session, "other")
            made = study_data.launched(
                session, stranger, factories.dataset_with_version(session, stranger, name="theirs")
            )
        assert web.get(f"/studies/{made.id}").status_code == 404


def test_the_lights_of_its_images_stand_above_the_tables(web: Any, who: Identity) -> None:
    shown = web.get(f"/studies/{study(web, who)}").text
    assert shown.index('class="lights"') < shown.index('class="study-table"')
    assert "Not releasable.</strong> The gate is stopped by " in shown
    assert re.search(
        r'<a href="/audits/\d+">Audit \d+</a> before anything was trained on them; 2.copies were left out', shown
    )


class TestTheList:
    def test_shows_how_far_each_is(self, web: Any, who: Identity) -> None:
        study_id = study(web, who)
        shown = web.get("/studies").text
        assert f'<a href="/studies/{study_id}">Study of hands &amp; feet</a>' in shown
        assert "27 of 27 done" in shown

    def test_helps_when_there_is_none(self, web: Any) -> None:
        assert "No study yet" in web.get("/studies").text
