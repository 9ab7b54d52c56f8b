import io
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.core.config import Settings
from app.core.errors import BadInputError, ConflictError, NotFoundError, TooLargeError
from app.services import uploads
from models import JobState, Upload, UploadState
from tests import factories
from tests.app.core.hostile import zipped
from tests.imports import Importer, pictures

FILES = {
    "top/a/1.png": b"one",
    "top/a/2.png": b"four",
    "top/b/3.png": b"",
    "top/b/4.png": b"x",
    "top/README.md": b"read",
}
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


class TestFolders:
    def test_arrive_in_batches_and_are_planned(self, importer: Importer):
        upload = importer.send_folder(FILES)
        assert (upload.state, upload.num_files, upload.num_bytes) == (UploadState.PLANNED, 5, 12)
        assert upload.plan["counts"] == {"a": {"all": 2}, "b": {"all": 1}}
        assert upload.plan["ignored"] == [
            {"path": "top/README.md", "reason": "Its ending .md is not that of an image that is read."},
            {"path": "top/b/3.png", "reason": "The file is empty."},
        ]  # fmt: skip
        assert (upload.plan["total_bytes"], upload.plan["num_ignored"], upload.plan["num_images"]) == (8, 2, 3)

    @sqlite_only
    def test_a_batch_that_is_sent_again_counts_once(self, importer: Importer, settings, database, who):
        upload = importer.send_folder(FILES)
        place = uploads.folder(settings, upload)
        again = [place.receive_file(path, io.BytesIO(data), bytes_so_far=0) for path, data in FILES.items()]
        with database.write() as session:
            upload = uploads.get(session, who, upload.id)
            uploads.add_files(session, settings, upload, again)
        assert (upload.num_files, upload.state, upload.plan) == (5, UploadState.RECEIVING, None)

    def test_batches_that_arrive_at_the_same_time_are_all_counted(self, database, settings, who):
        with database.write() as session:
            upload = uploads.start(session, who, kind="folder", name="f")

        def send(batch: int) -> None:
            place = uploads.folder(settings, upload)
            received = [place.receive_file(f"a/{batch}-{i}.png", io.BytesIO(b"xy"), bytes_so_far=0) for i in range(5)]
            with database.write() as session:
                uploads.add_files(session, settings, uploads.get(session, who, upload.id), received)

        with ThreadPoolExecutor(4) as executor:
            list(executor.map(send, range(8)))
        with database.read() as session:
            found = uploads.get(session, who, upload.id)
            assert (found.num_files, found.num_bytes) == (40, 80)
            assert uploads.look(settings, found)["num_images"] == 40

    @sqlite_only
    @pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "a/", "", "a/\x00.png"])
    def test_paths_that_leave_the_folder_are_refused_and_write_nothing(self, database, settings, who, path, tmp_path):
        with database.write() as session:
            upload = uploads.start(session, who, kind="folder", name="f")
        before = set(tmp_path.rglob("*"))
        with pytest.raises(BadInputError):
            uploads.folder(settings, upload).receive_file(path, io.BytesIO(b"x"), bytes_so_far=0)
        assert set(tmp_path.rglob("*")) == before

    @sqlite_only
    def test_files_lie_under_names_of_our_own(self, importer: Importer, settings):
        upload = importer.send_folder(FILES)
        names = {path.name for path in uploads.folder(settings, upload).folder.rglob("*")}
        assert not names & {"top", "a", "b", "1.png", "README.md"}

    @sqlite_only
    def test_too_many_files_or_bytes_name_the_setting(self, database, who, tmp_path, database_url):
        settings = Settings(
            _env_file=None, data_dir=tmp_path, database_url=database_url, max_files=4, max_upload_gb=1e-8
        )
        importer = Importer(database, settings, None, who)
        with pytest.raises(BadInputError, match="more than 4 files"):
            importer.send_folder({f"a/{i}": b"1" for i in range(5)})
        with database.write() as session:
            upload = uploads.start(session, who, kind="folder", name="f")
        with pytest.raises(TooLargeError) as caught:
            uploads.folder(settings, upload).receive_file("a/1.png", io.BytesIO(b"12345"), bytes_so_far=6)
        assert "PHANTOM_MAX_UPLOAD_GB" in caught.value.hint
        assert not [path for path in uploads.folder(settings, upload).folder.rglob("*") if path.is_file()]


class TestArchives:
    def test_arrive_in_pieces_and_are_planned(self, database, settings, who):
        data = zipped(*FILES.items())
        with database.write() as session:
            upload = uploads.start(session, who, kind="archive", name="x.zip")
        place, at = uploads.folder(settings, upload), 0
        rng = random.Random(0)
        while at < len(data):
            at = place.append(at, data[at : at + rng.randrange(1, 200)])
        with database.write() as session:
            upload = uploads.get(session, who, upload.id)
            uploads.note_size(session, settings, upload)
            plan = uploads.plan(session, settings, upload)
        assert (upload.num_files, upload.num_bytes, plan["num_images"]) == (1, len(data), 3)

    @sqlite_only
    def test_a_piece_that_does_not_fit_says_where_to_go_on(self, database, settings, who):
        with database.write() as session:
            upload = uploads.start(session, who, kind="archive", name="x.zip")
        place = uploads.folder(settings, upload)
        assert place.append(0, b"12345") == 5
        for offset in (0, 4, 6):
            with pytest.raises(ConflictError) as caught:
                place.append(offset, b"678")
            assert caught.value.hint == "Go on at byte 5."
        assert place.append(5, b"678") == 8

    @sqlite_only
    def test_a_plan_of_no_archive_or_of_none_at_all_says_so(self, importer: Importer, database, settings, who):
        with pytest.raises(BadInputError, match=r"no zip, tar or tar\.gz"):
            importer.send_archive(b"hello")
        with database.write() as session:
            upload = uploads.start(session, who, kind="archive", name="x.zip")
            with pytest.raises(ConflictError, match="Nothing of the archive"):
                uploads.plan(session, settings, upload)

    @sqlite_only
    def test_files_do_not_go_into_an_archive(self, database, settings, who):
        with database.write() as session:
            upload = uploads.start(session, who, kind="archive", name="x.zip")
        with pytest.raises(ConflictError, match="is for an archive, not for a folder"):
            uploads.folder(settings, upload).receive_file("a/1.png", io.BytesIO(b"x"), bytes_so_far=0)


@sqlite_only
def test_an_unknown_kind_is_refused(database, who):
    with database.write() as session, pytest.raises(BadInputError, match="use archive or folder"):
        uploads.start(session, who, kind="ftp", name="x")


def test_another_project_does_not_see_it(importer: Importer, database):
    upload = importer.send_folder(FILES)
    with database.write() as session:
        stranger = factories.identity(session, "other")
        with pytest.raises(NotFoundError, match=f"There is no upload {upload.id}"):
            uploads.get(session, stranger, upload.id)


class TestDiscard:
    def test_deletes_the_bytes_and_takes_no_more(self, importer: Importer, database, settings, who):
        upload = importer.send_folder(FILES)
        place = uploads.folder(settings, upload)
        with database.write() as session:
            upload = uploads.get(session, who, upload.id)
            uploads.discard(session, settings, upload)
            assert place.folder.exists()  # until it is committed
        assert not place.folder.exists()
        with pytest.raises(ConflictError, match="is discarded"):
            uploads.folder(settings, upload)

    @sqlite_only
    def test_keeps_the_bytes_if_the_transaction_fails(self, importer: Importer, database, settings, who):
        upload = importer.send_folder(FILES)

        def discard_and_fail() -> None:
            with database.write() as session:
                uploads.discard(session, settings, uploads.get(session, who, upload.id))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            discard_and_fail()
        with database.read() as session:
            assert session.get_one(Upload, upload.id).state == UploadState.PLANNED
        assert uploads.folder(settings, upload).folder.exists()

    @sqlite_only
    def test_is_refused_while_it_is_imported(self, importer: Importer, database, settings, who):
        upload = importer.send_folder(pictures("a", 3))
        job = importer.request(upload)
        assert job.state == JobState.QUEUED
        with database.write() as session, pytest.raises(ConflictError, match=f"Job {job.id} is importing"):
            uploads.discard(session, settings, uploads.get(session, who, upload.id))
