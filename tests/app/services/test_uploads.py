import gzip
import io
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.core.config import Settings
from app.core.errors import BadInputError, ConflictError, NotFoundError, TooLargeError
from app.services import uploads
from models import JobState, Upload, UploadState
from models.specs import LayoutOptions
from tests import factories
from tests.app.core.hostile import tarred, zipped
from tests.app.core.layout_files import GOOD_NPZ, npz
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


@pytest.fixture
def on_server(database, database_url, storage, who, tmp_path) -> Importer:
    """An importer of a studio that may read one folder of the server."""
    (tmp_path / "server").mkdir()
    settings = Settings(
        _env_file=None, data_dir=tmp_path / "data", database_url=database_url, import_roots=str(tmp_path / "server")
    )
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


TABLE = b"path,label,patient_id\n" + b"".join(
    b"%d.png,%s,Erika %d\n" % (i, b"ab"[i % 2 : i % 2 + 1], i // 2) for i in range(6)
)
LISTED = {f"top/{i}.png": b"x" for i in range(6)} | {"top/manifest.csv": TABLE}


@sqlite_only
class TestATable:
    @pytest.mark.parametrize("how", ["folder", "zip", "tar.gz"])
    def test_is_read_wherever_it_lies(self, importer: Importer, settings, how: str):
        send = {
            "folder": lambda: importer.send_folder(LISTED),
            "zip": lambda: importer.send_archive(zipped(*LISTED.items())),
            "tar.gz": lambda: importer.send_archive(gzip.compress(tarred(*LISTED.items()))),
        }
        upload = send[how]()
        assert upload.plan["counts"] == {"a": {"all": 3}, "b": {"all": 3}}
        assert upload.plan["table"]["num_listed"] == 6
        assert [column["examples"] for column in upload.plan["columns"]][2] == ["Erika 0", "Erika 1", "Erika 2"]
        assert not list(uploads.folder(settings, upload).folder.glob("look-*"))

    def test_that_is_damaged_in_the_archive_is_ignored_with_the_reason(self, importer: Importer):
        files = {f"{name}/{i}.png": b"x" for name in "ab" for i in range(3)} | {"manifest.csv": TABLE}
        data = bytearray(zipped(*files.items(), method=zipfile.ZIP_STORED))
        data[data.index(TABLE[:20]) + 5] ^= 1
        (ignored,) = importer.send_archive(bytes(data)).plan["ignored"]
        assert ignored["path"] == "manifest.csv"
        assert "damaged" in ignored["reason"]

    def test_can_be_looked_at_with_other_options_of_which_nothing_is_kept(self, importer: Importer, settings, database):
        upload = importer.send_folder(LISTED)
        preview = uploads.look_again(settings, upload, LayoutOptions(group_by="patient_id"))
        assert preview.plan["groups"] == {
            "by": "patient_id",
            "pattern": None,
            "num_groups": 3,
            "without_group": 0,
            "largest": 2,
        }
        assert preview.grouped[:3] == [("top/0.png", "Erika 0"), ("top/1.png", "Erika 0"), ("top/2.png", "Erika 1")]
        by_pattern = uploads.look_again(settings, upload, LayoutOptions(group_pattern="([0-3]).png"))
        assert by_pattern.ungrouped == ["top/4.png", "top/5.png"]
        assert (
            uploads.look_again(settings, upload, LayoutOptions(label_by="patient_id")).plan["classes"][0] == "Erika 0"
        )
        with database.read() as session:
            assert session.get_one(Upload, upload.id).plan["groups"] is None

    def test_what_arrives_later_is_seen_by_the_next_look(self, importer: Importer, settings, database, who):
        upload = importer.send_folder(LISTED)
        uploads.look_again(settings, upload, LayoutOptions(group_by="patient_id"))
        place = uploads.folder(settings, upload)
        more = place.receive_file("top/6.png", io.BytesIO(b"x"), bytes_so_far=0)
        with database.write() as session:
            upload = uploads.get(session, who, upload.id)
            uploads.add_files(session, settings, upload, [more])
        preview = uploads.look_again(settings, upload, LayoutOptions(group_by="patient_id"))
        assert preview.plan["ignored"] == [{"path": "top/6.png", "reason": "top/manifest.csv does not list it."}]

    @pytest.mark.parametrize(("options", "pointer"), [
        ({"group_by": "patient"}, "/group_by"), ({"label_by": "dx"}, "/label_by"),
    ])  # fmt: skip
    def test_an_import_by_a_column_that_is_not_there_is_refused(self, importer: Importer, options, pointer: str):
        with pytest.raises(BadInputError, match="no table with a column") as caught:
            importer.request(importer.send_folder(LISTED), **options)
        assert caught.value.errors[0]["pointer"] == pointer
        assert caught.value.hint == "It has path, label, patient_id."

    def test_an_import_without_a_known_class_is_refused_until_it_is_named(self, importer: Importer):
        upload = importer.send_folder(
            LISTED | {"top/manifest.csv": TABLE.replace(b"label", b"x").replace(b"patient_id", b"y")}
        )
        assert upload.plan["needs"] == "label_by"
        with pytest.raises(BadInputError, match="Nothing says which class"):
            importer.request(upload)
        assert importer.request(upload, label_by="x").spec["label_by"] == "x"


@sqlite_only
class TestAnNpzFile:
    @pytest.mark.parametrize("how", ["archive", "in an archive", "folder", "server"])
    def test_is_planned_however_it_comes(self, on_server: Importer, how: str):
        data = npz(**GOOD_NPZ)
        (root := on_server.settings.import_folders[0]).joinpath("path.npz").write_bytes(data)
        send = {
            "archive": lambda: on_server.send_archive(data, "path.npz"),
            "in an archive": lambda: on_server.send_archive(zipped(("top/path.npz", data))),
            "folder": lambda: on_server.send_folder({"top/path.npz": data}),
            "server": lambda: on_server.name_on_server(root / "path.npz"),
        }
        upload = send[how]()
        assert (upload.plan["kind"], upload.plan["num_images"]) == ("npz", 11)
        assert upload.plan["counts"]["1"] == {"train": 2, "val": 0, "test": 1}


class TestOnTheServer:
    def test_nothing_is_sent_and_nothing_there_is_ever_deleted(self, on_server: Importer, database, who):
        settings = on_server.settings
        (root,) = settings.import_folders
        for path, data in LISTED.items():
            (root / path.split("/")[1]).write_bytes(data)
        upload = on_server.name_on_server(root)
        assert (upload.name, upload.num_files, upload.plan["num_images"]) == (str(root), 6, 6)
        with pytest.raises(ConflictError, match="is for what lies on the server, not for a folder"):
            uploads.folder(settings, upload).receive_file("a/1.png", io.BytesIO(b"x"), bytes_so_far=0)
        with database.write() as session:
            uploads.discard(session, settings, uploads.get(session, who, upload.id))
        assert len(list(root.iterdir())) == 7

    @sqlite_only
    def test_a_path_that_is_not_allowed_is_refused_with_a_pointer(self, importer: Importer):
        with pytest.raises(BadInputError, match="imports nothing from folders") as caught:
            importer.name_on_server("/etc")
        assert caught.value.errors[0]["pointer"] == "/path"


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
