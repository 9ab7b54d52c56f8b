"""A study is run again from nothing, on the same version, with the same settings."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.services import studies
from app.services.identity import Identity
from app.services.studies import estimating, reproducing
from models import Dataset, DatasetVersion, Job, Study
from models.specs import StudySpec
from tests import factories
from tests.app.pages import study_data


def ended(session: Session, who: Identity, version: DatasetVersion, **options: Any) -> Study:
    study = study_data.launched(session, who, version, **options)
    study_data.with_tests(session, who, study)
    study_data.answered(session, study)
    return study


def jobs(session: Session, study: Study) -> dict[str, Job]:
    return {each.step.name: each.job for each in studies.progress(session, study).steps}


def test_it_is_the_same_study_with_every_job_anew(session, who, version):
    first = ended(session, who, version)
    again = reproducing.reproduce(session, who, first)
    assert (again.spec, again.version_id, again.reproduces_id) == (first.spec, first.version_id, first.id)
    assert again.name == "Study 1 of shapes, reproduced"
    had, has = jobs(session, first), jobs(session, again)
    assert has.keys() == had.keys()
    assert not {job.id for job in has.values()} & {job.id for job in had.values()}
    assert {name: job.step_key for name, job in has.items()} == {name: job.step_key for name, job in had.items()}
    assert studies.progress(session, again).num_reused == 0
    assert reproducing.reproductions(session, first) == [again]
    assert reproducing.original(session, again) is first


def test_what_it_takes_counts_every_job(session, who, version):
    first = ended(session, who, version)
    there = estimating.estimate(session, who, StudySpec.model_validate(first.spec))
    anew = reproducing.estimate(session, who, first)
    assert (anew.num_jobs, anew.num_reused) == (there.num_jobs, 0)
    assert anew.seconds_high > there.seconds_high


def test_when_they_are_extended_neither_takes_over_what_the_other_did(session, who, version):
    first = ended(session, who, version)
    again = reproducing.reproduce(session, who, first)
    studies.extend(session, who, first, {"seeds": [7]})
    studies.extend(session, who, again, {"seeds": [7, 8]})
    studies.extend(session, who, first, {"seeds": [8]})
    mine, theirs = jobs(session, first), jobs(session, again)
    assert mine.keys() == theirs.keys()
    assert not {job.id for job in mine.values()} & {job.id for job in theirs.values()}


def test_a_later_study_takes_over_what_either_did(session, who, version):
    first = ended(session, who, version)
    again = reproducing.reproduce(session, who, first)
    later = study_data.launched(session, who, version)
    had = {job.id for study in (first, again) for job in jobs(session, study).values()}
    assert {job.id for job in jobs(session, later).values()} < had


def test_it_is_refused_while_there_is_nothing_to_compare_with(session, who, version):
    study = study_data.launched(session, who, version)
    with pytest.raises(ConflictError, match="Study 1 is still running"):
        reproducing.reproduce(session, who, study)
    study_data.with_tests(session, who, study)
    study_data.answered(session, study)
    study.answer = None
    with pytest.raises(ConflictError, match="Study 1 has no table"):
        reproducing.reproduce(session, who, study)


def test_it_is_refused_where_its_data_is_no_longer_there(session, who, version):
    other = factories.dataset_with_version(session, who, name="other")
    study = ended(session, who, version, external={"elsewhere": {"dataset_id": other.dataset_id}})
    session.delete(session.get_one(Dataset, other.dataset_id))
    session.flush()
    with pytest.raises(ConflictError, match=r"can no longer be run as it was\. There is no dataset 2"):
        reproducing.reproduce(session, who, study)


def test_under_the_papers_protocol_nothing_is_split_anew(session, who):
    version = factories.dataset_with_version(session, who, num_images=100)
    first = ended(session, who, version, preset="paper")
    again = reproducing.reproduce(session, who, first)
    assert first.version_id != version.id
    assert again.version_id == first.version_id
    assert {job.spec["version_id"] for job in jobs(session, again).values() if "version_id" in job.spec} == {
        first.version_id
    }
    assert len(session.get_one(Dataset, version.dataset_id).versions) == 2


def test_it_stays_when_the_first_is_deleted(session, who, version):
    first = ended(session, who, version)
    again = reproducing.reproduce(session, who, first)
    studies.delete(session, who, first)
    session.flush()
    session.refresh(again)
    assert again.reproduces_id is None
    assert reproducing.original(session, again) is None
