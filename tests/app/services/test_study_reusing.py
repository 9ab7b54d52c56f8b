"""What a study takes of what is there rests on the very jobs that it takes, and what is lost of it is seen."""

import threading
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.db import Database
from app.core.errors import BadInputError, ConflictError
from app.services import jobs, studies
from app.services.identity import Identity
from app.services.studies import cancelling, estimating, explaining, planning, reproducing
from models import Classifier, DatasetVersion, Evaluation, Image, Job, JobKind, JobState, Mark, Study, SyntheticImage
from models.specs import StudySpec
from models.specs.study import FIXED
from tests import factories
from tests.app.pages import study_data
from tests.app.services.test_studies import finish, spec_of, step

OF_REAL_IMAGES = {
    f"{what}/{arm}/resnet10t/seed {seed}{tested}"
    for arm in ("real_equal", "real_augmented") for seed in (0, 1) for what, tested in (("train", ""), ("test", "/own"))
}  # fmt: skip


def reused(session: Session, study: Study) -> set[str]:
    return {each.step.name for each in studies.progress(session, study).steps if each.step.is_reused}


def job(session: Session, study: Study, name: str) -> Job:
    return session.get_one(Job, step(session, study, name).job_id)


def ended(session: Session, who: Identity, version: DatasetVersion, **options: Any) -> Study:
    """A study whose every job has given what it should."""
    study = studies.launch(session, who, spec_of(version, **options))
    finish(session, who, study)
    for each in studies.progress(session, study).steps:
        if each.job.kind == JobKind.TRAIN_CLASSIFIER:
            made = factories.classifier(session, who, version)
            each.job.state, each.job.result = JobState.SUCCEEDED, {"classifier_id": made.id}
        if each.job.kind == JobKind.EVALUATE:
            tested = factories.evaluation(session, who, factories.classifier(session, who, version), {})
            each.job.state, each.job.result = JobState.SUCCEEDED, {"evaluation_id": tested.id}
    session.get_one(Job, study.answer_job_id).state = JobState.SUCCEEDED
    study.answer = {"tables": []}
    session.flush()
    return study


class TestTaking:
    def test_all_of_a_study_that_has_ended(self, session, who, version):
        first = ended(session, who, version)
        assert len(reused(session, studies.launch(session, who, spec_of(version)))) == 19
        assert studies.progress(session, first).num_reused == 0

    def test_nothing_that_rests_on_a_training_that_was_stopped_early(self, session, who, version):
        first = ended(session, who, version)
        stopped = job(session, first, "diffusion")
        stopped.stop_requested_at = stopped.created_at
        session.flush()
        told = estimating.estimate(session, who, spec_of(version))
        assert reused(session, studies.launch(session, who, spec_of(version))) == OF_REAL_IMAGES
        assert told.num_reused == len(OF_REAL_IMAGES)

    def test_nothing_that_has_learnt_a_set_of_which_images_were_rejected_since(self, session, who, version):
        ended(session, who, version)
        session.scalars(select(SyntheticImage)).first().mark = Mark.REJECTED
        session.flush()
        again = studies.launch(session, who, spec_of(version))
        assert reused(session, again) == {"diffusion"} | OF_REAL_IMAGES

    def test_nothing_that_waits_for_a_training_that_is_being_cancelled(self, session, who, version):
        first = studies.launch(session, who, spec_of(version))
        training = job(session, first, "diffusion")
        training.state = JobState.RUNNING
        session.flush()
        jobs.cancel(session, who, training)
        assert job(session, first, "samples").state == JobState.WAITING
        assert reused(session, studies.launch(session, who, spec_of(version))) == OF_REAL_IMAGES

    def test_the_training_on_which_most_rests_and_not_that_of_a_run_that_was_given_up(self, session, who, version):
        first = ended(session, who, version)
        given_up = reproducing.reproduce(session, who, first)
        trained = job(session, given_up, "diffusion")
        trained.state, trained.result = JobState.SUCCEEDED, job(session, first, "diffusion").result
        session.flush()
        cancelling.cancel(session, who, given_up)
        studies.delete(session, who, given_up)
        assert len(reused(session, studies.launch(session, who, spec_of(version)))) == 19


class TestExtending:
    def test_is_refused_when_the_set_that_was_learnt_is_another_now(self, session, who, version):
        study = ended(session, who, version)
        learnt = job(session, study, "audit").result["synthetic_set_id"]
        session.scalars(select(SyntheticImage).where(SyntheticImage.set_id == learnt)).first().mark = Mark.REJECTED
        session.flush()
        with pytest.raises(ConflictError, match="images of it were rejected") as refused:
            studies.extend(session, who, study, {"seeds": [2]})
        assert "Launch a new study" in refused.value.hint
        assert study.spec["seeds"] == [0, 1]

    def test_is_refused_for_a_study_that_was_cancelled(self, session, who, version):
        study = studies.launch(session, who, spec_of(version))
        cancelling.cancel(session, who, study)
        with pytest.raises(ConflictError, match=r"job \d+ \(Audit of the images of shapes\) was cancelled"):
            studies.extend(session, who, study, {"seeds": [2]})

    def test_needs_no_network_that_nothing_new_is_drawn_with(self, session, who, version):
        study = ended(session, who, version)
        made = job(session, study, "diffusion")
        made.result = {"checkpoint_id": 10_000}  # deleted since
        session.flush()
        studies.extend(session, who, study, {"seeds": [2]})
        with pytest.raises(ConflictError, match="was deleted"):
            studies.extend(session, who, study, {"sizes": [2]})

    def test_makes_anew_what_was_cancelled_and_what_rests_on_it(self, session, who, version):
        other = factories.dataset_with_version(session, who, name="other")
        study = ended(session, who, version, external={"elsewhere": {"dataset_id": other.dataset_id}})
        before = {each.step.name: each.job.id for each in studies.progress(session, study).steps}
        lost = {"train/real_equal/resnet10t/seed 1", "test/real_equal/resnet10t/seed 1/own"}
        for name in lost:
            job(session, study, name).state = JobState.CANCELLED
        session.flush()
        studies.extend(session, who, study, {})
        after = {each.step.name: each.job.id for each in studies.progress(session, study).steps}
        anew = {name for name in after if after[name] != before[name]}
        assert after.keys() == before.keys()
        assert anew == lost | {"test/real_equal/resnet10t/seed 1/elsewhere"}

    def test_tests_again_where_the_test_alone_was_deleted(self, session, who, version):
        study = ended(session, who, version)
        before = {each.step.name: each.job.id for each in studies.progress(session, study).steps}
        name = "test/synthetic/resnet10t/size 1/seed 0/own"
        session.delete(session.get_one(Evaluation, job(session, study, name).result["evaluation_id"]))
        session.delete(
            session.get_one(
                Classifier, job(session, study, "train/real_equal/resnet10t/seed 0").result["classifier_id"]
            )
        )  # whose tests are there, so that nobody needs it
        session.flush()
        studies.extend(session, who, study, {})
        after = {each.step.name: each.job.id for each in studies.progress(session, study).steps}
        assert {each for each in after if after[each] != before[each]} == {name}

    def test_refuses_an_external_dataset_under_a_name_that_is_taken(self, session, who, version):
        other = factories.dataset_with_version(session, who, name="other")
        test = {"dataset_id": other.dataset_id}
        study = studies.launch(session, who, spec_of(version, external={"elsewhere": test}))
        with pytest.raises(
            BadInputError, match="tests on an external dataset 'elsewhere' already: dataset 2"
        ) as refused:
            studies.extend(session, who, study, {"external": {"elsewhere": {**test, "accept_leaks": True}}})
        assert refused.value.errors[0]["pointer"] == "/external/elsewhere"

    def test_by_two_at_once_has_what_both_asked_for(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            version = factories.dataset_with_version(session, who)
            study_id = studies.launch(session, who, spec_of(version)).id
        has_read = threading.Event()

        def extend_second() -> None:
            with database.write() as session:
                study = session.get_one(Study, study_id)
                has_read.set()
                studies.extend(session, who, study, {"seeds": [8]})

        second = threading.Thread(target=extend_second)
        with database.write() as session:
            studies.extend(session, who, session.get_one(Study, study_id), {"seeds": [7]})
            second.start()
            has_read.wait(1)  # of SQLite it reads nothing before this transaction has ended
        second.join(20)
        with database.read() as session:
            assert session.get_one(Study, study_id).spec["seeds"] == [0, 1, 7, 8]


class TestTwoStudiesOfTheSameJobs:
    def test_are_both_cancelled_and_deleted(self, session, who, version):
        first, second = (studies.launch(session, who, spec_of(version)) for _ in range(2))
        assert len(reused(session, second)) == 19
        cancelling.cancel(session, who, first)
        assert job(session, first, "diffusion").state == JobState.QUEUED
        studies.delete(session, who, first)
        session.flush()
        with pytest.raises(ConflictError, match="still running"):
            studies.delete(session, who, second)
        cancelling.cancel(session, who, second)
        assert {each.job.state for each in studies.progress(session, second).steps} == {JobState.CANCELLED}

    def test_are_cancelled_with_the_one_that_is_cancelled_last(self, session, who, version):
        first, second = (studies.launch(session, who, spec_of(version)) for _ in range(2))
        cancelling.cancel(session, who, second)
        cancelling.cancel(session, who, first)
        assert {each.job.state for each in studies.progress(session, first).steps} == {JobState.CANCELLED}


class TestTheSpec:
    @pytest.mark.parametrize("options", [
        {}, {"sampling": {"per_class": 7}}, {"sampling": {"counts": {"disc": 3, "square": 2}, "num_steps": 5}, "sizes": [1, 2]},
        {"audit": {"mirrors": ["rotated"]}}, {"classifier": {"augment": "strong"}, "diffusion": {"hflip": True, "image_size": 16}},
    ])  # fmt: skip
    def test_is_stored_with_every_option_and_means_what_was_asked_for(self, session, who, version, options):
        asked = spec_of(version, **options)
        if "counts" in asked.sampling:
            asked.sampling["counts"] = dict.fromkeys(version.classes, 3)
        study = studies.launch(session, who, asked)
        stored = StudySpec.model_validate(study.spec)
        assert planning.step_keys(planning.steps(stored, version)) == planning.step_keys(planning.steps(asked, version))
        for name, made in (
            ("diffusion", asked.diffusion_spec()), ("classifier", asked.classifier_spec()), ("audit", asked.audit_spec()),
        ):  # fmt: skip
            assert set(study.spec[name]) == set(type(made).model_fields) - FIXED[name]
        assert len(reused(session, studies.launch(session, who, stored))) == len(studies.progress(session, study).steps)

    def test_of_a_study_that_an_earlier_release_ran_is_not_run_again_as_if_it_were_the_same(
        self, session, who, version, monkeypatch
    ):
        study = ended(session, who, version)
        monkeypatch.setitem(planning.REVISIONS, JobKind.TRAIN_CLASSIFIER, 1000)
        with pytest.raises(
            ConflictError, match=r"can no longer be run as it was.*an earlier release made 16 of its 19"
        ):
            reproducing.reproduce(session, who, study)
        with pytest.raises(ConflictError, match="an earlier release"):
            reproducing.estimate(session, who, study)


def test_a_study_that_is_run_again_explains_the_same_images(session, who):
    version = factories.dataset_with_version(session, who, num_images=60)
    study = study_data.launched(session, who, version, seeds=[0], explanations={"num_images": 2})
    before = explaining.images_of(session, study)
    study_data.with_tests(session, who, study)
    study_data.answered(session, study)
    first = session.get_one(Image, before[0])
    for pixels in map(str, range(100)):  # until its place in the draw is another
        first.pixel_sha256 = pixels
        session.flush()
        if explaining.chosen_images(session, StudySpec.model_validate(study.spec), version) != before:
            break
    assert explaining.chosen_images(session, StudySpec.model_validate(study.spec), version) != before
    again = reproducing.reproduce(session, who, study)
    assert explaining.images_of(session, again) == before
