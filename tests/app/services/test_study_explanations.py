"""What a study explains: which jobs that takes, and which test images."""

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.services import studies
from app.services.identity import Identity
from app.services.studies import comparing, estimating, planning
from app.services.studies.explaining import chosen_images
from models import DatasetVersion, ExplanationItem, Image, Job, JobKind, JobNeed, Split, Study, StudyStep
from models.specs import StudyExplanations, StudySpec
from tests import factories
from tests.app.pages import study_data

SMALL: dict[str, Any] = {
    "architectures": ["resnet10t", "vgg11"], "arms": ["real_equal", "synthetic"], "seeds": [5, 6, 7], "sizes": [1, 2],
    "diffusion": {"preset": "tiny", "image_size": 16, "num_steps": 4}, "classifier": {"epochs": 1, "pretrained": False},
    "explanations": {"num_images": 6, "num_samples": 300},
}  # fmt: skip


@pytest.fixture
def version(session: Session, who: Identity) -> DatasetVersion:
    return factories.dataset_with_version(session, who, num_images=60)  # 14 of them to test with


def spec_of(version: DatasetVersion, **options: Any) -> StudySpec:
    return StudySpec.model_validate({"dataset_id": version.dataset_id, **SMALL, **options})


def explained(session: Session, study: Study) -> dict[str, Job]:
    """By the name of the step."""
    steps = session.scalars(select(StudyStep).where(StudyStep.study_id == study.id).order_by(StudyStep.position))
    return {step.name: session.get_one(Job, step.job_id) for step in steps if "explained_on" in step.cell}


def needs(session: Session, job: Job) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for need in session.scalars(select(JobNeed).where(JobNeed.job_id == job.id)):
        found.setdefault(need.option, set()).add(need.needs_id)
    return found


class TestThePlan:
    def test_explains_both_arms_of_the_first_network_with_two_seeds_and_the_largest_size(self, session, who, version):
        found = explained(session, studies.launch(session, who, spec_of(version)))
        assert list(found) == [
            "explain/real_equal/resnet10t/seed 5", "explain/synthetic/resnet10t/size 2/seed 5",
            "explain/real_equal/resnet10t/seed 6", "explain/synthetic/resnet10t/size 2/seed 6",
        ]  # fmt: skip
        assert {job.kind for job in found.values()} == {JobKind.EXPLAIN}
        assert len({str(job.spec["image_ids"]) for job in found.values()}) == 1
        assert [job.spec["stability_seeds"] for job in found.values()] == [1, 1, 0, 0]
        assert {job.spec["num_samples"] for job in found.values()} == {300}

    def test_each_waits_for_its_classifier_and_the_table_for_all_of_them(self, session, who, version):
        study = studies.launch(session, who, spec_of(version))
        jobs = {each.step.name: each.job for each in studies.progress(session, study).steps}
        for name, job in explained(session, study).items():
            assert needs(session, job) == {"classifier_id": {jobs[name.replace("explain/", "train/")].id}}
        table = needs(session, session.get_one(Job, study.answer_job_id))
        assert table["explanation_ids"] == {job.id for job in explained(session, study).values()}
        assert len(table["evaluation_ids"]) == 2 * 3 * 3

    @pytest.mark.parametrize("options", [{"explanations": None}, {"arms": ["real_equal"]}, {"arms": ["synthetic"]}])
    def test_explains_nothing_where_nobody_asks_or_there_is_no_pair(self, session, who, version, options):
        study = studies.launch(session, who, spec_of(version, **options))
        assert explained(session, study) == {}
        assert "explanation_ids" not in needs(session, session.get_one(Job, study.answer_job_id))

    def test_takes_the_whole_real_split_where_there_is_no_equal_budget(self, session, who, version):
        found = explained(
            session, studies.launch(session, who, spec_of(version, arms=["synthetic", "real"], seeds=[0]))
        )
        assert next(iter(found)) == "explain/real/resnet10t/seed 0"

    def test_is_on_unless_it_is_turned_off(self, version):
        assert StudySpec(dataset_id=version.dataset_id).explanations == StudyExplanations(
            num_images=16, stability_seeds=1
        )

    def test_the_same_study_explains_nothing_again(self, session, who, version):
        first, second = (studies.launch(session, who, spec_of(version)) for _ in range(2))
        assert [job.id for job in explained(session, first).values()] == [
            job.id for job in explained(session, second).values()
        ]

    def test_explanations_change_the_key_of_no_other_step(self, version):
        with_them, without = (
            planning.step_keys(planning.steps(spec_of(version, **options), version, image_ids=ids))
            for options, ids in (({}, [1, 2]), ({"explanations": None}, []))
        )
        assert {name: key for name, key in with_them.items() if not name.startswith("explain/")} == without

    def test_the_estimate_counts_them(self, session, who, version):
        with_them, without = (
            estimating.estimate(session, who, spec_of(version, **options)) for options in ({}, {"explanations": None})
        )
        assert with_them.num_jobs == without.num_jobs + 4
        assert with_them.seconds_high > without.seconds_high


class TestExtending:
    def test_a_second_seed_is_explained_and_the_first_not_again(self, session, who, version):
        study = studies.launch(session, who, spec_of(version, seeds=[5]))
        before = explained(session, study)
        studies.extend(session, who, study, {"seeds": [6, 7]})
        after = explained(session, study)
        assert len(before), len(after) == (2, 4)
        assert {name: after[name].id for name in before} == {name: job.id for name, job in before.items()}


class TestTheImages:
    def labels(self, session: Session, ids: list[int]) -> list[int]:
        rows = {row.id: row for row in session.scalars(select(Image).where(Image.id.in_(ids)))}
        assert {row.split for row in rows.values()} == {Split.TEST}
        return [rows[image_id].label for image_id in ids]

    def test_are_test_images_spread_over_the_classes(self, session, version):
        assert self.labels(session, chosen_images(session, spec_of(version), version)) == [0, 0, 0, 1, 1, 1]

    def test_are_those_there_are_where_a_class_has_few(self, session, version):
        ids = session.scalars(select(Image.id).where(Image.split == Split.TEST, Image.label == 1)).all()
        session.execute(update(Image).where(Image.id.in_(ids[1:])).values(split=Split.VAL))
        assert self.labels(session, chosen_images(session, spec_of(version), version)) == [0, 0, 0, 0, 0, 1]

    def test_hang_on_their_pixels_and_not_on_the_order_of_rows(self, session, who, version):
        chosen = chosen_images(session, spec_of(version), version)
        pixels = select(Image.pixel_sha256).where(Image.id.in_(chosen))
        before = set(session.scalars(pixels))
        rows = session.scalars(
            select(Image).where(Image.split == Split.TEST, Image.label == 0).order_by(Image.id)
        ).all()
        for row, sha in zip(rows, [row.pixel_sha256 for row in reversed(rows)], strict=True):
            row.pixel_sha256 = sha
        session.flush()
        again = chosen_images(session, spec_of(version), version)
        assert set(session.scalars(select(Image.pixel_sha256).where(Image.id.in_(again)))) == before

    def test_come_from_different_patients_as_far_as_there_are(self, session, version):
        rows = session.scalars(select(Image).where(Image.split == Split.TEST, Image.label == 0)).all()
        for number, row in enumerate(rows):
            row.group = "many" if number < len(rows) - 2 else f"patient {number}"
        session.flush()
        chosen = chosen_images(session, spec_of(version), version)
        groups = session.scalars(select(Image.group).where(Image.id.in_(chosen), Image.label == 0)).all()
        assert len(set(groups)) == 3

    def test_are_none_where_nobody_asks(self, session, version):
        assert chosen_images(session, spec_of(version, explanations=None), version) == []


def test_options_are_checked_when_the_study_is_asked_for(version):
    with pytest.raises(ValidationError, match="too few for 100 superpixels"):
        spec_of(version, explanations={"num_segments": 100})
    with pytest.raises(ValidationError, match=r"explanations\.image_ids"):
        spec_of(version, explanations={"image_ids": [1]})


def test_two_studies_are_compared_by_the_bytes_of_their_explanations(session, who, version, storage):
    first = studies.launch(session, who, spec_of(version, seeds=[5]))
    session.execute(update(Job).values(step_key=None))  # nothing of the first is used again
    second = studies.launch(session, who, spec_of(version, seeds=[5]))
    for study in (first, second):
        study_data.with_explanations(session, who, study, storage)

    def outcomes() -> list[str]:
        return [each.outcome for each in comparing.files(session, first, second) if each.what == "explanations"]

    assert outcomes() == ["same bytes"] * 2
    item = session.scalars(select(ExplanationItem).order_by(ExplanationItem.id.desc())).first()
    item.weights = {**item.weights, "num_samples": 1}
    session.flush()
    assert outcomes() == ["same bytes", "differs"]
