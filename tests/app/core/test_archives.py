import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import relative_paths
from app.core.archives import Extracted, Limits, Member, extract, list_members, unique
from app.core.errors import BadInputError, StudioError, TooLargeError
from tests.app.core import hostile
from tests.app.core.hostile import PIXEL, tarred, zipped

LIMITS = Limits(max_entries=1000, max_bytes=20_000_000)
CASES = dict(hostile.cases())
GOOD = {"glioma/1.png": b"one", "glioma/2.png": b"", "no tumor/\u00e9.png": b"three" * 1000}


def written(tmp_path: Path, data: bytes) -> Path:
    archive = tmp_path / "upload" / "archive"
    archive.parent.mkdir()
    archive.write_bytes(data)
    return archive


def unpacked(archive: Path, wanted: list[str] | None = None) -> dict[str, bytes | None]:
    """What the extractor writes, by the names in the archive; None for what it refuses."""
    names = [m.path for m in list_members(archive, limits=LIMITS)] if wanted is None else wanted
    found = extract(archive, archive.parent / "out", wanted=names, limits=LIMITS)
    return {item.path: item.file.read_bytes() if item.file else None for item in found}


@pytest.mark.parametrize("pack", [
    lambda: zipped(*GOOD.items()),
    lambda: zipped(*GOOD.items(), method=zipfile.ZIP_STORED),
    lambda: tarred(*GOOD.items()),
    lambda: tarred(*GOOD.items(), form=tarfile.GNU_FORMAT),
    lambda: gzip.compress(tarred(*GOOD.items())),
], ids=["zip", "stored zip", "pax tar", "gnu tar", "tar.gz"])  # fmt: skip
def test_reads_what_was_packed(tmp_path: Path, pack):
    archive = written(tmp_path, pack())
    assert list_members(archive, limits=LIMITS) == [Member(path, len(data)) for path, data in GOOD.items()]
    assert unpacked(archive) == GOOD


def test_extracts_only_what_is_wanted_under_names_of_our_own(tmp_path: Path):
    archive = written(tmp_path, zipped(*GOOD.items()))
    assert unpacked(archive, ["glioma/2.png"]) == {"glioma/2.png": b""}
    assert [file.name for file in (archive.parent / "out").iterdir()] == ["000001"]


def test_there_are_at_least_two_hundred_hostile_archives():
    assert len(CASES) >= 200


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_archive_writes_nothing_elsewhere_and_is_refused_in_our_words(tmp_path: Path, name: str):
    archive = written(tmp_path, CASES[name]())
    out = archive.parent / "out"
    before = {*tmp_path.rglob("*"), out}
    items: list[Extracted] = []
    members: list[Member] = []
    refusal = ""
    try:
        items += extract(archive, out, wanted=_Everything(), limits=LIMITS)
        members += list_members(archive, limits=LIMITS)
    except StudioError as error:
        refusal = str(error)
    created = set(tmp_path.rglob("*")) - before
    assert not refusal or (refusal.endswith(".") and len(refusal) < 300)
    assert all(
        path.parent == out and path.is_file() and not path.is_symlink() and path.name.isdigit() for path in created
    )
    assert sum(path.stat().st_size for path in created) <= LIMITS.max_bytes
    assert all(relative_paths.clean(member.path) == member.path for member in members)
    assert all((item.file is None) == (item.problem is not None) for item in items)


class _Everything:
    def __contains__(self, path: object) -> bool:
        return True


def test_a_zip_bomb_is_refused_before_anything_is_unpacked(tmp_path: Path):
    archive = written(tmp_path, zipped(("a/1.png", bytes(15_000_000))))
    with pytest.raises(BadInputError, match="100 times its size"):
        unpacked(archive)
    assert not (archive.parent / "out").exists()


def test_a_gzip_bomb_stops_while_it_is_read(tmp_path: Path):
    with pytest.raises(BadInputError, match="100 times its size"):
        unpacked(written(tmp_path, gzip.compress(tarred(("a/1.png", bytes(15_000_000))))))


def test_an_archive_larger_than_allowed_names_the_setting(tmp_path: Path):
    archive = written(tmp_path, tarred(("a/1.png", bytes(21_000_000))))
    with pytest.raises(TooLargeError) as caught:
        unpacked(archive)
    assert "PHANTOM_MAX_UNPACKED_GB" in caught.value.hint


@pytest.mark.parametrize("copies", [2, 900])
def test_entries_that_overlap_are_refused(tmp_path: Path, copies: int):
    # Python's own zipfile opens this one without a word
    assert len(zipfile.ZipFile(io.BytesIO(hostile.overlapping(copies))).infolist()) == copies
    with pytest.raises(BadInputError, match="overlap"):
        list_members(
            written(tmp_path, hostile.overlapping(copies)),
            limits=Limits(max_entries=1000, max_bytes=10**12, max_ratio=10**6),
        )


@pytest.mark.parametrize("name", hostile.CLIMBING_NAMES)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_leave_the_folder_refuse_the_archive(tmp_path: Path, pack, name: str):
    with pytest.raises(BadInputError, match=r"absolute|climbs"):
        list_members(written(tmp_path, pack((name, PIXEL))), limits=LIMITS)


@pytest.mark.parametrize(("name", "says"), [
    ("zip encrypted", "encrypted"), ("zip of too many entries", "more than 1,000 entries"),
    ("tar of too many entries", "more than 1,000 entries"), ("tar with pax headers only", "more than 1,000 entries"),
    ("zip64 of 2**60 entries", "more than 1,000 entries"), ("zip64 of a directory of 2**40 bytes", "directory is too large"),
    ("tar with a long name of 5 GB", "name of more than a million bytes"), ("zip cut after 50 %", "cut off"),
    ("tar cut after 50 %", "cut off"), ("tar.gz cut after 50 %", "damaged"), ("no archive: 526172211a07", "no zip, tar or tar.gz"),
    ("tar of a negative size", "negative size"), ("tar with a sparse file", "sparse"),
])  # fmt: skip
def test_a_refusal_says_why(tmp_path: Path, name: str, says: str):
    with pytest.raises(StudioError, match=says):
        list_members(written(tmp_path, CASES[name]()), limits=LIMITS)


@pytest.mark.parametrize(("name", "says"), [
    ("zip with an S_IFLNK", "link"), ("zip with an S_IFIFO", "no regular file"), ("zip of method 99", "packed by method 99"),
    ("tar with a symlink to /etc/passwd", "link"), ("tar with a device to a/1.png", "no regular file"),
    ("zip with names that differ by case", "case or spelling"), ("zip with names that differ by spelling", "case or spelling"),
    ("zip with names twice", "twice"), ("tar with names twice", "twice"),
])  # fmt: skip
def test_what_concerns_one_entry_is_said_of_that_entry(tmp_path: Path, name: str, says: str):
    last = list_members(written(tmp_path, CASES[name]()), limits=LIMITS)[-1]
    assert says in (last.problem or "")


def test_damage_inside_an_entry_is_said_of_that_entry(tmp_path: Path):
    (item,) = extract(
        written(tmp_path, hostile.patched(zipped(("a/1.png", PIXEL)), b"PK\x01\x02", 16, "<L", 1)),
        tmp_path / "out", wanted=["a/1.png"], limits=LIMITS,
    )  # fmt: skip
    assert item.file is None
    assert "damaged inside the archive" in str(item.problem)
    assert list((tmp_path / "out").iterdir()) == []


def test_names_of_macos_without_the_utf_8_flag_are_read_as_utf_8(tmp_path: Path):
    data = zipped(("gl\u00edoma/1.png", PIXEL))
    data = hostile.patched(hostile.patched(data, b"PK\x01\x02", 8, "<H", 0), b"PK\x03\x04", 6, "<H", 0)
    assert [member.path for member in list_members(written(tmp_path, data), limits=LIMITS)] == ["gl\u00edoma/1.png"]


def test_long_names_are_read_in_both_kinds_of_tar(tmp_path: Path):
    name = "/".join(["class of a very long name"] * 12) + "/1.png"
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        (tmp_path / str(number)).mkdir()
        archive = written(tmp_path / str(number), tarred((name, PIXEL), form=form))
        assert unpacked(archive) == {name: PIXEL}


class TestRelativePaths:
    @pytest.mark.parametrize(("given", "cleaned"), [
        ("./a/1.png", "a/1.png"), ("a\\b\\1.png", "a/b/1.png"), ("a//b/", "a/b/"), ("e\u0301.png", "\u00e9.png"),
        ("bad\udcff.png", "bad\ufffd.png"), ("lone\ud800.png", "lone?.png"),
    ])  # fmt: skip
    def test_cleans(self, given: str, cleaned: str):
        assert relative_paths.clean(given) == cleaned

    @given(st.text(max_size=60))
    def test_whatever_is_accepted_stays_in_its_folder(self, path: str):
        try:
            cleaned = relative_paths.clean(path)
        except BadInputError:
            return
        assert not Path(cleaned).is_absolute()
        assert ".." not in Path(cleaned).parts
        assert Path("/root/folder", cleaned).resolve().is_relative_to("/root/folder")
        assert relative_paths.clean(cleaned) == cleaned

    @given(st.lists(st.text("aAeE\u00e9", min_size=1, max_size=2)))
    def test_no_two_accepted_members_share_a_key(self, names: list[str]):
        accepted = [relative_paths.key(m.path) for m in unique(Member(name, 1) for name in names) if m.problem is None]
        assert len(accepted) == len(set(accepted)) == len({relative_paths.key(name) for name in names})
