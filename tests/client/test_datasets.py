"""Uploading through the client, against a real server and a real import."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import phantom.sending
import pytest
from phantom import JobFailed, NameTaken, PhantomError, ProblemError, Studio, StudioUnreachable
from phantom.progress import Progress
from phantom.sending import ArchiveSender, FolderSender

from tests.imports import picture
from tests.lab import Lab
from workers.runner import Runner

Draw = Callable[..., Path]


def test_a_folder_becomes_a_dataset_that_is_ready(studio: Studio, worker: Runner, draw: Draw) -> None:
    folder = draw(per_class=10)
    (folder / "README.txt").write_text("not an image")
    data = studio.datasets.upload(folder, name="shapes", progress=False)
    assert data.classes == ["disc", "ring"]
    assert data.counts == {name: {"train": 7, "val": 1, "test": 2} for name in data.classes}
    assert data.num_images == 20
    assert [each["path"].rsplit("/", 1)[-1] for each in data.refused()] == ["README.txt"]


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_becomes_the_same_dataset(
    studio: Studio, worker: Runner, draw: Draw, tmp_path: Path, kind: str
) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, draw(per_class=5))
    data = studio.datasets.upload(archive, name="packed", progress=False)
    assert (data.classes, data.num_images) == (["disc", "ring"], 10)


def test_an_archive_is_sent_in_pieces(
    studio: Studio, worker: Runner, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phantom.sending, "PIECE_BYTES", 1000)
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", draw(per_class=5)))
    assert archive.stat().st_size > 3000
    assert studio.datasets.upload(archive, name="pieces", progress=False).num_images == 10


def test_an_upload_goes_on_where_it_was_broken_off(
    studio: Studio, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", draw(per_class=5)))
    upload = studio.transport.post("/api/v1/uploads", {"kind": "archive", "name": archive.name})
    sender = ArchiveSender(studio.transport, upload["id"], archive)
    sender.send_piece(0, archive.read_bytes()[:1000])
    sender.send()  # begins at 0, is told 1000
    assert sender.offset() == archive.stat().st_size
    assert studio.datasets.plan(upload)["num_images"] == 10


def test_many_files_go_in_batches(studio: Studio, worker: Runner, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom.sending, "BATCH_FILES", 3)
    assert studio.datasets.upload(draw(per_class=5), name="batches", progress=False).num_images == 10


class TestAFolderThatIsSentAgain:
    def test_sends_only_what_is_missing_and_imports_what_it_is_now(
        self, studio: Studio, worker: Runner, draw: Draw, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(phantom.sending, "PART_FILES", 4)
        monkeypatch.setattr(phantom.sending, "BATCH_FILES", 3)
        folder = draw(per_class=5)
        broken_off(studio, folder, monkeypatch, after_batches=2)
        (folder / "disc" / "001.png").unlink()
        shutil.copy(folder / "ring" / "003.png", folder / "ring" / "changed.png")
        (folder / "disc" / "002.png").write_bytes(picture(7))
        sender = FolderSender(studio.transport, start(studio, folder), folder)
        sender.send(Progress("", quiet=True))
        # 4 had arrived: two batches of part 0, of 3 and of 1. One is gone, one is another file now.
        assert (sender.num_files, sender.num_missing) == (10, 8)
        assert studio.datasets.upload(folder, name="shapes", progress=False).num_images == 10
        paths = {image.path for image in studio.datasets.get("shapes").images()}
        assert "shapes/disc/001.png" not in paths
        assert "shapes/ring/changed.png" in paths

    def test_sends_nothing_if_all_has_arrived(self, studio: Studio, draw: Draw) -> None:
        folder = draw(per_class=3)
        studio.datasets.send(folder, progress=False)
        sender = FolderSender(studio.transport, start(studio, folder), folder)
        sender.send(Progress("", quiet=True))
        assert (sender.num_files, sender.num_missing) == (6, 0)

    def test_waits_for_a_connection_that_broke(
        self, studio: Studio, draw: Draw, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(phantom.sending, "_pause_s", lambda tries: 0.0)
        send, failures = studio.transport.send, iter((True, True))

        def fragile(method: str, path: str, **options: object) -> object:
            if path.endswith("/files") and next(failures, False):
                raise StudioUnreachable("lost")
            return send(method, path, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(studio.transport, "send", fragile)
        assert studio.datasets.send(draw(per_class=3), progress=False)["num_files"] == 6

    def test_says_how_far_it_is(self, studio: Studio, draw: Draw, capsys: pytest.CaptureFixture[str]) -> None:
        folder = draw(per_class=3)
        studio.datasets.send(folder)
        assert "shapes: looking at what is already there, 6 of 6 files" in capsys.readouterr().err
        (folder / "disc" / "new.png").write_bytes(picture(1))
        studio.datasets.send(folder)
        assert "shapes: sending 1 of 1 files; 6 were already there" in capsys.readouterr().err

    def test_that_holds_a_name_with_quotation_marks_arrives(self, studio: Studio, draw: Draw) -> None:
        folder = draw(per_class=1)
        (folder / "disc" / 'a "b" %22.png').write_bytes(picture(1))
        assert studio.datasets.send(folder, progress=False)["num_files"] == 3


def start(studio: Studio, folder: Path) -> int:
    upload: dict[str, int] = studio.transport.post("/api/v1/uploads", {"kind": "folder", "name": folder.name})
    return upload["id"]


def broken_off(studio: Studio, folder: Path, monkeypatch: pytest.MonkeyPatch, *, after_batches: int) -> None:
    """Send the folder with a connection that is lost for good after so many batches."""
    sender, send, left = (
        FolderSender(studio.transport, start(studio, folder), folder),
        studio.transport.send,
        after_batches,
    )

    def fragile(method: str, path: str, **options: object) -> object:
        nonlocal left
        if path.endswith("/files"):
            left -= 1
            if left < 0:
                raise StudioUnreachable("lost")
        return send(method, path, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(phantom.sending, "_pause_s", lambda tries: 0.0)
        patched.setattr(studio.transport, "send", fragile)
        with pytest.raises(StudioUnreachable, match="only what is missing"):
            sender.send(Progress("", quiet=True))


def test_links_are_not_followed(studio: Studio, draw: Draw, tmp_path: Path) -> None:
    folder = draw(per_class=3)
    secret = tmp_path / "secret.png"
    shutil.copy(folder / "disc" / "000.png", secret)
    (folder / "disc" / "link.png").symlink_to(secret)
    assert studio.datasets.send(folder)["num_files"] == 6


def test_a_name_that_is_taken_is_refused_before_anything_is_sent(studio: Studio, worker: Runner, draw: Draw) -> None:
    folder = draw(per_class=3)
    studio.datasets.upload(folder, name="shapes", progress=False)
    with pytest.raises(NameTaken, match="'shapes' already") as raised:
        studio.datasets.upload(folder, name="shapes", progress=False)
    assert "studio.datasets.get('shapes')" in raised.value.hint


def test_health_measures_and_prints(studio: Studio, worker: Runner, draw: Draw) -> None:
    folder = draw(per_class=4)
    shutil.copy(folder / "disc" / "000.png", folder / "disc" / "again.png")
    health = studio.datasets.upload(folder, name="shapes", progress=False).health
    assert health["num_images"] == 9
    assert health["duplicates"]["images"] == 1
    assert health["duplicates"]["across_splits"] == 0
    assert health["sizes"]["width"] == {"min": 16, "max": 16}
    assert health["modes"] == {"L": 9}
    assert "1 images have the same pixels" in str(health)


def test_an_upload_waits_for_the_check_so_that_health_has_findings(studio: Studio, worker: Runner, draw: Draw) -> None:
    folder = draw(per_class=4)
    shutil.copy(folder / "disc" / "000.png", folder / "ring" / "again.png")
    data = studio.datasets.upload(folder, name="shapes", progress=False)
    health = data.health
    assert health["check"]["state"] == "succeeded"
    assert health.findings[0]["kind"] == "label_conflicts"
    assert health["measured"]["copies"]["across_classes"] == 1
    assert "findings    serious: 1 picture stands under several classes\n            " in str(health)
    again = data.check()
    assert again.kind == "check_dataset"
    assert again.wait(progress=False).id == data.id
    assert data.health["check"]["job_id"] == again.id


def test_a_check_that_fails_does_not_fail_the_upload(
    studio: Studio, worker: Runner, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("out of luck")

    monkeypatch.setattr("workers.jobs.check_dataset.measure", fail)
    data = studio.datasets.upload(draw(per_class=4), name="shapes", progress=False)
    assert data.health["check"]["state"] == "failed"
    assert f"findings    the check is job {data.health['check']['job_id']}, failed" in str(data.health)


def test_a_version_that_nobody_checked_says_so(studio: Studio, lab: Lab) -> None:
    assert "findings    not checked; see data.check()" in str(studio.datasets.get(lab.dataset).health)


def test_a_card_is_written_bit_by_bit_and_downloaded(
    studio: Studio, worker: Runner, draw: Draw, tmp_path: Path
) -> None:
    data = studio.datasets.upload(draw(per_class=4), name="shapes", progress=False)
    assert "licence" in data.card["not_stated"]
    data.describe(source="Drawn by a test", licence="CC0")
    card = data.describe(licence="CC BY 4.0")
    assert (card["text"]["source"], card["text"]["licence"]) == ("Drawn by a test", "CC BY 4.0")
    written = data.download_card(tmp_path / "card")
    assert [path.name for path in written] == ["card.md", "croissant.json", "manifest.csv"]
    assert "> Drawn by a test" in written[0].read_text()
    (file,) = json.loads(written[1].read_text())["distribution"]
    assert file["sha256"] == hashlib.sha256(written[2].read_bytes()).hexdigest()
    with pytest.raises(ProblemError, match="not known"):
        data.describe(license="CC0")


def test_splits_and_images(studio: Studio, worker: Runner, draw: Draw) -> None:
    data = studio.datasets.upload(draw(per_class=10), name="shapes", progress=False)
    test = data.split("test")
    assert test.num_images == 4
    assert len(test.images()) == 4
    assert [image.label for image in test.images(limit=1, label="ring")] == ["ring"]
    assert {image.split for image in test.images(limit=3)} == {"test"}
    with pytest.raises(PhantomError, match="no split 'valid'"):
        data.split("valid")


def test_datasets_are_listed_and_found_by_name(studio: Studio, worker: Runner, draw: Draw) -> None:
    made = studio.datasets.upload(draw(per_class=3), name="shapes", progress=False)
    assert [each.name for each in studio.datasets.list()] == ["shapes"]
    assert studio.datasets.get("shapes").id == studio.datasets.get(made.id).id == made.id
    with pytest.raises(PhantomError, match="no dataset named 'other'"):
        studio.datasets.get("other")


class TestAdd:
    def test_makes_a_version_which_the_dataset_then_shows(self, studio: Studio, worker: Runner, draw: Draw) -> None:
        data = studio.datasets.upload(draw("first", per_class=5), name="shapes", progress=False)
        more = draw("more", per_class=7)  # five of each class are there already
        (more / "ring").rename(more / "cross")
        found = data.add(more, progress=False)
        assert found is data
        assert (data.version["number"], data.version["change"]) == (2, "Add 9 images")
        assert data.classes == ["disc", "ring", "cross"]
        assert sum(each["kind"] == "duplicate" for each in data.refused()) == 5
        assert data.difference(1, 2)["counts"] == {"added": 9}
        assert data.health["check"]["state"] == "succeeded"

    def test_takes_the_options_of_an_upload(self, studio: Studio, worker: Runner, draw: Draw) -> None:
        data = studio.datasets.upload(draw("first", per_class=3), name="shapes", progress=False)
        more = draw("more", per_class=8)
        data.add(more, group_pattern=r"(disc|ring)/00[0-9]", train_percent=50, val_percent=25, progress=False)
        (added,) = data.version["layout"]["additions"]
        assert (added["groups"]["num_groups"], added["percent"]["train"]) == (2, 50)

    def test_of_nothing_new_fails_and_changes_nothing(self, studio: Studio, worker: Runner, draw: Draw) -> None:
        folder = draw(per_class=3)
        data = studio.datasets.upload(folder, name="shapes", progress=False)
        with pytest.raises(JobFailed, match="Nothing is new, so no version was made") as raised:
            data.add(folder, progress=False)
        assert raised.value.code == "conflict"
        assert [version["number"] for version in studio.datasets.get("shapes").versions] == [1]


def with_table(folder: Path) -> Path:
    """The folder with a manifest in it: every two images of a class are of one patient."""
    rows = [f"{kind}/{i:03d}.png,{kind},{kind}-{i // 2}" for kind in ("disc", "ring") for i in range(4)]
    (folder / "manifest.csv").write_text("\n".join(["path,label,patient_id", *rows]))
    return folder


def test_groups_come_from_a_column_or_from_a_pattern(studio: Studio, worker: Runner, draw: Draw) -> None:
    folder = with_table(draw(per_class=4))
    by_column = studio.datasets.upload(folder, name="by column", group_by="patient_id", progress=False)
    assert by_column.version["layout"]["groups"]["num_groups"] == 4
    by_pattern = studio.datasets.upload(folder, name="by pattern", group_pattern=r"(disc|ring)/00[01]", progress=False)
    assert by_pattern.version["layout"]["groups"]["num_groups"] == 2
    by_label = studio.datasets.upload(folder, name="by label", label_by="patient_id", progress=False)
    assert len(by_label.classes) == 4


def test_a_plan_can_be_looked_at_by_other_options(studio: Studio, draw: Draw) -> None:
    upload = studio.datasets.send(with_table(draw(per_class=4)))
    assert studio.datasets.plan(upload)["groups"] is None
    plan = studio.datasets.plan(upload, group_by="patient_id")
    assert (plan["groups"]["num_groups"], plan["grouped"][0]["group"]) == (4, "disc-0")


def test_a_column_that_is_not_there_is_refused_with_those_there_are(studio: Studio, draw: Draw) -> None:
    with pytest.raises(ProblemError, match="no table with a column 'case'") as raised:
        studio.datasets.upload(with_table(draw(per_class=4)), name="x", group_by="case", progress=False)
    assert "path, label, patient_id" in raised.value.hint


class TestOnTheServer:
    @pytest.fixture
    def import_roots(self, tmp_path: Path) -> str:
        return str(tmp_path / "server")

    def test_a_folder_or_an_archive_is_imported_by_its_path(
        self, studio: Studio, worker: Runner, draw: Draw, tmp_path: Path
    ) -> None:
        folder = with_table(draw("server/shapes", per_class=4))
        data = studio.datasets.upload_server_folder(folder, name="there", group_by="patient_id", progress=False)
        assert (data.num_images, data.version["layout"]["groups"]["num_groups"]) == (8, 4)
        archive = shutil.make_archive(str(tmp_path / "server" / "packed"), "zip", folder)
        assert studio.datasets.upload_server_folder(archive, name="packed", progress=False).num_images == 8

    def test_a_folder_is_added_by_its_path(self, studio: Studio, worker: Runner, draw: Draw, tmp_path: Path) -> None:
        data = studio.datasets.upload_server_folder(draw("server/first", per_class=3), name="there", progress=False)
        assert data.add(draw("server/more", per_class=4), on_server=True, progress=False).num_images == 8

    def test_a_path_elsewhere_is_refused(self, studio: Studio, tmp_path: Path) -> None:
        with pytest.raises(ProblemError, match="is not in a folder that may be imported"):
            studio.datasets.upload_server_folder(tmp_path, name="x", progress=False)


def test_a_folder_without_images_says_what_is_accepted(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    with pytest.raises(PhantomError, match=r"(?i)accepted|images"):
        studio.datasets.upload(tmp_path / "empty", name="empty", progress=False)


def test_images_that_are_all_broken_fail_the_import_with_the_reason(
    studio: Studio, worker: Runner, tmp_path: Path
) -> None:
    for kind in ("disc", "ring"):
        (tmp_path / "broken" / kind).mkdir(parents=True)
        (tmp_path / "broken" / kind / "1.png").write_bytes(b"\x89PNG but no more")
    with pytest.raises(JobFailed, match="import_dataset") as raised:
        studio.datasets.upload(tmp_path / "broken", name="broken", progress=False)
    assert raised.value.code == "bad-input"
    assert raised.value.job.state == "failed"


def test_a_path_that_is_not_there(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(PhantomError, match="no file or folder"):
        studio.datasets.upload(tmp_path / "nowhere", name="x")
