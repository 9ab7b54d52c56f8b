"""Two studies side by side: which figures differ, by how much, and what cannot be compared."""

from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.services import studies
from app.services.identity import Identity
from app.services.studies import comparing
from models import DatasetVersion, Evaluation, Image, Job, JobState, Prediction, Split, Study
from models.specs import StudySpec
from tests import factories
from tests.app.pages import study_data


def study(session: Session, who: Identity, version: DatasetVersion, *rows: dict[str, Any], **options: Any) -> Study:
    """A study whose table is made of `rows`, of tests of the version's own images."""
    spec = {"dataset_id": version.dataset_id, "version_id": version.id, "architectures": ["resnet10t"], **options}
    made = Study(
        project_id=who.project_id, version_id=version.id, name="made up", created_by="test",
        spec=StudySpec.model_validate(spec).model_dump(mode="json"),
        answer={"tables": [{"architecture": "resnet10t", "tested_on": "own", "rows": list(rows), "saturation": None}]},
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def row(value: float, *, arm: str = "real_equal", seeds: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
    """Four figures: a value, its interval, and the one seed that it is the mean of. Seeds have jobs 10, 11, ... and no evaluation."""
    mean = {
        "seeds": [0], "method": "words", "balanced_accuracy": {"value": value, "low": 0.25, "high": 0.75, "per_seed": [value]},
    }  # fmt: skip
    tested = [{"seed": seed, "job_id": 10 + seed, "evaluation_id": 900 + seed, "reason": ""} for seed in seeds]
    return {"key": arm, "arm": arm, "size": None, "seeds": tested, "mean": mean, **more}


def test_equal_figures_are_equal_to_the_last_digit(session, who, version):
    found = comparing.compare(session, study(session, who, version, row(0.5)), study(session, who, version, row(0.5)))
    assert found.verdict == "All 4 figures are equal to the last digit."
    assert found.is_equal
    assert [figure.name for figure in found.figures] == [
        "mean.balanced_accuracy.value", "mean.balanced_accuracy.low", "mean.balanced_accuracy.high",
        "mean.balanced_accuracy.per_seed.0",
    ]  # fmt: skip


def test_one_bit_is_a_difference(session, who, version):
    a, b = study(session, who, version, row(0.5)), study(session, who, version, row(0.5000000000000001))
    found = comparing.compare(session, a, b)
    assert found.verdict == "2 of 4 figures differ, by at most 1.1e-16."
    assert found.figures[0].difference == pytest.approx(1.1e-16, rel=0.01)


def test_the_largest_difference_is_said(session, who, version):
    a = study(session, who, version, row(0.5), row(0.25, arm="real"))
    b = study(session, who, version, row(0.5), row(0.5, arm="real"))
    assert comparing.compare(session, a, b).verdict == "2 of 8 figures differ, by at most 0.25."


def test_counts_and_statistics_differ_but_not_by_a_share(session, who, version):
    a, b = (
        study(session, who, version, row(0.5, against_reference={"mcnemar": {"both_right": n, "by_group": {"statistic": n + 0.5}}}))
        for n in (3, 9)
    )  # fmt: skip
    assert comparing.compare(session, a, b).verdict == "2 of 6 figures differ."


def test_a_figure_that_one_of_them_lacks_differs(session, who, version):
    a = study(session, who, version, row(0.5, against_reference={"p": 0.5, "p_holm": None}))
    found = comparing.compare(session, a, study(session, who, version, row(0.5, against_reference=None)))
    assert found.verdict == "1 of 5 figures differ."
    assert [(each.name, each.a, each.b) for each in found.figures if not each.is_equal] == [
        ("against_reference.p", 0.5, None)
    ]


def test_rows_and_seeds_of_one_study_only_are_listed(session, who, version):
    a = study(session, who, version, row(0.5, seeds=(0, 1)), row(0.5, arm="real"))
    b = study(session, who, version, row(0.5, seeds=(0,)))
    found = comparing.compare(session, a, b)
    assert sorted((each.study_id, each.key.arm, each.seed) for each in found.alone) == [
        (a.id, "real", None),
        (a.id, "real_equal", 1),
    ]
    assert found.verdict.endswith("2 rows or seeds are in one of them only.")
    assert not found.is_equal


def test_a_test_that_is_one_job_in_both_compares_nothing(session, who, version):
    a, b = (study(session, who, version, row(0.5, seeds=(0, 1))) for _ in range(2))
    found = comparing.compare(session, a, b)
    assert (found.num_tests, found.num_same_jobs, found.is_equal) == (2, 2, False)
    assert found.verdict.endswith("2 of 2 tests are the same job in both, which compares nothing.")


def test_without_a_table_there_is_nothing_to_compare(session, who, version):
    a, b = (study(session, who, version, row(0.5)) for _ in range(2))
    b.answer = None
    found = comparing.compare(session, a, b)
    assert found.verdict == f"Study {b.id} has no table yet, so there is no figure to compare."
    assert not found.is_equal


def test_a_study_is_not_compared_with_itself(session, who, version):
    one = study(session, who, version, row(0.5))
    with pytest.raises(BadInputError, match="with itself"):
        comparing.compare(session, one, one)


class TestTheTestImages:
    def test_of_other_data_make_no_paired_claim(self, session, who, version):
        other = factories.dataset_with_version(session, who, name="other")
        found = comparing.compare(
            session, study(session, who, version, row(0.5)), study(session, who, other, row(0.75))
        )
        assert not found.on_same_images
        assert found.verdict.startswith("They were tested on different images")
        assert "differ," not in found.verdict
        assert found.figures[0].difference == 0.25

    def test_of_another_version_may_be_the_same(self, session, who, version):
        other = factories.dataset_with_version(session, who, name="other")
        pixels = [
            list(session.query(Image).filter_by(version_id=each.id).order_by(Image.id)) for each in (version, other)
        ]
        for mine, theirs in zip(*pixels, strict=True):
            if mine.split == Split.TEST:
                theirs.pixel_sha256 = mine.pixel_sha256
        session.flush()
        found = comparing.compare(session, study(session, who, version, row(0.5)), study(session, who, other, row(0.5)))
        assert found.on_same_images
        session.execute(update(Image).where(Image.version_id == other.id, Image.split == Split.TEST).values(label=0))
        found = comparing.compare(session, found.a, found.b)
        assert not found.on_same_images


class TestTheSettings:
    def test_that_differ_are_named_with_both_values(self, session, who, version):
        a = study(session, who, version, row(0.5), diffusion={"image_size": 32}, seeds=[0, 1])
        b = study(
            session, who, version, row(0.5), diffusion={"image_size": 32, "seed": 3}, seeds=[0, 1, 2], name="other"
        )
        found = comparing.compare(session, a, b).settings
        assert [(each.name, each.a, each.b) for each in found] == [
            ("seeds", [0, 1], [0, 1, 2]), ("diffusion.seed", 0, 3),
        ]  # fmt: skip

    def test_that_are_filled_in_or_in_another_order_do_not_differ(self, session, who, version):
        defaults = StudySpec(dataset_id=1).classifier_spec()
        a = study(session, who, version, row(0.5), classifier={"epochs": defaults.epochs}, arms=["real", "synthetic"])
        b = study(session, who, version, row(0.5), arms=["synthetic", "real"])
        assert comparing.compare(session, a, b).settings == []


class TestWhatTheyRanWith:
    def noted(self, session, who, version, *ran_with: dict[str, str] | None) -> Study:
        made = studies.launch(
            session, who, StudySpec.model_validate({"dataset_id": version.dataset_id, **study_data.SPEC})
        )
        jobs = [each.job for each in studies.progress(session, made).steps]
        for job, told in zip(jobs, ran_with, strict=False):
            job.ran_with = told
        session.flush()
        for job in jobs:  # so that the next study has jobs of its own
            job.step_key = None
        return made

    def test_is_named_where_it_differs_with_every_value(self, session, who, version):
        cpu = {"device": "cpu (2 cores)", "torch": "2.13.0"}
        one = self.noted(session, who, version, {**cpu, "threads": "2"}, {**cpu, "threads": "1"}, None)
        other = self.noted(session, who, version, {**cpu, "threads": "1"}, {**cpu, "lime": "0.2"})
        found = comparing.compare(session, one, other).ran_with
        assert [(each.name, each.a, each.b) for each in found] == [("threads", "1, 2", "1"), ("lime", None, "0.2")]

    def test_is_not_guessed_for_jobs_that_noted_nothing(self, session, who, version):
        one, other = self.noted(session, who, version), self.noted(session, who, version, {"torch": "2.13.0"})
        assert comparing.compare(session, one, other).ran_with == []


class TestFiles:
    def ended(self, session, who, version) -> Study:
        made = study_data.launched(session, who, version, arms=["real_equal"], seeds=[0])
        for job in self.jobs(session, made).values():
            job.state = JobState.SUCCEEDED
            job.step_key = None
        network = factories.classifier(session, who, version, sha256="a" * 64)
        test = factories.evaluation(session, who, network, {})
        train, tested = self.jobs(session, made).values()
        train.result, tested.result = {"classifier_id": network.id}, {"evaluation_id": test.id}
        session.flush()
        return made

    def jobs(self, session, made: Study) -> dict[str, Job]:
        return {each.step.name: each.job for each in studies.progress(session, made).steps}

    def test_have_the_hashes_of_what_the_jobs_made(self, session, who, version):
        a, b = self.ended(session, who, version), self.ended(session, who, version)
        found = comparing.files(session, a, b)
        assert [(each.what, each.outcome) for each in found] == [
            ("classifier", "same bytes"), ("predictions", "same bytes"),
        ]  # fmt: skip
        assert found[0].a == "a" * 64

    def test_one_digit_of_one_prediction_is_another_hash(self, session, who, version):
        a, b = self.ended(session, who, version), self.ended(session, who, version)
        evaluation = session.query(Evaluation).order_by(Evaluation.id.desc()).first()
        one = session.query(Prediction).filter_by(evaluation_id=evaluation.id).first()
        one.probabilities = [one.probabilities[0] + 1e-15, *one.probabilities[1:]]
        session.flush()
        assert comparing.files(session, a, b)[1].outcome == "differs"

    def test_that_are_gone_or_of_one_job_are_not_compared(self, session, who, version):
        a = self.ended(session, who, version)
        b = self.ended(session, who, version)
        session.delete(session.query(Evaluation).order_by(Evaluation.id.desc()).first())
        session.flush()
        assert comparing.files(session, a, b)[1].outcome == "not there"
        step = studies.progress(session, b).steps[0].step
        step.job_id = self.jobs(session, a)[step.name].id
        session.flush()
        assert comparing.files(session, a, b)[0].outcome == "one job"
