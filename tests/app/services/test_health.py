"""What is told of a version's health, and asking for another check."""

import pytest

from app.services import datasets
from app.services.datasets import health
from models import Image, Job, JobKind, JobState, Split
from tests import factories, health_data


class TestOf:
    def test_a_version_that_nobody_checked_has_counts_and_no_findings(self, session, version):
        found = health.of(session, version)
        assert (found.check, found.findings, found.summary.num_images) == (None, [], 20)

    def test_findings_link_to_pages_of_the_version(self, session, who, version):
        health_data.give(session, who, version)
        found = health.of(session, version)
        assert [each["severity"] for each in found.findings] == ["serious", "serious", "warning", "note"]
        place = f"/datasets/{version.dataset_id}"
        assert [each["link"] for each in found.findings] == [
            f"{place}/leaks?version=1", f"{place}/duplicates?span=classes&version=1", None, None,
        ]  # fmt: skip
        assert found.check.state == JobState.SUCCEEDED

    def test_the_newest_check_is_the_versions_own(self, session, who, version):
        health_data.give(session, who, version)
        other = factories.dataset_with_version(session, who, name="other")
        factories.job(session, who, JobKind.CHECK_DATASET, spec={"kind": "check_dataset", "version_id": other.id})
        newest = health.latest_check(session, version)
        assert newest is not None
        assert newest.spec["version_id"] == version.id


class TestCheck:
    def test_asks_once_while_one_is_under_way(self, session, who, version):
        first = health.check(session, who, version)
        assert (first.kind, first.spec["version_id"]) == (JobKind.CHECK_DATASET, version.id)
        assert health.check(session, who, version).id == first.id

    def test_asks_again_once_it_has_ended(self, session, who, version):
        health_data.give(session, who, version)
        assert health.check(session, who, version).state == JobState.QUEUED

    def test_a_dataset_that_is_being_checked_is_not_deleted(self, session, who, version, storage):
        job = health.check(session, who, version)
        with pytest.raises(Exception, match=f"Job {job.id} is using this dataset"):
            datasets.delete(session, who, version.dataset, storage=storage)


class TestImages:
    def test_are_those_of_the_version_in_the_order_of_the_ids(self, session, who, version):
        ids = [row.id for row in datasets.images(session, version).items]
        other = factories.dataset_with_version(session, who, name="other")
        foreign = datasets.images(session, other).items[0].id
        found = health.images(session, version, [ids[3], foreign, ids[1]])
        assert [image.id for image in found.images] == [ids[3], ids[1]]
        assert found.num_locked == 0

    def test_locked_test_images_are_counted_and_not_shown(self, session, who, version):
        rows = datasets.images(session, version).items
        tests = [row.id for row in rows if row.split == Split.TEST]
        factories.classifier(session, who, version)
        found = health.images(session, version, [rows[0].id, *tests])
        assert ([image.id for image in found.images], found.num_locked) == ([rows[0].id], len(tests))
        assert session.get_one(Image, tests[0]).split == Split.TEST
        assert session.get(Job, 10**6) is None
