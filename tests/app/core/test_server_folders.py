"""Folders and archives on the server: what may be read of them, and what never is."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.core.config import Settings
from app.core.errors import BadInputError, TooLargeError
from app.core.server_folders import find, look_into
from app.core.upload_folder import UploadFolder
from models import Upload, UploadKind

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "imports"
    for path in ("ct/a/1.png", "ct/b/2.png", "ct/notes.txt", "more/x.zip", "more/readme.md", ".hidden/1.png"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"1234")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.png").write_bytes(b"secret")
    return folder


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path / "data", import_roots=f"{root}:{tmp_path / 'data'}")


@contextmanager
def bound_by_permissions(folder: Path) -> Iterator[None]:
    """For as long as it is open, no privilege of root's reads what a mode forbids. `folder` goes to the user who is bound."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def upload_of(settings: Settings, path: Path | str) -> UploadFolder:
    return UploadFolder(settings, Upload(id=7, kind=UploadKind.SERVER, name=str(path)))


class TestAPath:
    def test_of_a_folder_or_a_file_below_a_root_is_found(self, settings: Settings, root: Path):
        for path in (root, root / "ct", root / "more" / "x.zip"):
            assert find(settings, str(path)) == path.resolve()

    @pytest.mark.parametrize(("path", "says"), [
        ("{root}/../secret", "no absolute path without"), ("ct", "no absolute path"), ("", "no absolute path"),
        ("{root}/ct\x00", "no absolute path"), ("{tmp}/secret", "is not in a folder"), ("/etc/passwd", "is not in a folder"),
        ("{root}-other", "is not in a folder"), ("{root}/nowhere", "cannot be read"), ("{tmp}/data/files", "is not in a folder"),
        ("/etc/no-such-file", "is not in a folder"), ("{root}/ct/" + "x" * 300, "cannot be read"),
    ])  # fmt: skip
    def test_elsewhere_is_refused(self, settings: Settings, root: Path, tmp_path: Path, path: str, says: str):
        (tmp_path / "data" / "files").mkdir(parents=True)
        (tmp_path / "imports-other").mkdir()
        with pytest.raises(BadInputError, match=says):
            find(settings, path.format(root=root, tmp=tmp_path))

    def test_through_a_link_that_leads_out_is_refused_and_one_that_stays_is_not(
        self, settings, root: Path, tmp_path: Path
    ):
        (root / "out").symlink_to(tmp_path / "secret")
        (root / "in").symlink_to(root / "ct")
        with pytest.raises(BadInputError, match="is not in a folder that may be imported"):
            find(settings, str(root / "out"))
        with pytest.raises(BadInputError, match="is not in a folder that may be imported"):
            find(settings, str(root / "out" / "s.png"))
        assert find(settings, str(root / "in")) == (root / "ct").resolve()

    def test_of_a_pipe_is_refused_and_nothing_waits_for_it(self, settings: Settings, root: Path):
        os.mkfifo(root / "pipe")
        with pytest.raises(BadInputError, match="neither a folder nor a regular file"):
            find(settings, str(root / "pipe"))

    def test_means_nothing_where_imports_are_off(self, tmp_path: Path):
        with pytest.raises(BadInputError, match="imports nothing from folders of the server") as caught:
            find(Settings(_env_file=None, data_dir=tmp_path), str(tmp_path))
        assert "PHANTOM_IMPORT_ROOTS" in caught.value.hint


def test_one_level_shows_folders_and_archives(settings: Settings, root: Path, tmp_path: Path):
    (root / "more" / "out.zip").symlink_to(tmp_path / "secret" / "s.png")
    assert [(entry.name, entry.is_folder) for entry in look_into(settings, str(root))] == [("ct", True), ("more", True)]
    assert [(entry.name, entry.is_folder) for entry in look_into(settings, str(root / "more"))] == [("x.zip", False)]
    assert look_into(settings, str(root / "more" / "x.zip")) == []


class TestAFolder:
    def test_is_listed_and_read_where_it_lies(self, settings: Settings, root: Path, tmp_path: Path):
        place = upload_of(settings, root / "ct")
        assert [(member.path, member.size) for member in place.members()] == [
            ("a/", 0), ("a/1.png", 4), ("b/", 0), ("b/2.png", 4), ("notes.txt", 4),
        ]  # fmt: skip
        assert list(place.files({"a/1.png"}, tmp_path / "scratch")) == [("a/1.png", root / "ct" / "a" / "1.png", None)]
        assert [(read.path, read.content) for read in place.read({"b/2.png"})] == [("b/2.png", b"1234")]
        with place.open("notes.txt") as file:
            assert file.read() == b"1234"

    def test_is_left_alone_when_the_upload_is_deleted(self, settings: Settings, root: Path):
        place = upload_of(settings, root / "ct")
        list(place.read({"b/2.png"}))
        place.delete()
        assert len([path for path in root.rglob("*") if path.is_file()]) == 6

    def test_links_pipes_and_what_is_hidden_are_refused_one_by_one(
        self, settings: Settings, root: Path, tmp_path: Path
    ):
        ct = root / "ct"
        (ct / "out.png").symlink_to(tmp_path / "secret" / "s.png")
        (ct / "in.png").symlink_to(root / "ct" / "a" / "1.png")
        (ct / "loop.png").symlink_to(ct / "loop.png")
        (ct / "nothing.png").symlink_to(ct / "gone.png")
        (ct / "again").symlink_to(root)
        (ct / ".git").mkdir()
        (ct / ".git" / "1.png").write_bytes(b"x")
        os.mkfifo(ct / "pipe.png")
        (ct / "bell\x07.png").write_bytes(b"x")
        problems = {member.path: member.problem for member in upload_of(settings, ct).members() if member.problem}
        assert problems["out.png"] == "It is a link that leads out of the folders that may be imported."
        assert problems["again"] == "It is a link to a folder, which is not followed."
        assert problems["pipe.png"] == "It is no regular file."
        assert "hidden" in problems[".git"]
        assert "control characters" in problems["'bell\\x07.png'"]
        assert {"loop.png", "nothing.png"} < problems.keys()
        assert "in.png" not in problems

    def test_a_file_that_became_a_link_since_the_plan_is_not_read(self, settings: Settings, root: Path, tmp_path: Path):
        place = upload_of(settings, root / "ct")
        assert "a/1.png" in {member.path for member in place.members()}
        (root / "ct" / "a" / "1.png").unlink()
        (root / "ct" / "a" / "1.png").symlink_to(tmp_path / "secret" / "s.png")
        ((path, file, problem),) = place.files({"a/1.png"}, tmp_path / "scratch")
        assert (path, file) == ("a/1.png", None)
        assert problem is not None
        assert "leads out" in problem

    def test_a_folder_that_became_a_link_since_the_upload_began_is_not_read(self, settings, root: Path, tmp_path: Path):
        place = upload_of(settings, root / "ct")
        (root / "ct").rename(root / "old")
        (root / "ct").symlink_to(tmp_path / "secret")
        with pytest.raises(BadInputError, match="is not in a folder"):
            place.members()

    def test_the_studios_own_folder_in_it_is_left_out(self, root: Path):
        (root / "data" / "files").mkdir(parents=True)
        settings = Settings(_env_file=None, data_dir=root / "data", import_roots=str(root))
        found = {member.path: member.problem for member in upload_of(settings, root).members()}
        assert found["data"] == "It is the folder that holds the studio's own data."
        assert not any(path.startswith("data/") for path in found)

    def test_of_any_depth_is_listed_as_far_as_names_may_be_long(self, settings: Settings, root: Path):
        deep = root / "ct" / "/".join("d" for _ in range(700))
        deep.mkdir(parents=True)
        (deep / "1.png").write_bytes(b"x")
        members = upload_of(settings, root / "ct").members()
        assert sum(member.is_folder for member in members) > 400
        assert any("longer than 1000 characters" in (member.problem or "") for member in members)

    def test_of_too_many_files_is_refused(self, tmp_path: Path, root: Path):
        settings = Settings(_env_file=None, data_dir=tmp_path / "data", import_roots=str(root), max_files=3)
        with pytest.raises(TooLargeError, match="more than 3 files"):
            upload_of(settings, root / "ct").members()

    def test_that_may_not_be_read_says_so(self):
        with tempfile.TemporaryDirectory() as name, bound_by_permissions(Path(name)):
            top = Path(name) / "ct"
            (top / "b").mkdir(parents=True)
            settings = Settings(_env_file=None, data_dir=Path(name) / "data", import_roots=name)
            (top / "b").chmod(0)
            problems = {member.path: member.problem for member in upload_of(settings, top).members() if member.problem}
            (top / "b").chmod(0o755)
        assert problems == {"b": "The folder cannot be read (Permission denied)."}


def test_roots_are_absolute():
    with pytest.raises(ValidationError, match="'data'; each folder in it must be an absolute path"):
        Settings(_env_file=None, import_roots="/srv/images:data")
    assert Settings(_env_file=None, import_roots="").import_folders == []
    assert Settings(_env_file=None, import_roots="/a: /b :").import_folders == [Path("/a"), Path("/b")]
