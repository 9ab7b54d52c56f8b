"""Downloads are unpacked safely: hostile zips are made here, by hand."""

import hashlib
import io
import json
import stat
import zipfile
from pathlib import Path

import pytest
from phantom import PhantomError
from phantom.unpack import download_into


def zipped(files: dict[str, bytes], *, top: str = "", manifest: dict[str, str] | None = None) -> bytes:
    held = io.BytesIO()
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{top}{name}", content)
        archive.writestr(f"{top}manifest.json", json.dumps({"files": sums if manifest is None else manifest}))
    return held.getvalue()


def test_the_folder_around_everything_is_left_out(tmp_path: Path) -> None:
    written = download_into(tmp_path / "out", [zipped({"a/1.png": b"one", "README.md": b"card"}, top="set-1/")])
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == [
        "out/README.md",
        "out/a/1.png",
        "out/manifest.json",
    ]
    assert (tmp_path / "out" / "a" / "1.png").read_bytes() == b"one"


def test_a_zip_without_a_folder_around_it_stays_as_it_is(tmp_path: Path) -> None:
    download_into(tmp_path, [zipped({"a/1.png": b"one", "b/2.png": b"two"})])
    assert (tmp_path / "b" / "2.png").read_bytes() == b"two"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "C:evil"])
def test_a_name_that_leaves_the_folder_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(PhantomError, match="refused"):
        download_into(tmp_path / "out", [zipped({"good.png": b"good", name: b"evil"})])
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_zip_is_refused(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(PhantomError, match="refused"):
        download_into(tmp_path, [held.getvalue()])


def test_a_link_that_lay_in_the_folder_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PhantomError, match="by a link"):
        download_into(tmp_path / "out", [zipped({"a/1.png": b"one", "b": b"two"})])
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_that_does_not_match_the_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(PhantomError, match="not what the studio says"):
        download_into(tmp_path, [zipped({"a.png": b"one"}, manifest={"a.png": "0" * 64})])


def test_half_a_zip_is_told(tmp_path: Path) -> None:
    with pytest.raises(PhantomError, match="not a whole zip"):
        download_into(tmp_path, [zipped({"a.png": b"one"})[:40]])
