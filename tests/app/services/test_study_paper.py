"""A study under the paper's protocol: which version it splits and uses again, what it takes, and its recipe."""

import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.services import datasets, studies
from app.services.identity import Identity
from app.services.studies import estimating, explaining, reporting
from models import Dataset, DatasetVersion, Image, Split
from models.specs import StudySpec
from models.specs.changing import Exclude, Resplit, Restore
from tests import factories
from tests.app.services.test_studies import SMALL, spec_of


@pytest.fixture
def version(session: Session, who: Identity) -> DatasetVersion:
    return factories.dataset_with_version(session, who, num_images=100)


def rows_of(session: Session, version: DatasetVersion) -> list[Image]:
    return list(session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.path)))


def versions(session: Session, version: DatasetVersion) -> list[int]:
    return [each.number for each in datasets.versions(session, session.get_one(Dataset, version.dataset_id))]


class TestTheVersion:
    def test_the_papers_protocol_splits_anew_and_leaves_the_current_version(self, session, who, version):
        study = studies.launch(session, who, spec_of(version, preset="paper", seeds=[0]))
        made = session.get_one(DatasetVersion, study.version_id)
        assert made.id != version.id
        assert {name: counts["test"] for name, counts in made.counts.items()} == {"disc": 35, "ring": 35}
        assert session.get_one(Dataset, version.dataset_id).current_number == version.number

    def test_splits_the_version_that_is_named_and_not_the_current_one(self, session, who, version):
        first = session.scalars(select(Image.id).where(Image.version_id == version.id)).first()
        newer = datasets.change(session, who, version.dataset, Exclude(image_ids=[first]))
        study = studies.launch(session, who, spec_of(version, preset="paper", version_id=version.id, seeds=[0]))
        made = session.get_one(DatasetVersion, study.version_id)
        assert (made.parent_number, made.num_images) == (version.number, 100)
        assert version.dataset.current_number == newer.number

    def test_a_second_study_splits_nothing_and_does_nothing_again(self, session, who, version):
        first = studies.launch(session, who, spec_of(version, preset="paper"))
        had = versions(session, version)
        for version_id in (None, version.id, first.version_id):
            again = studies.launch(session, who, spec_of(version, preset="paper", version_id=version_id))
            assert again.version_id == first.version_id
            assert {each.step.is_reused for each in studies.progress(session, again).steps} == {True}
        assert versions(session, version) == had == [2, 1]

    def test_a_current_version_that_a_person_split_so_is_studied_as_it_is(self, session, who, version):
        split = datasets.change(session, who, version.dataset, Resplit(train_percent=20, val_percent=10))
        asked = spec_of(version, preset="paper", arms=["real"])
        assert estimating.estimate(session, who, asked).num_reused == 0
        assert studies.launch(session, who, asked).version_id == split.id
        assert versions(session, version) == [2, 1]

    def test_another_split_of_the_same_images_or_the_same_split_of_others_is_not_taken(self, session, who, version):
        datasets.change(session, who, version.dataset, Resplit(train_percent=20, val_percent=10, seed=1))
        first = session.scalars(select(Image.id).where(Image.version_id == version.id)).first()
        datasets.change(session, who, version.dataset, Restore(number=1))
        datasets.change(session, who, version.dataset, Exclude(image_ids=[first]))
        datasets.change(session, who, version.dataset, Resplit(train_percent=20, val_percent=10))
        study = studies.launch(session, who, spec_of(version, preset="paper", version_id=version.id, arms=["real"]))
        assert session.get_one(DatasetVersion, study.version_id).number == 5

    def test_what_the_versions_own_splits_leak_or_lack_is_mended_by_splitting(self, session, who, version):
        images = session.scalars(select(Image).where(Image.version_id == version.id)).all()
        learnt, tested = (next(each for each in images if each.split == split) for split in (Split.TRAIN, Split.TEST))
        learnt.group = tested.group = "one patient"
        version.leaks = {"patients": 1, "identical": 0, "near": 0}
        session.flush()
        asked = spec_of(version, preset="paper", arms=["real"])
        assert estimating.estimate(session, who, asked).num_jobs == 4
        study = studies.launch(session, who, asked)
        assert session.get_one(DatasetVersion, study.version_id).leaks == {"patients": 0, "identical": 0, "near": 0}

    def test_what_the_split_lacks_is_refused_by_estimate_and_launch_alike(self, session, who, version):
        studied = {**SMALL["diffusion"], "stop_on_copies": True}
        version.counts = {name: {**counts, "val": 100} for name, counts in version.counts.items()}
        session.flush()
        asked = spec_of(version, preset="paper", diffusion=studied)
        for ask in (estimating.estimate, studies.launch):
            with pytest.raises(BadInputError, match="has 10 images; to stop on copies at least 25"):
                ask(session, who, asked)


class TestTheEstimate:
    def test_of_the_papers_protocol_is_of_its_split_before_and_after_that_is_made(self, session, who):
        version = factories.dataset_with_version(session, who, num_images=300)
        studies.launch(session, who, spec_of(version, explanations={"num_images": 70}))
        asked = spec_of(version, preset="paper", explanations={"num_images": 70})
        before = estimating.estimate(session, who, asked)
        assert [each.number for each in datasets.versions(session, version.dataset)] == [1]
        assert (before.num_jobs, before.num_reused) == (19 + 4, 0)
        study = studies.launch(session, who, asked)
        made = session.get_one(DatasetVersion, study.version_id)
        planned = explaining.steps(session, asked, made)
        assert before == estimating.of_steps(session, asked, made, planned, planned)
        there = estimating.estimate(session, who, asked)
        assert (there.num_jobs, there.num_reused, there.seconds_high) == (23, 23, 0)


class TestTheRecipe:
    def test_of_a_paper_study_splits_elsewhere_as_here_and_does_nothing_again_here(self, session, who, version):
        study = studies.launch(session, who, spec_of(version, preset="paper"))
        there = factories.dataset_with_version(session, who, name="elsewhere", num_images=100)
        for image, same in zip(rows_of(session, there), rows_of(session, version), strict=True):
            image.pixel_sha256 = same.pixel_sha256
        read = yaml.safe_load(reporting.recipe_of(session, study))
        assert (read.pop("kind"), read["preset"], read["version_id"]) == ("study", "paper", study.version_id)
        again = studies.launch(session, who, StudySpec.model_validate(read))
        assert again.version_id == study.version_id
        assert {each.step.is_reused for each in studies.progress(session, again).steps} == {True}
        elsewhere = {**read, "dataset_id": there.dataset_id, "version_id": None}
        far = studies.launch(session, who, StudySpec.model_validate(elsewhere))
        split, mine = (session.get_one(DatasetVersion, each.version_id) for each in (far, study))
        assert split.manifest_sha256 == mine.manifest_sha256

    def test_of_a_paper_study_whose_look_alikes_are_others_now_names_its_version_alone(self, session, who, version):
        study = studies.launch(session, who, spec_of(version, preset="paper"))
        first, *_, last = rows_of(session, session.get_one(DatasetVersion, study.version_id))
        first.cluster = last.cluster = 1
        first.split, last.split = Split.TRAIN, Split.TEST
        session.flush()
        text = reporting.recipe_of(session, study)
        read = yaml.safe_load(text)
        assert (read.pop("kind"), read["preset"], read["version_id"]) == ("study", "studio", study.version_id)
        assert "# It was launched with preset: paper, which would split otherwise today" in text
        assert "# Split them there as here first" in text
