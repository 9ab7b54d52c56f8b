"""A study's page says where its classifiers look, and marks the one that looks at the edge."""

from typing import Any

from sqlalchemy import delete, select

from app.services.identity import Identity
from models import Explanation, Job, JobKind, Study
from tests import factories
from tests.app.pages import study_data


def study(web: Any, who: Identity, **options: Any) -> int:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(
            session, who, name="hands & feet", num_images=60, storage=web.app.state.storage
        )
        made = study_data.launched(session, who, version, explanations={"num_images": 8}, **options)
        study_data.with_tests(session, who, made)
        study_data.answered(session, made)
        study_data.with_explanations(session, who, made, web.app.state.storage, num_images=8)
        return made.id


def test_images_stand_side_by_side_with_a_link_to_each_explanation(web: Any, who: Identity) -> None:
    shown = web.get(f"/studies/{study(web, who)}").text
    assert "Where the classifiers look" in shown
    with web.app.state.database.read() as session:
        told = session.scalars(select(Study)).one().answer["explanations"]
    assert len(told["images"]) == 8
    for image in told["images"]:
        for item_id in image["items"].values():
            assert f"item={item_id}" in shown
    assert shown.count('loading="lazy"') >= 16
    assert "Deletion area" in shown
    assert "sign flipping" in shown


def test_the_network_that_looks_at_the_edge_is_marked(web: Any, who: Identity) -> None:
    shown = web.get(f"/studies/{study(web, who)}").text
    assert shown.count("Shortcut?") == 1
    assert "Shortcut? Synthetic:" in shown
    assert "<strong>Real, equal budget:</strong> No more weight on the border" in shown


def test_a_small_p_of_the_overlap_is_not_shown_as_0(web: Any, who: Identity) -> None:
    study_id = study(web, who)
    with web.app.state.database.write() as session:
        row = session.get_one(Study, study_id)
        told = row.answer["explanations"]
        agreement = {**told["agreement"], "difference": -0.4, "low": -0.5, "high": -0.3, "p": 0.00006}
        row.answer = {**row.answer, "explanations": {**told, "agreement": agreement}}
    assert "[-0.500, -0.300]</span>, p &lt; 0.001." in web.get(f"/studies/{study_id}").text


def test_an_explanation_deleted_since_leaves_its_figures(web: Any, who: Identity) -> None:
    study_id = study(web, who)
    with web.app.state.database.write() as session:
        session.execute(delete(Explanation))
    shown = web.get(f"/studies/{study_id}").text
    assert "deleted since" in shown
    assert "Deletion area" in shown


def test_a_comparison_that_failed_says_why(web: Any, who: Identity) -> None:
    study_id = study(web, who)
    with web.app.state.database.write() as session:
        row = session.get_one(Study, study_id)
        told = {
            **row.answer["explanations"],
            "reason": "synthetic: Memory ran out.",
            "images": [],
            "summary": [],
            "agreement": None,
            "shortcut": {},
        }
        row.answer = {**row.answer, "explanations": told}
    shown = web.get(f"/studies/{study_id}").text
    assert "There is no comparison. synthetic: Memory ran out." in shown


def test_older_studies_have_no_such_section(web: Any, who: Identity) -> None:
    study_id = study(web, who)
    with web.app.state.database.write() as session:
        row = session.get_one(Study, study_id)
        row.answer = {"tables": row.answer["tables"]}
    shown = web.get(f"/studies/{study_id}")
    assert shown.status_code == 200
    assert "Where the classifiers look" not in shown.text


def test_the_form_asks_for_explanations_unless_they_are_unticked(web: Any, who: Identity) -> None:
    with web.app.state.database.write() as session:
        dataset_id = factories.dataset_with_version(session, who).dataset_id
    assert 'name="explanations" value="true" checked' in web.get("/studies/new").text
    form = {
        "dataset_id": dataset_id, "protocol": "studio", "arms": ["real_equal", "synthetic"], "architectures": "resnet10t",
        "seeds": "0", "sizes": "1", "preset": "tiny", "image_size": "16", "num_steps": "4", "action": "launch",
    }  # fmt: skip
    for ticked, number in (({"explanations": "true", "more": '{"explanations": {"num_images": 3}}'}, 2), ({}, 0)):
        assert web.post("/studies/new", data={**form, **ticked}, follow_redirects=False).status_code == 303
        with web.app.state.database.write() as session:
            jobs = session.scalars(select(Job).where(Job.kind == JobKind.EXPLAIN)).all()
            assert [len(job.spec["image_ids"]) for job in jobs] == [3] * number
            for job in jobs:
                job.kind = JobKind.CHECK_DATASET  # out of the way of the second form
