"""Clusters and leaks of a version that is there already, on both databases."""

import pytest
from sqlalchemy import select

from app.core import clusters
from app.core.versions import LookAlike
from models import DatasetVersion, DuplicatePair, Image, Split
from tests import factories
from workers.jobs.looks import record_looks


@pytest.fixture
def session(database):
    with database.write() as session:
        yield session


@pytest.fixture
def version(session, who) -> DatasetVersion:
    return factories.dataset_with_version(session, who)


def images(session, version) -> list[Image]:
    return list(session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)))


def join(session, version, first: Image, second: Image) -> None:
    low, high = sorted([first.stored_sha256, second.stored_sha256])
    record_looks(session, version.dataset_id, {}, {}, [LookAlike(low, high, False, 3, 0.995)])


def test_images_of_a_pair_get_one_number_and_count_as_a_leak(session, version):
    rows = images(session, version)
    train, test = rows[0], next(row for row in rows if row.split == Split.TEST)
    join(session, version, train, test)
    clusters.cluster_anew(session, version)
    assert {row.id for row in images(session, version) if row.cluster is not None} == {train.id, test.id}
    assert train.cluster == test.cluster == 1
    assert version.leaks == {"patients": 0, "identical": 0, "near": 1}


def test_a_pair_that_was_told_apart_is_none(session, version):
    first, second = images(session, version)[:2]
    join(session, version, first, second)
    clusters.cluster_anew(session, version)
    session.scalars(select(DuplicatePair)).one().is_distinct = True
    session.flush()
    assert clusters.told_apart(session, version.dataset_id) == {
        tuple(sorted([first.stored_sha256, second.stored_sha256]))
    }
    assert clusters.look_alike_keys(session, version.dataset_id) == []
    clusters.cluster_anew(session, version)
    assert [row.cluster for row in images(session, version)] == [None] * 20
    assert version.leaks == {"patients": 0, "identical": 0, "near": 0}


def test_entries_are_the_rows(session, version):
    found = clusters.entries_by_id(session, version.id)
    assert list(found) == [row.id for row in images(session, version)]
    assert found[images(session, version)[3].id].path == images(session, version)[3].path
