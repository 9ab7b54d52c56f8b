import pytest
from sqlalchemy import update

from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.services import datasets, jobs, uploads
from models import AuditPair, Dataset, DatasetState, Job, JobState, Split, UploadedImage, UploadState
from models.specs import ImportSpec
from tests import factories
from tests.audit_data import audited
from tests.imports import Importer, picture, pictures

FILES = pictures("a", 10) | pictures("b", 5)
BROKEN = {"a/1.png": b"no image", "b/1.png": b"neither"}
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


class TestRequestImport:
    def test_makes_a_dataset_that_is_importing_and_a_job(self, importer: Importer, database, who):
        job = importer.request(importer.send_folder(FILES), "  lung   CT ", seed=3)
        with database.read() as session:
            dataset = datasets.by_name(session, who, "lung CT")
            assert (dataset.state, dataset.job_id) == (DatasetState.IMPORTING, job.id)
            assert datasets.current_version(session, dataset) is None
        assert (job.title, job.queue, job.spec["seed"]) == ("Import lung CT", "io", 3)

    def test_refuses_a_name_that_is_taken(self, importer: Importer, database, who):
        importer.request(importer.send_folder(FILES), "x")
        upload = importer.send_folder(FILES)
        with pytest.raises(ConflictError, match="There is a dataset named 'x' already") as caught:
            importer.request(upload, "x")
        assert "another name" in caught.value.hint
        assert caught.value.errors[0]["pointer"] == "/name"

    @sqlite_only
    def test_the_same_idempotency_key_gives_the_same_job_and_dataset(self, importer: Importer, database, who):
        upload = importer.send_folder(FILES)
        spec = ImportSpec(upload_id=upload.id, name="x")
        ids = []
        for _ in range(2):
            with database.write() as session:
                row = uploads.get(session, who, upload.id)
                ids.append(datasets.request_import(session, who, row, spec, idempotency_key="k").id)
        with database.read() as session:
            assert ids[0] == ids[1]
            assert len(datasets.listing(session, who).items) == 1

    @sqlite_only
    def test_refuses_an_upload_without_a_plan_or_one_that_is_being_imported(self, importer: Importer, database, who):
        with database.write() as session:
            upload = uploads.start(session, who, kind="folder", name="f")
            with pytest.raises(ConflictError, match="has no plan yet"):
                datasets.request_import(session, who, upload, ImportSpec(upload_id=upload.id, name="x"))
        upload = importer.send_folder(FILES)
        importer.request(upload, "x")
        with pytest.raises(ConflictError, match="is using this upload"):
            importer.request(upload, "y")

    def test_an_import_that_failed_says_why_and_gives_up_its_name(self, importer: Importer, database, who):
        failed = importer.run(importer.send_folder(BROKEN), "x")
        assert failed.state == JobState.FAILED
        assert "None of the 2 images can be read; the first is a/1.png" in failed.error["detail"]
        with database.read() as session:
            assert datasets.by_name(session, who, "x").state == DatasetState.FAILED
        assert importer.run(importer.send_folder(FILES), "x").state == JobState.SUCCEEDED
        with database.read() as session:
            (dataset,) = datasets.listing(session, who).items
            assert (dataset.name, dataset.state) == ("x", DatasetState.READY)

    def test_a_cancelled_import_gives_up_its_name(self, importer: Importer, database, who):
        upload = importer.send_folder(FILES)
        job = importer.request(upload, "x")
        with database.write() as session:
            jobs.cancel(session, who, session.get_one(Job, job.id))
        assert importer.run(upload, "x").state == JobState.SUCCEEDED

    @sqlite_only
    def test_a_retry_finds_its_name_given_away(self, importer: Importer, database, who):
        failed = importer.run(importer.send_folder(BROKEN), "x")
        importer.run(importer.send_folder(FILES), "x")
        with database.write() as session:
            jobs.retry(session, who, session.get_one(Job, failed.id))
        importer.work()
        with database.read() as session:
            assert session.get_one(Job, failed.id).state == JobState.FAILED
            assert len(datasets.listing(session, who).items) == 1


@pytest.fixture
def ready(importer: Importer, database, who) -> Dataset:
    """A dataset of two classes with a copy, a broken and an ignored file."""
    files = FILES | {
        "b/copy.png": FILES["b/000.png"],
        "a/broken.png": b"no",
        "notes.txt": b"hello",
        "b/rgb.png": picture(1, mode="RGB"),
    }
    job = importer.run(importer.send_folder(files), "ready")
    assert job.state == JobState.SUCCEEDED, job.error
    with database.read() as session:
        return datasets.get(session, who, job.result["dataset_id"])


class TestLooking:
    def test_versions_images_and_refused_files(self, database, who, ready):
        with database.read() as session:
            version = datasets.current_version(session, ready)
            assert datasets.current_versions(session, [ready]) == {ready.id: version}
            assert datasets.versions(session, ready) == [version] == [datasets.version(session, version.id)]
            everything = datasets.images(session, version, limit=500)
            paths = [image.path for image in everything.items]
            assert len(paths) == 17
            assert paths == sorted(paths)
            of_b = datasets.images(session, version, label=1, limit=500).items
            assert {image.path.split("/")[0] for image in of_b} == {"b"}
            tests = datasets.images(session, version, split=Split.TEST, limit=500).items
            assert len(tests) == sum(splits["test"] for splits in version.counts.values())
            refused = [(file.path, file.kind) for file in datasets.refused(session, version).items]
            assert refused == [("a/broken.png", "broken"), ("notes.txt", "ignored")]
            assert [file.path for file in datasets.refused(session, version, kind="broken").items] == ["a/broken.png"]

    def test_pages_of_images_follow_each_other(self, database, ready):
        with database.read() as session:
            version, cursor, paths = datasets.current_version(session, ready), None, []
            for _ in range(4):
                found = datasets.images(session, version, cursor=cursor, limit=5)
                paths += [image.path for image in found.items]
                cursor = found.next_cursor
            assert cursor is None
            assert len(paths) == len(set(paths)) == 17

    def test_the_summary_counts(self, database, ready):
        with database.read() as session:
            summary = datasets.summary(session, datasets.current_version(session, ready)).as_json()
        assert summary["num_images"] == 17
        assert summary["modes"] == {"L": 16, "RGB": 1}
        assert summary["sizes"] == {"width": {"min": 12, "max": 12}, "height": {"min": 9, "max": 9}}
        assert summary["duplicates"] == {"images": 1, "groups": 1, "across_splits": 0, "across_classes": 0}
        assert summary["refused"] == {"ignored": 1, "broken": 1, "duplicate": 0, "leaking": 0, "excluded": 0}
        assert summary["class_balance"] == {"a": 10 / 17, "b": 7 / 17}

    def test_what_is_another_projects_is_not_there(self, database, ready):
        with database.write() as session:
            stranger = factories.identity(session, "other")
            image = datasets.images(session, datasets.current_version(session, ready)).items[0]
            assert datasets.listing(session, stranger).items == []
            assert datasets.by_name(session, stranger, ready.name) is None
            for find, row_id in ((datasets.get, ready.id), (datasets.image, image.id)):
                with pytest.raises(NotFoundError):
                    find(session, stranger, row_id)

    @sqlite_only
    @pytest.mark.parametrize("row_id", [0, -1, 999, 2**63, 10**30])
    def test_ids_that_no_row_can_have_are_not_found(self, database, who, row_id):
        with database.read() as session:
            for find in (datasets.get, datasets.image):
                with pytest.raises(NotFoundError):
                    find(session, who, row_id)
            with pytest.raises(NotFoundError):
                datasets.version(session, row_id)


class TestChanging:
    @sqlite_only
    def test_rename(self, importer: Importer, database, who, ready):
        importer.run(importer.send_folder(FILES), "other")
        with database.write() as session:
            dataset = datasets.get(session, who, ready.id)
            assert datasets.rename(session, who, dataset, " new  name ").name == "new name"
            assert datasets.describe(session, dataset, " 17 images ").description == "17 images"
            with pytest.raises(ConflictError, match="named 'other' already"):
                datasets.rename(session, who, dataset, "other")
            with pytest.raises(BadInputError, match="0 characters"):
                datasets.rename(session, who, dataset, "  ")

    def test_delete_removes_rows_and_files(self, database, storage, who, ready):
        with database.read() as session:
            keys = {
                i.stored_sha256
                for i in datasets.images(session, datasets.current_version(session, ready), limit=500).items
            }
        with database.write() as session:
            datasets.delete(session, who, datasets.get(session, who, ready.id), storage=storage)
            assert all(storage.exists(key) for key in keys)  # until it is committed
        assert not any(storage.exists(key) for key in keys)
        with database.read() as session:
            assert datasets.listing(session, who).items == []

    @sqlite_only
    def test_delete_keeps_files_that_another_dataset_has_too(self, importer: Importer, database, storage, who, ready):
        importer.run(importer.send_folder(FILES), "same images")
        with database.write() as session:
            datasets.delete(session, who, datasets.get(session, who, ready.id), storage=storage)
        with database.read() as session:
            left = datasets.current_version(session, datasets.by_name(session, who, "same images"))
            for image in datasets.images(session, left, limit=500).items:
                assert storage.exists(image.stored_sha256)
                assert storage.exists(image.thumbnail_sha256)

    def test_delete_keeps_files_that_a_row_of_another_kind_names(self, database, storage, who, ready):
        with database.write() as session:
            image, *others = datasets.images(session, datasets.current_version(session, ready), limit=500).items
            alone = {"stored_sha256": image.stored_sha256, "thumbnail_sha256": image.thumbnail_sha256}
            session.add(UploadedImage(project_id=who.project_id, name="mine.png", width=12, height=9, **alone))
        with database.write() as session:
            datasets.delete(session, who, datasets.get(session, who, ready.id), storage=storage)
        assert all(storage.exists(key) for key in alone.values())
        assert not any(storage.exists(other.stored_sha256) for other in others)

    @sqlite_only
    def test_delete_is_refused_while_something_was_made_from_it(self, database, storage, who, ready):
        with database.write() as session:
            factories.classifier(session, who, datasets.current_version(session, ready))
        with database.write() as session, pytest.raises(ConflictError, match="1 classifiers made from it"):
            datasets.delete(session, who, datasets.get(session, who, ready.id), storage=storage)

    def test_delete_is_refused_while_an_audit_shows_its_images(self, database, storage, who, ready):
        with database.write() as session:
            other = factories.dataset_with_version(session, who, name="other")
            drawn = factories.synthetic_set(session, who, factories.checkpoint(session, who, other))
            audit = audited(session, who, drawn)
            image = datasets.images(session, datasets.current_version(session, ready), limit=1).items[0]
            session.execute(update(AuditPair).where(AuditPair.audit_id == audit.id).values(image_id=image.id))
        with database.write() as session, pytest.raises(ConflictError, match="1 audits made from it"):
            datasets.delete(session, who, datasets.get(session, who, ready.id), storage=storage)

    @sqlite_only
    def test_delete_is_refused_while_it_is_imported(self, importer: Importer, database, storage, who):
        job = importer.request(importer.send_folder(FILES), "x")
        with database.write() as session, pytest.raises(ConflictError, match="still being imported") as caught:
            datasets.delete(session, who, datasets.by_name(session, who, "x"), storage=storage)
        assert caught.value.hint == f"Cancel job {job.id} first."


def test_after_an_import_its_upload_is_gone(importer: Importer, database, settings, who):
    upload = importer.send_folder(FILES)
    place = uploads.folder(settings, upload).folder
    importer.run(upload)
    assert not place.exists()
    with database.read() as session:
        upload = uploads.get(session, who, upload.id)
        assert upload.state == UploadState.IMPORTED
    with pytest.raises(ConflictError, match="was imported already"):
        importer.request(upload, "again")
