"""Uploading through the client, against a real server and a real import."""

import shutil
from collections.abc import Callable
from pathlib import Path

import phantom.datasets
import pytest
from phantom import JobFailed, NameTaken, PhantomError, Studio

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
    monkeypatch.setattr(phantom.datasets, "PIECE_BYTES", 1000)
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", draw(per_class=5)))
    assert archive.stat().st_size > 3000
    assert studio.datasets.upload(archive, name="pieces", progress=False).num_images == 10


def test_an_upload_goes_on_where_it_was_broken_off(
    studio: Studio, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", draw(per_class=5)))
    upload = studio.transport.post("/api/v1/uploads", {"kind": "archive", "name": archive.name})
    studio.datasets._send_piece(upload["id"], 0, archive.read_bytes()[:1000])
    studio.datasets._send_archive(upload["id"], archive)  # begins at 0, is told 1000
    assert studio.datasets._offset(upload["id"]) == archive.stat().st_size
    assert studio.datasets.plan(upload)["num_images"] == 10


def test_many_files_go_in_batches(studio: Studio, worker: Runner, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom.datasets, "BATCH_FILES", 3)
    assert studio.datasets.upload(draw(per_class=5), name="batches", progress=False).num_images == 10


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
