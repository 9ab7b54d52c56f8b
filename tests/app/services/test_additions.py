"""Adding files to a dataset, from the upload to the rows, on both databases."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import phantoms, version_rows
from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.core.images import encode_png
from app.core.versions import Entry
from app.services import datasets, jobs
from app.services.datasets import copies, openings
from models import (
    Dataset,
    DatasetState,
    DatasetVersion,
    DuplicatePair,
    Fingerprint,
    Image,
    Job,
    JobKind,
    JobState,
    RefusedFile,
    Split,
    Upload,
    UploadState,
)
from models.specs import ImportSpec
from models.specs.changing import Exclude, Relabel, Restore
from tests import factories
from tests.imports import Importer, picture, pictures
from workers.runner import run_function

FILES = pictures("a", 10) | pictures("b", 10)
Between = Callable[[], Any]


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


@pytest.fixture
def dataset_id(importer: Importer) -> int:
    return int(importer.run(importer.send_folder(FILES)).result["dataset_id"])


def versions_of(session: Session, dataset_id: int) -> list[DatasetVersion]:
    """Oldest first."""
    return datasets.versions(session, session.get_one(Dataset, dataset_id))[::-1]


def rows(session: Session, version: DatasetVersion) -> dict[str, Entry]:
    """The images by path, without the number of their cluster."""
    found = session.scalars(select(Image).where(Image.version_id == version.id))
    return {
        image.path: Entry(*(getattr(image, name) for name in Entry._fields))._replace(cluster=None) for image in found
    }


def current(importer: Importer, dataset_id: int) -> tuple[DatasetVersion, dict[str, Entry]]:
    with importer.database.read() as session:
        version = datasets.version_of(session, session.get_one(Dataset, dataset_id), None)
        return version, rows(session, version)


def change(importer: Importer, dataset_id: int, asked: Any) -> None:
    with importer.database.write() as session:
        datasets.change(session, importer.who, session.get_one(Dataset, dataset_id), asked)


def image_id(importer: Importer, dataset_id: int, path: str) -> int:
    with importer.database.read() as session:
        version = datasets.version_of(session, session.get_one(Dataset, dataset_id), None)
        return session.scalars(select(Image.id).where(Image.version_id == version.id, Image.path == path)).one()


def work_with(importer: Importer, between: Between) -> None:
    """Do what waits; `between` happens when an import has worked everything out and has not written it down."""

    def functions(kind: JobKind) -> Any:
        def run(context: Any, spec: Any) -> Any:
            recorder = run_function(kind)(context, spec)
            if kind == JobKind.IMPORT_DATASET:
                between()
            return recorder

        return run

    importer.work(functions)


class TestAnAddition:
    def test_makes_a_version_in_which_the_old_images_are_as_they_were(self, importer, dataset_id):
        _, before = current(importer, dataset_id)
        more = pictures("b", 10, start=20) | pictures("c", 10) | {"notes.txt": b"x", "b/000.png": FILES["b/000.png"]}
        job = importer.add(more, dataset_id, seed=5)
        assert job.state == JobState.SUCCEEDED, job.error
        version, after = current(importer, dataset_id)
        assert (version.number, version.parent_number, version.change) == (2, 1, "Add 20 images")
        assert (version.classes, version.num_images, version.job_id) == (["a", "b", "c"], 40, job.id)
        assert {path: after[path] for path in before} == before
        assert version.counts["a"] == {"train": 7, "val": 1, "test": 2}
        assert version.counts["b"] == {"train": 14, "val": 2, "test": 4}
        assert version.counts["c"] == {"train": 7, "val": 1, "test": 2}
        assert version.leaks == {"patients": 0, "identical": 0, "near": 0}
        assert [each["num_added"] for each in version.layout["additions"]] == [20]
        assert version.layout["additions"][0]["seed"] == 5
        with importer.database.read() as session:
            dataset = session.get_one(Dataset, dataset_id)
            assert (dataset.state, dataset.current_number) == (DatasetState.READY, 2)
            refused = session.scalars(select(RefusedFile).where(RefusedFile.version_id == version.id))
            assert {(file.path, file.kind) for file in refused} == {
                ("notes.txt", "ignored"),
                ("b/000.png", "duplicate"),
            }
            assert len(session.scalars(select(Fingerprint)).all()) == 40
            assert session.get_one(Upload, job.spec["upload_id"]).state == UploadState.IMPORTED
            check = session.get_one(Job, job.result["check_job_id"])
            assert (check.kind, check.spec["version_id"]) == (JobKind.CHECK_DATASET, version.id)
            difference = datasets.difference(session, *versions_of(session, dataset_id))
            assert difference.counts == {"added": 20}
            assert [link.kind for link in jobs.lineage(session, job)] == ["dataset"]

    def test_finds_look_alikes_among_old_and_new(self, importer):
        head, other = (phantoms.draw(name, 3, 64).squeeze() for name in phantoms.CLASSES[:2])
        files = {"test/a/0.png": png(head), "train/a/1.png": png(other)} | pictures("val/a", 3)
        dataset_id = importer.run(importer.send_folder(files)).result["dataset_id"]
        importer.add({"a/mirrored.png": png(head[:, ::-1])}, dataset_id)
        version, images = current(importer, dataset_id)
        assert images["a/mirrored.png"].split == Split.TEST
        assert version.leaks == {"patients": 0, "identical": 0, "near": 0}
        with importer.database.read() as session:
            (group,) = copies.groups(session, version)
            assert {image.path for image in group.images} == {"test/a/0.png", "a/mirrored.png"}
            assert len(session.scalars(select(DuplicatePair)).all()) == 1

    def test_looks_at_old_images_that_nobody_has_looked_at(self, importer, storage, who):
        with importer.database.write() as session:
            version = factories.dataset_with_version(session, who, storage=storage)
            dataset_id = version.dataset_id
        bright = np.clip(factories.drawing(0, 0).squeeze().astype(int) + 9, 0, 255).astype(np.uint8)
        importer.add({"disc/bright.png": png(bright)}, dataset_id)
        version, images = current(importer, dataset_id)
        assert images["disc/bright.png"].split == images["disc/00000.png"].split
        assert version.leaks is not None
        with importer.database.read() as session:
            assert len(session.scalars(select(Fingerprint)).all()) == 21

    def test_of_nothing_new_fails_and_leaves_everything_as_it_was(self, importer, dataset_id):
        job = importer.add({"a/000.png": FILES["a/000.png"], "a/again.png": FILES["a/001.png"]}, dataset_id)
        assert (job.state, job.error["code"]) == (JobState.FAILED, "conflict")
        assert "Nothing is new, so no version was made." in job.error["detail"]
        with importer.database.read() as session:
            assert len(versions_of(session, dataset_id)) == 1
            assert session.get_one(Dataset, dataset_id).state == DatasetState.READY
            assert session.get_one(Upload, job.spec["upload_id"]).state == UploadState.PLANNED

    def test_leaves_what_a_person_decided(self, importer, dataset_id):
        excluded, relabelled = (image_id(importer, dataset_id, path) for path in ("a/000.png", "a/001.png"))
        change(importer, dataset_id, Exclude(image_ids=[excluded], reason="blurred"))
        change(importer, dataset_id, Relabel(image_ids=[image_id(importer, dataset_id, "a/001.png")], label="b"))
        assert relabelled != excluded
        importer.add(FILES | {"a/new.png": picture(1)}, dataset_id)
        version, images = current(importer, dataset_id)
        assert (version.number, version.parent_number, version.change) == (4, 3, "Add 1 image")
        assert "a/000.png" not in images
        assert images["a/001.png"].label == 1
        with importer.database.read() as session:
            reasons = {(file.path, file.reason) for file in datasets.refused(session, version, limit=100).items}
        assert ("a/000.png", "blurred") in reasons
        assert ("a/001.png", "It is in the dataset as b: its class was changed by hand.") in reasons

    def test_may_be_undone_and_done_again_in_another_way(self, importer, dataset_id):
        more = pictures("a", 10, start=50)
        importer.add(more, dataset_id)
        change(importer, dataset_id, Restore(number=1))
        importer.add(more, dataset_id, train_percent=10, val_percent=10)
        version, _ = current(importer, dataset_id)
        assert (version.number, version.parent_number, version.num_images) == (3, 1, 30)
        assert version.counts["a"] == {"train": 8, "val": 2, "test": 10}

    def test_to_the_test_split_of_a_locked_dataset_is_a_version_whose_looks_go_on_counting(self, importer, dataset_id):
        with importer.database.write() as session:
            version = versions_of(session, dataset_id)[0]
            factories.checkpoint(session, importer.who, version)
            openings.open_list(session, importer.who, version, num_images=1)
        importer.add(pictures("test/a", 3), dataset_id)
        version, _ = current(importer, dataset_id)
        assert version.counts["a"]["test"] == 5
        with importer.database.read() as session:
            assert openings.lock(session, version) == openings.Lock(is_locked=True, num_openings=1)

    def test_gives_the_same_manifest_in_whatever_order_files_arrive(self, importer, dataset_id):
        more = pictures("a", 7, start=50) | pictures("c", 5)
        importer.add(more, dataset_id)
        first, _ = current(importer, dataset_id)
        change(importer, dataset_id, Restore(number=1))
        importer.add(dict(reversed(more.items())), dataset_id)
        second, _ = current(importer, dataset_id)
        assert second.number == first.number + 1
        assert second.manifest_sha256 == first.manifest_sha256


def png(pixels: np.ndarray) -> bytes:
    return encode_png(np.ascontiguousarray(pixels)[..., None])


class TestWhileSomebodyElseChangesTheDataset:
    def test_what_was_excluded_meanwhile_stays_out(self, importer, dataset_id):
        importer.request_addition(importer.send_folder(pictures("c", 5)), dataset_id)
        chosen = image_id(importer, dataset_id, "a/000.png")
        work_with(importer, lambda: change(importer, dataset_id, Exclude(image_ids=[chosen])))
        version, images = current(importer, dataset_id)
        assert (version.number, version.parent_number, version.num_images) == (3, 2, 24)
        assert "a/000.png" not in images

    def test_it_is_added_to_the_version_that_was_gone_back_to(self, importer, dataset_id):
        importer.add(pictures("c", 5), dataset_id)
        importer.request_addition(importer.send_folder(pictures("d", 5)), dataset_id)
        work_with(importer, lambda: change(importer, dataset_id, Restore(number=1)))
        version, _ = current(importer, dataset_id)
        assert (version.number, version.parent_number, version.classes) == (3, 1, ["a", "b", "d"])

    def test_two_additions_both_count_and_are_compared_with_each_other(self, importer, dataset_id):
        head = phantoms.draw(phantoms.CLASSES[0], 3, 64).squeeze()
        ours = importer.request_addition(importer.send_folder({"test/a/ours.png": png(head)}), dataset_id)
        theirs = importer.send_folder({"val/b/theirs.png": png(head[:, ::-1]), "train/c/1.png": picture(1)})

        def add_theirs() -> None:
            importer.request_addition(theirs, dataset_id)
            importer.work()

        work_with(importer, once(add_theirs))
        version, images = current(importer, dataset_id)
        assert importer.job(ours).result["version_id"] == version.id
        assert (version.number, version.parent_number, version.num_images) == (3, 2, 23)
        assert (version.classes, images["val/b/theirs.png"].split) == (["a", "b", "c"], Split.VAL)
        assert images["test/a/ours.png"].split == Split.VAL
        assert version.leaks == {"patients": 0, "identical": 0, "near": 0}

    def test_the_same_images_twice_at_once_are_added_once(self, importer, dataset_id):
        more = pictures("c", 5)
        ours, theirs = (importer.request_addition(importer.send_folder(more), dataset_id) for _ in range(2))
        work_with(importer, once(importer.work))
        assert importer.job(theirs).state == JobState.SUCCEEDED
        failed = importer.job(ours)
        assert failed.state == JobState.FAILED
        assert "5 in version 2 already" in failed.error["detail"]
        assert current(importer, dataset_id)[0].num_images == 25

    def test_a_change_waits_for_the_version_that_is_being_written(self, importer, dataset_id):
        chosen = image_id(importer, dataset_id, "a/000.png")
        holds, goes_on = threading.Event(), threading.Event()

        def hold() -> None:
            with importer.database.write() as session:
                dataset = version_rows.locked(session, dataset_id)
                assert dataset is not None
                parent = versions_of(session, dataset_id)[0]
                entries = list(rows(session, parent).values())
                holds.set()
                goes_on.wait(timeout=20)
                version_rows.write_version(
                    session, dataset, parent=parent, entries=entries, left=[], classes=parent.classes, channels=1,
                    layout={}, change="held",
                )  # fmt: skip

        thread = threading.Thread(target=hold)
        thread.start()
        assert holds.wait(timeout=20)
        threading.Timer(0.5, goes_on.set).start()
        with pytest.raises(NotFoundError, match="Version 2 of dataset"):  # images have other ids in it
            change(importer, dataset_id, Exclude(image_ids=[chosen]))
        thread.join(timeout=20)
        assert current(importer, dataset_id)[0].change == "held"


def once(action: Between) -> Between:
    """`action` the first time, and nothing after that: it does jobs itself."""
    waiting = [action]
    return lambda: waiting.pop()() if waiting else None


class Killed(BaseException):
    """Stands for kill -9: nothing may handle it."""


class TestAnInterruptedAddition:
    def test_that_is_cancelled_leaves_the_dataset_as_it_was(self, importer, dataset_id):
        job = importer.request_addition(importer.send_folder(pictures("c", 5)), dataset_id)

        def cancel() -> None:
            with importer.database.write() as session:
                jobs.cancel(session, importer.who, session.get_one(Job, job.id))

        work_with(importer, cancel)
        assert importer.job(job).state == JobState.CANCELLED
        assert current(importer, dataset_id)[0].number == 1
        with importer.database.read() as session:
            assert session.get_one(Dataset, dataset_id).state == DatasetState.READY
            assert session.get_one(Upload, job.spec["upload_id"]).state == UploadState.PLANNED

    def test_that_is_killed_while_it_writes_leaves_the_dataset_as_it_was_and_goes_on(self, importer, dataset_id):
        job = importer.request_addition(importer.send_folder(pictures("c", 5)), dataset_id)

        def functions(kind: JobKind) -> Any:
            def run(context: Any, spec: Any) -> Any:
                recorder = run_function(kind)(context, spec)

                def record(session: Session, job: Job) -> Any:
                    recorder(session, job)
                    raise Killed

                return record

            return run

        with pytest.raises(Killed):
            importer.work(functions)
        assert current(importer, dataset_id)[0].number == 1
        with importer.database.write() as session:  # as the sweep does when the lease runs out
            row = session.get_one(Job, job.id)
            row.state, row.owner, row.lease_until = JobState.QUEUED, None, None
        importer.work()
        assert importer.job(job).state == JobState.SUCCEEDED
        assert current(importer, dataset_id)[0].num_images == 25

    def test_the_dataset_is_not_deleted_while_it_waits(self, importer, dataset_id, storage):
        importer.request_addition(importer.send_folder(pictures("c", 5)), dataset_id)
        with importer.database.write() as session, pytest.raises(ConflictError, match="is using this dataset"):
            datasets.delete(session, importer.who, session.get_one(Dataset, dataset_id), storage=storage)

    def test_that_is_tried_again_when_the_dataset_is_gone_says_so(self, importer, dataset_id, storage):
        upload = importer.send_folder({"a/000.png": FILES["a/000.png"]})
        job = importer.request_addition(upload, dataset_id)
        importer.work()
        with importer.database.write() as session:
            datasets.delete(session, importer.who, session.get_one(Dataset, dataset_id), storage=storage)
            jobs.retry(session, importer.who, session.get_one(Job, job.id))
        importer.work()
        assert importer.job(job).error["detail"] == f"Dataset {dataset_id} is gone, so nothing can be added to it."


class TestARequest:
    def test_is_named_after_the_dataset_and_makes_no_other(self, importer, dataset_id):
        job = importer.request_addition(importer.send_folder(pictures("c", 5)), dataset_id)
        assert job.title == "Add images to images"
        with importer.database.read() as session:
            assert session.scalars(select(Dataset.id)).all() == [dataset_id]
            assert session.get_one(Dataset, dataset_id).state == DatasetState.READY

    @pytest.mark.parametrize("given", [{}, {"name": "x", "dataset_id": 1}])
    def test_names_one_dataset_exactly(self, given):
        with pytest.raises(ValueError, match="give exactly one: name makes a new dataset"):
            ImportSpec(upload_id=1, **given)

    @pytest.mark.parametrize("state", [DatasetState.IMPORTING, DatasetState.FAILED])
    def test_is_refused_unless_the_dataset_is_ready(self, importer, dataset_id, state):
        with importer.database.write() as session:
            session.get_one(Dataset, dataset_id).state = state
        with pytest.raises(ConflictError, match=f"it is {state}, not ready") as raised:
            importer.request_addition(importer.send_folder(pictures("c", 5)), dataset_id)
        assert raised.value.errors[0]["pointer"] == "/dataset_id"

    def test_is_refused_for_a_dataset_of_another_project(self, importer, database):
        with database.write() as session:
            stranger = factories.identity(session, "other")
            theirs = factories.dataset_with_version(session, stranger).dataset_id
        with pytest.raises(NotFoundError, match=f"There is no dataset {theirs}"):
            importer.request_addition(importer.send_folder(pictures("c", 5)), theirs)

    def test_is_refused_for_an_option_that_does_not_fit_the_upload(self, importer, dataset_id):
        with pytest.raises(BadInputError, match="no table with a column"):
            importer.request_addition(importer.send_folder(pictures("c", 5)), dataset_id, group_by="patient")
