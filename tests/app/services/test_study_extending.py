"""A study that was launched is widened: by networks, seeds, arms, and sizes of its synthetic sets, smaller and larger."""

from collections import Counter

import pytest
from sqlalchemy import select

from app.core.errors import BadInputError, ConflictError
from app.services import jobs, studies
from app.services.studies import explaining, launching, planning, reporting, reproducing
from models import Image, Job, JobKind, JobNeed, JobState, Mark, SyntheticImage
from models.specs import StudySpec
from tests.app.services.test_studies import finish, kinds, spec_of, step


def test_adds_what_is_new_and_makes_the_table_anew(session, who, version):
    study = studies.launch(session, who, spec_of(version))
    before, table = {each.job.id for each in studies.progress(session, study).steps}, study.answer_job_id
    studies.extend(session, who, study, {"seeds": [1, 2], "arms": ["real"]})
    after = {each.job.id for each in studies.progress(session, study).steps}
    assert before < after
    assert kinds(session, study)["train_classifier"] == 5 * 3
    assert study.spec["seeds"] == [0, 1, 2]
    assert study.answer_job_id != table
    assert session.get_one(Job, table).state == JobState.CANCELLED


def test_a_larger_size_is_a_further_set_that_continues_the_one_there_is(session, who, version):
    study = studies.launch(session, who, spec_of(version, explanations={}))
    before = {each.step.name: each.job.id for each in studies.progress(session, study).steps}
    studies.extend(session, who, study, {"sizes": [0.5, 2]})
    after = {each.step.name: each.job for each in studies.progress(session, study).steps}
    assert {name: after[name].id for name in before} == before
    assert Counter(after[name].kind for name in after.keys() - before.keys()) == {
        "sample": 1, "audit_set": 1, "train_classifier": 2 * 2 * 2, "evaluate": 2 * 2 * 2,
    }  # fmt: skip
    needs = {
        (need.job_id, need.option): need.needs_id
        for need in session.scalars(select(JobNeed).where(JobNeed.option.in_(["checkpoint_id", "synthetic_set_id"])))
    }
    further, audit = after["samples/size 2"], after["audit/size 2"]
    assert needs[further.id, "checkpoint_id"] == before["diffusion"]
    assert needs[further.id, "synthetic_set_id"] == before["samples"]
    assert needs[audit.id, "synthetic_set_id"] == further.id
    learnt = {size: after[f"train/synthetic/resnet10t/size {size}/seed 0"] for size in ("0.5", "1", "2")}
    assert {size: needs[job.id, "synthetic_set_id"] for size, job in learnt.items()} == {
        "0.5": before["audit"], "1": before["audit"], "2": audit.id,
    }  # fmt: skip
    assert {size: job.spec["synthetic_share"] for size, job in learnt.items()} == {"0.5": 0.5, "1": 1.0, "2": 1.0}
    total = {name: sum(after[name].spec["counts"].values()) for name in ("samples", "samples/size 2")}
    assert total["samples/size 2"] == 2 * total["samples"]


def test_a_study_of_both_sizes_draws_what_an_extended_one_drew_and_so_draws_nothing(session, who, version):
    study = studies.launch(session, who, spec_of(version))
    studies.extend(session, who, study, {"sizes": [2]})
    other = studies.launch(session, who, spec_of(version, sizes=[1, 2]))
    assert step(session, other, "samples").job_id == step(session, study, "samples/size 2").job_id
    assert step(session, other, "audit").job_id == step(session, study, "audit/size 2").job_id


def test_what_is_added_later_learns_the_sets_that_are_there(session, who, version):
    study = studies.launch(session, who, spec_of(version, arms=["real_equal"], seeds=[0]))
    studies.extend(session, who, study, {"sizes": [2], "arms": ["synthetic"]})
    assert launching.drawn_sizes(session, study) == [2]
    studies.extend(session, who, study, {"sizes": [4, 3]})
    studies.extend(session, who, study, {"sizes": [3.5], "seeds": [1]})
    assert launching.drawn_sizes(session, study) == [2, 4]
    trained = session.get_one(Job, step(session, study, "train/synthetic/resnet10t/size 3.5/seed 1").job_id)
    assert trained.spec["synthetic_share"] == 3.5 / 4
    assert kinds(session, study)["sample"] == 2


def test_run_again_it_draws_the_same_sets(session, who, version):
    study = studies.launch(session, who, spec_of(version))
    studies.extend(session, who, study, {"sizes": [2]})
    steps = studies.progress(session, study).steps
    for job in {each.job for each in steps} | {session.get_one(Job, study.answer_job_id)}:
        job.state = JobState.SUCCEEDED
    study.answer = {"tables": []}
    session.flush()
    again = reproducing.reproduce(session, who, study)
    assert {each.step.name for each in studies.progress(session, again).steps} == {each.step.name for each in steps}
    assert launching.drawn_sizes(session, again) == [1, 2]
    assert "# Sets of the sizes 1, 2 were drawn one after another" in reporting.recipe_of(session, study)


def test_refuses_a_study_whose_classifiers_learnt_images_that_nobody_audited(session, who, version):
    study = studies.launch(session, who, spec_of(version))
    session.delete(step(session, study, "audit"))
    session.flush()
    with pytest.raises(ConflictError, match="before synthetic images were audited"):
        studies.extend(session, who, study, {"seeds": [7]})


def test_refuses_a_study_whose_classifiers_an_earlier_release_trained_otherwise(session, who, version, monkeypatch):
    study = studies.launch(session, who, spec_of(version, seeds=[0], arms=["real_equal"]))
    spec, before = dict(study.spec), {each.step.name for each in studies.progress(session, study).steps}
    monkeypatch.setitem(planning.REVISIONS, JobKind.TRAIN_CLASSIFIER, 1000)
    with pytest.raises(ConflictError, match=r"an earlier release made 2 of its 2 steps.*train/real_equal") as refused:
        studies.extend(session, who, study, {"seeds": [1]})
    assert "Launch a new study" in refused.value.hint
    assert (study.spec, {each.step.name for each in studies.progress(session, study).steps}) == (spec, before)


def test_goes_on_from_steps_of_other_studies_and_from_steps_that_were_tried_again_or_made_anew(session, who, version):
    first = studies.launch(session, who, spec_of(version))
    finish(session, who, first)
    failed = session.get_one(Job, step(session, first, "train/real_equal/resnet10t/seed 0").job_id)
    failed.state = JobState.FAILED
    session.scalars(select(SyntheticImage)).first().mark = Mark.REJECTED
    session.flush()
    second = studies.launch(session, who, spec_of(version, name="again"))
    assert {step(session, second, name).is_reused for name in ("diffusion", "samples")} == {True, False}
    jobs.retry(session, who, failed)
    studies.extend(session, who, second, {"architectures": ["vgg11"], "seeds": [9], "sizes": [3]})
    assert kinds(session, second)["train_classifier"] == 2 * 3 * (2 + 2 * 2)


def test_explains_the_images_that_it_explained_although_others_would_be_chosen_now(session, who, version):
    study = studies.launch(session, who, spec_of(version, seeds=[0], explanations={"num_images": 2}))
    before = explaining.images_of(session, study)
    first, asked = session.get_one(Image, before[0]), StudySpec.model_validate(study.spec)
    for pixels in map(str, range(100)):  # until its place in the draw is another
        first.pixel_sha256 = pixels
        session.flush()
        if (now := explaining.chosen_images(session, asked, version)) != before:
            break
    assert now != before
    studies.extend(session, who, study, {"seeds": [1]})
    explained = [
        each.job.spec["image_ids"]
        for each in studies.progress(session, study).steps
        if "explained_on" in each.step.cell
    ]
    assert explained == [before] * 4


@pytest.mark.parametrize(("asked", "says"), [
    ({"seeds": [-1]}, "greater than or equal to 0"), ({"sizes": [0]}, "greater than 0"), ({"arms": ["imagined"]}, "Input should be"),
    ({"seeds": list(range(60))}, "at most 50"), ({"architectures": [""]}, "at least 1 character"),
])  # fmt: skip
def test_refuses_values_out_of_range_in_words(session, who, version, asked, says):
    study = studies.launch(session, who, spec_of(version))
    with pytest.raises(BadInputError, match=says):
        studies.extend(session, who, study, asked)


def test_refuses_a_further_network_that_timm_does_not_know_but_not_those_of_the_study(session, who, version):
    study = studies.launch(session, who, spec_of(version))
    study.spec = {**study.spec, "architectures": ["resnet9000"]}  # as before names were checked
    studies.extend(session, who, study, {"seeds": [7]})
    with pytest.raises(BadInputError, match="'vgg9000' is not an architecture"):
        studies.extend(session, who, study, {"architectures": ["vgg9000"]})


def test_refuses_what_is_no_axis_of_the_table(session, who, version):
    study = studies.launch(session, who, spec_of(version))
    with pytest.raises(BadInputError, match="cannot be extended by diffusion"):
        studies.extend(session, who, study, {"diffusion": {}})
