"""A study becomes jobs: all that it takes, none twice, and none where something does not fit."""

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError, ConflictError
from app.services import jobs, studies
from app.services.datasets import delete as delete_dataset
from app.services.identity import Identity
from app.services.studies import cancelling, estimating, planning
from models import Arm, Dataset, DatasetVersion, Job, JobKind, JobNeed, JobState, Mark, Study, StudyStep, SyntheticImage
from models.specs import StudySpec
from tests import factories
from tests.audit_data import audited

SMALL: dict[str, Any] = {
    "architectures": ["resnet10t"], "seeds": [0, 1], "diffusion": {"preset": "tiny", "image_size": 16, "num_steps": 4},
    "classifier": {"epochs": 1, "pretrained": False, "input_size": 32, "batch_size": 4},
    "explanations": None,
}  # fmt: skip


def spec_of(version: DatasetVersion, **options: Any) -> StudySpec:
    return StudySpec.model_validate({"dataset_id": version.dataset_id, **SMALL, **options})


def kinds(session: Session, study: Study) -> Counter[str]:
    return Counter(str(each.job.kind) for each in studies.progress(session, study).steps)


def step(session: Session, study: Study, name: str) -> StudyStep:
    return session.get_one(StudyStep, (study.id, name))


def finish(session: Session, who: Identity, study: Study) -> dict[str, int]:
    """The drawing of the study has ended, and its rows are there; returns {name of the step: id of its job}."""
    version = session.get_one(DatasetVersion, study.version_id)
    checkpoint = factories.checkpoint(session, who, version)
    made = factories.synthetic_set(session, who, checkpoint)
    audit = audited(session, who, made)
    for name, result in (
        ("diffusion", {"checkpoint_id": checkpoint.id}), ("samples", {"synthetic_set_id": made.id}),
        ("audit", {"audit_id": audit.id, "synthetic_set_id": audit.filtered_set_id}),
    ):  # fmt: skip
        job = session.get_one(Job, step(session, study, name).job_id)
        job.state, job.result = JobState.SUCCEEDED, result
    session.flush()
    return {each.step.name: each.job.id for each in studies.progress(session, study).steps}


class TestThePlan:
    def test_trains_and_tests_each_arm_network_and_seed_and_draws_once(self, session, who, version):
        study = studies.launch(session, who, spec_of(version))
        assert kinds(session, study) == {
            "train_diffusion": 1, "sample": 1, "audit_set": 1, "train_classifier": 4 * 2, "evaluate": 4 * 2,
        }  # fmt: skip
        answer = session.get_one(Job, study.answer_job_id)
        assert (answer.kind, answer.state) == (JobKind.SUMMARISE_STUDY, JobState.WAITING)

    def test_nothing_is_trained_or_tested_on_synthetic_images_before_their_copies_are_left_out(
        self, session, who, version
    ):
        options = {"arms": [*Arm], "diffusion": {**SMALL["diffusion"], "hflip": True}, "audit": {"level": 0.01}}
        study = studies.launch(session, who, spec_of(version, **options))
        audit = session.get_one(Job, step(session, study, "audit").job_id)
        assert (audit.spec["version_id"], audit.spec["mirrors"], audit.spec["level"]) == (
            version.id,
            ["left_right"],
            0.01,
        )
        needs = session.execute(
            select(JobNeed.needs_id, JobNeed.job_id).where(JobNeed.option == "synthetic_set_id")
        ).all()
        samples = step(session, study, "samples").job_id
        assert [need.job_id for need in needs if need.needs_id == samples] == [audit.id]
        assert len([need for need in needs if need.needs_id == audit.id]) == 2 * 2 + 2

    def test_draws_nothing_where_no_arm_needs_it(self, session, who, version):
        study = studies.launch(session, who, spec_of(version, arms=["real", "real_augmented"]))
        assert kinds(session, study) == {"train_classifier": 4, "evaluate": 4}

    def test_arms_differ_in_what_they_learn_and_in_nothing_else(self, session, who, version):
        study = studies.launch(
            session, who, spec_of(version, arms=[*Arm], diffusion={**SMALL["diffusion"], "train_share": 0.5, "hflip": True})
        )  # fmt: skip
        specs = {
            arm: session.get_one(Job, step(session, study, f"train/{arm}/resnet10t/{size}seed 0").job_id).spec
            for arm, size in (
                ("real", ""), ("real_equal", ""), ("synthetic", "size 1/"), ("real_plus_synthetic", "size 1/"), ("real_augmented", ""),
            )
        }  # fmt: skip
        own = {"train_on", "train_share", "synthetic_share", "augment", "hflip", "vflip", "name"}
        assert (
            len(
                {
                    str({k: v for k, v in spec.items() if k not in own and k != "synthetic_set_id"})
                    for spec in specs.values()
                }
            )
            == 1
        )
        assert {arm: (spec["train_on"], spec["train_share"], spec["augment"], spec["hflip"]) for arm, spec in specs.items()} == {
            "real": ("real", 1.0, "none", False), "real_equal": ("real", 0.5, "none", False),
            "synthetic": ("synthetic", 1.0, "none", False), "real_plus_synthetic": ("both", 0.5, "none", False),
            "real_augmented": ("real", 0.5, "light", True),
        }  # fmt: skip
        assert {spec["steps_per_epoch"] for spec in specs.values()} == {2}  # 8 real images learnt, in batches of 4

    def test_the_augmented_arm_has_the_augmentation_that_was_asked_for(self, session, who, version):
        learn = {**SMALL["classifier"], "augment": "light"}  # of all others
        study = studies.launch(
            session,
            who,
            spec_of(version, arms=["real_equal", "real_augmented"], classifier=learn, augmentation="strong"),
        )
        names = {arm: f"train/{arm}/resnet10t/seed 0" for arm in ("real_equal", "real_augmented")}
        augment = {
            arm: session.get_one(Job, step(session, study, name).job_id).spec["augment"] for arm, name in names.items()
        }
        assert augment == {"real_equal": "light", "real_augmented": "strong"}

    def test_sizes_share_one_set_of_which_smaller_ones_take_the_first_part(self, session, who, version):
        study = studies.launch(session, who, spec_of(version, sizes=[0.5, 2], arms=["real_equal", "synthetic"]))
        drawn = session.get_one(Job, step(session, study, "samples").job_id).spec["counts"]
        assert drawn == {"disc": 14, "ring": 14}  # twice the seven real ones
        shares = {
            size: session.get_one(
                Job, step(session, study, f"train/synthetic/resnet10t/size {size}/seed 0").job_id
            ).spec["synthetic_share"]
            for size in ("0.5", "2")
        }
        assert shares == {"0.5": 0.25, "2": 1.0}

    def test_real_networks_are_tested_on_synthetic_images_without_being_trained_again(self, session, who, version):
        study = studies.launch(session, who, spec_of(version, arms=["real_equal", "synthetic_test"], seeds=[0]))
        assert kinds(session, study) == {
            "train_diffusion": 1,
            "sample": 1,
            "audit_set": 1,
            "train_classifier": 1,
            "evaluate": 2,
        }
        alone = studies.launch(session, who, spec_of(version, arms=["synthetic_test"], seeds=[5]))
        assert kinds(session, alone) == {
            "train_diffusion": 1,
            "sample": 1,
            "audit_set": 1,
            "train_classifier": 1,
            "evaluate": 1,
        }

    def test_every_network_is_tested_on_external_datasets_as_well(self, session, who, version):
        other = factories.dataset_with_version(session, who, name="other", classes=["hoop", "blob"])
        external = {"elsewhere": {"dataset_id": other.dataset_id, "class_map": {"hoop": "ring", "blob": "disc"}}}
        study = studies.launch(
            session, who, spec_of(version, external=external, arms=["real_equal", "synthetic"], seeds=[0])
        )
        test = session.get_one(Job, step(session, study, "test/real_equal/resnet10t/seed 0/elsewhere").job_id)
        assert (test.spec["version_id"], test.spec["split"]) == (other.id, "all")
        assert test.spec["class_map"] == {"hoop": "ring", "blob": "disc"}


class TestUsingAgain:
    def test_a_second_study_does_nothing_that_the_first_does(self, session, who, version):
        first = studies.launch(session, who, spec_of(version))
        second = studies.launch(session, who, spec_of(version, name="again"))
        had = {each.job.id for each in studies.progress(session, first).steps}
        assert {each.job.id for each in studies.progress(session, second).steps} == had
        assert studies.progress(session, second).num_reused == len(had)

    def test_another_option_of_a_step_changes_it_and_all_that_need_it(self, session, who, version):
        first = studies.launch(session, who, spec_of(version))
        other = studies.launch(session, who, spec_of(version, sampling={"guidance": 3.0}))
        names = {each.step.name: each.step.is_reused for each in studies.progress(session, other).steps}
        assert names["diffusion"]
        assert names["train/real_equal/resnet10t/seed 0"]
        assert not names["samples"]
        assert not names["test/synthetic/resnet10t/size 1/seed 0/own"]
        assert first.answer_job_id != other.answer_job_id

    def test_a_set_of_which_images_were_rejected_is_drawn_anew(self, session, who, version):
        finish(session, who, studies.launch(session, who, spec_of(version)))
        assert studies.progress(session, studies.launch(session, who, spec_of(version))).num_reused == 19
        session.scalars(select(SyntheticImage)).first().mark = Mark.REJECTED
        session.flush()
        reused = {
            each.step.name
            for each in studies.progress(session, studies.launch(session, who, spec_of(version))).steps
            if each.step.is_reused
        }
        assert "diffusion" in reused
        assert "samples" not in reused

    def test_an_audit_is_done_anew_when_what_it_made_or_audited_is_not_as_it_was(self, session, who, version):
        jobs_of = finish(session, who, studies.launch(session, who, spec_of(version)))
        again = studies.launch(session, who, spec_of(version))
        assert step(session, again, "audit").is_reused
        filtered = session.get_one(Job, jobs_of["audit"]).result["synthetic_set_id"]
        kept = session.scalars(select(SyntheticImage).where(SyntheticImage.set_id == filtered)).first()
        kept.mark = Mark.REJECTED
        session.flush()
        third = studies.launch(session, who, spec_of(version))
        assert step(session, third, "samples").is_reused
        assert not step(session, third, "audit").is_reused

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
    def test_what_came_to_nothing_is_done_anew(self, session, who, version, state):
        first = studies.launch(session, who, spec_of(version))
        session.get_one(Job, step(session, first, "diffusion").job_id).state = state
        session.flush()
        second = studies.launch(session, who, spec_of(version))
        assert not step(session, second, "diffusion").is_reused

    def test_one_that_was_stopped_early_is_done_anew(self, session, who, version):
        first = studies.launch(session, who, spec_of(version))
        finish(session, who, first)
        job = session.get_one(Job, step(session, first, "diffusion").job_id)
        job.stop_requested_at = job.created_at
        session.flush()
        assert not step(session, studies.launch(session, who, spec_of(version)), "diffusion").is_reused

    def test_results_of_a_release_that_made_them_otherwise_are_not_taken_over(self, session, who, version, monkeypatch):
        studies.launch(session, who, spec_of(version))
        monkeypatch.setitem(planning.REVISIONS, JobKind.TRAIN_CLASSIFIER, 1000)
        later = studies.launch(session, who, spec_of(version))
        reused = {each.step.name for each in studies.progress(session, later).steps if each.step.is_reused}
        assert reused == {"diffusion", "samples", "audit"}


class TestWhatDoesNotFit:
    def test_leaks_are_refused_before_any_job_is_made(self, session, who, version):
        version.leaks = {"patients": 2, "identical": 0, "near": 0}
        session.flush()
        with pytest.raises(ConflictError, match="patients"):
            studies.launch(session, who, spec_of(version))
        assert session.scalars(select(Study)).all() == []
        accepted = spec_of(version, classifier={**SMALL["classifier"], "accept_leaks": True})
        assert studies.launch(session, who, accepted).id

    @pytest.mark.parametrize(("options", "says"), [
        ({"sampling": {"counts": {"cat": 3}}}, "sampling.counts names 'cat'"),
        ({"sampling": {"per_class": 100_000}, "sizes": [100]}, "at most 1,000,000"),
        ({"external": {"x": {"dataset_id": 999}}}, "no dataset 999"),
        ({"external": {"own": {"dataset_id": 999}}}, "cannot be called 'own'"),
        ({"classifier": {**SMALL["classifier"], "augment": "light"}}, "that arm would not differ"),
    ])  # fmt: skip
    def test_is_refused_in_words(self, session, who, version, options, says):
        with pytest.raises(Exception, match=says):
            studies.launch(session, who, spec_of(version, **options))

    @pytest.mark.parametrize("ask", [studies.launch, estimating.estimate])
    def test_each_network_has_to_be_one_of_timms(self, session, who, version, ask):
        spec = spec_of(version, architectures=["resnet10t", "resnet50.a1_in1k", "resnet5o"])
        with pytest.raises(BadInputError, match="'resnet5o' is not an architecture of timm") as refused:
            ask(session, who, spec)
        assert "resnet50" in refused.value.hint
        assert [each["pointer"] for each in refused.value.errors] == ["/architectures"]
        assert session.scalars(select(Job)).all() == []

    @pytest.mark.parametrize(("options", "says"), [
        ({"seeds": [0, 0]}, "seeds names one of its values twice"),
        ({"classifier": {"seed": 3}}, "classifier names seed, which the study itself decides"),
        ({"diffusion": {"image_size": 33}}, "diffusion: image_size 33 does not fit"),
        ({"sampling": {"synthetic_set_id": 3, "per_class": 2}}, "sampling names synthetic_set_id, which the study itself decides"),
        ({"audit": {"synthetic_set_id": 3}}, "audit names synthetic_set_id, which the study itself decides"),
        ({"audit": {"level": 0.5}}, "audit.level: Input should be less than or equal to 0.05"),
        ({"classifier": {"lr": -1}}, "classifier.lr: Input should be greater than 0"),
        ({"sampling": {"colour": "red"}}, "sampling.colour: Extra inputs"),
        ({"arms": []}, "arms"), ({"architectures": []}, "architectures"),
    ])  # fmt: skip
    def test_is_refused_before_a_database_is_asked(self, version, options, says):
        with pytest.raises(ValueError, match=says):
            spec_of(version, **options)


class TestEstimate:
    def test_counts_what_is_missing(self, session, who, version):
        asked = spec_of(version)
        whole = estimating.estimate(session, who, asked)
        assert (whole.num_jobs, whole.num_reused) == (19, 0)
        assert 0 < whole.seconds_low < whole.seconds_high
        studies.launch(session, who, asked)
        nothing = estimating.estimate(session, who, asked)
        assert (nothing.num_jobs, nothing.num_reused, nothing.seconds_high) == (19, 19, 0)
        more = estimating.estimate(session, who, spec_of(version, seeds=[0, 1, 2]))
        assert more.num_jobs - more.num_reused == 8
        assert more.seconds_high < whole.seconds_high

    def test_finds_tests_on_another_dataset_of_which_no_version_was_named(self, session, who, version):
        other = factories.dataset_with_version(session, who, name="other")
        asked = spec_of(version, external={"elsewhere": {"dataset_id": other.dataset_id}})
        studies.launch(session, who, asked)
        told = estimating.estimate(session, who, asked)
        assert told.num_reused == told.num_jobs


class TestTheEnd:
    def test_cancelling_leaves_what_another_study_needs(self, session, who, version):
        first = studies.launch(session, who, spec_of(version))
        second = studies.launch(session, who, spec_of(version, seeds=[1, 2]))
        cancelling.cancel(session, who, first)
        states = {each.step.name: each.job.state for each in studies.progress(session, first).steps}
        assert states["train/real_equal/resnet10t/seed 0"] == JobState.CANCELLED
        assert states["train/real_equal/resnet10t/seed 1"] == JobState.QUEUED
        assert states["diffusion"] == JobState.QUEUED
        assert session.get_one(Job, first.answer_job_id).state == JobState.CANCELLED
        assert studies.progress(session, second).state == "running"

    def test_a_job_that_is_tried_again_has_the_table_made_anew(self, session, who, version):
        study = studies.launch(session, who, spec_of(version))
        failed = session.get_one(Job, step(session, study, "train/real_equal/resnet10t/seed 0").job_id)
        failed.state = JobState.FAILED
        answer = session.get_one(Job, study.answer_job_id)
        answer.state = JobState.SUCCEEDED
        session.flush()
        jobs.retry(session, who, failed)
        assert study.answer_job_id != answer.id

    @pytest.mark.parametrize(("was", "becomes"), [
        (JobState.QUEUED, JobState.CANCELLED), (JobState.PAUSED, JobState.CANCELLED), (JobState.RUNNING, JobState.RUNNING),
        (JobState.WAITING, JobState.WAITING),
    ])  # fmt: skip
    def test_the_last_table_waits_for_a_job_that_is_tried_again(self, session, who, version, was, becomes):
        study = studies.launch(session, who, spec_of(version, arms=["real_equal"], seeds=[0, 1]))
        answer = session.get_one(Job, study.answer_job_id)
        steps = {each.step.name: each.job for each in studies.progress(session, study).steps}
        for job in steps.values():
            job.state, job.result = JobState.SUCCEEDED, {}
        failed = steps["test/real_equal/resnet10t/seed 1/own"]
        failed.state = JobState.FAILED
        answer.state = was
        session.flush()
        jobs.retry(session, who, failed)
        newest = session.get_one(Job, study.answer_job_id)
        assert (answer.state, newest.state) == (becomes, JobState.WAITING)
        assert (newest.id == answer.id) == (was == JobState.WAITING)

    def test_is_deleted_with_its_steps_and_not_with_its_jobs(self, session, who, version):
        study = studies.launch(session, who, spec_of(version))
        with pytest.raises(ConflictError, match="still running"):
            studies.delete(session, who, study)
        cancelling.cancel(session, who, study)
        assert studies.progress(session, study).state == "cancelled"
        studies.delete(session, who, study)
        session.flush()
        assert session.scalars(select(StudyStep)).all() == []
        assert session.scalars(select(Job)).first() is not None

    def test_a_dataset_is_kept_as_long_as_a_study_rests_on_it(self, session, who, version, storage):
        studies.launch(session, who, spec_of(version, arms=["real"]))
        with pytest.raises(ConflictError, match="1 studies"):
            delete_dataset(session, who, session.get_one(Dataset, version.dataset_id), storage=storage)


def test_equal_steps_have_equal_keys_whatever_they_are_called(version):
    one, other = (
        planning.step_keys(
            planning.steps(spec_of(version, name=name).model_copy(update={"version_id": version.id}), version)
        )
        for name in ("one", "other")
    )
    assert one == other
    assert len(set(one.values())) == len(one)
