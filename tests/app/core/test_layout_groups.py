"""Groups by a column or a pattern; hostile patterns are stopped."""

import time

import pytest
from pydantic import ValidationError

from app.core.errors import BadInputError
from app.core.layouts import groups
from models.specs import LayoutOptions
from tests.app.core.layout_files import found_in, groups_of, images

PATHS = ["x/sick/person1_virus_7.png", "x/sick/person1_virus_8.png", "x/sick/person22_virus_1.png", "x/well/IM-0001.png", "x/well/IM-0002.png"]  # fmt: skip


class TestAPattern:
    @pytest.mark.parametrize(("pattern", "expected"), [
        (r"(person\d+)", ["person1", "person1", "person22", None, None]),
        (r"person\d+", ["person1", "person1", "person22", None, None]),  # all that matches, without a group
        (r"person(\d+)_(\w+)", ["1", "1", "22", None, None]),  # the first of two
        (r"(person\d+)|IM", ["person1", "person1", "person22", None, None]),  # a group that takes no part
        (r"^x/(\w+)/", ["sick", "sick", "sick", "well", "well"]),  # over the whole path
        (r"(\s*)", [None] * 5),  # a match of nothing is no group
    ])  # fmt: skip
    def test_finds_the_group_in_each_path(self, pattern: str, expected: list[str | None]):
        layout = found_in(images(*PATHS), group_pattern=pattern)
        assert list(groups_of(layout).values()) == expected

    def test_counts_what_it_finds(self):
        layout = found_in(images(*PATHS), group_pattern=r"(person\d+)")
        assert layout.as_json()["groups"] == {
            "by": None, "pattern": r"(person\d+)", "num_groups": 2, "without_group": 2, "largest": 2,
        }  # fmt: skip
        assert "2 of 5 images have no group." in layout.warnings

    @pytest.mark.parametrize("pattern", [r"^(\w+\s?)*\$$", "(a|a)*$", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
    def test_that_would_never_end_is_stopped_in_time(self, pattern: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(groups, "CPU_S", 1)
        started = time.monotonic()
        with pytest.raises(BadInputError, match="takes more than 1 s") as caught:
            groups.matches(["a" * 60 + "!"] * 1000, pattern)
        assert time.monotonic() - started < 60  # seconds of waiting on a machine that is busy
        assert caught.value.errors[0]["pointer"] == "/group_pattern"

    def test_that_needs_too_much_memory_is_stopped(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(groups, "MEMORY_BYTES", 60 << 20)
        with pytest.raises(BadInputError, match="more memory"):
            groups.matches(["a" * 1000] * 200_000, "a")

    def test_over_100_000_paths_takes_a_moment(self):
        found = groups.matches([f"scans/person{i % 1000}_{i}.png" for i in range(100_000)], r"(person\d+)")
        assert (len(found), len(set(found))) == (100_000, 1000)

    @pytest.mark.parametrize(("pattern", "says"), [
        ("(person", "is no regular expression: missing \\), unterminated subpattern at position 0"),
        ("(?P<a>x)(?P<a>y)", "no regular expression"), ("a" * 201, "at most 200"), ("", "at least 1"), ("a\x00", "cannot be printed"), (r"\p{L}", "bad escape"),
    ])  # fmt: skip
    def test_that_is_none_is_refused_in_words(self, pattern: str, says: str):
        with pytest.raises(ValidationError, match=says):
            LayoutOptions(group_pattern=pattern)

    def test_and_a_column_exclude_each_other(self):
        with pytest.raises(ValidationError, match="not from both"):
            LayoutOptions(group_pattern="a", group_by="b")


class TestAColumn:
    TABLE = "path,patient\n" + "".join(f"{path},{value}\n" for path, value in zip(PATHS, [" p1 ", "p1", "", "nan", "p9"], strict=True))  # fmt: skip

    def test_groups_images_by_its_trimmed_values_and_nothing_is_no_group(self):
        layout = found_in({**images(*PATHS), "t.csv": self.TABLE}, group_by="patient")
        assert list(groups_of(layout).values()) == ["p1", "p1", None, None, "p9"]

    @pytest.mark.parametrize("files", [{}, {"t.csv": TABLE}])
    def test_that_is_not_there_is_refused_with_a_pointer(self, files: dict[str, str]):
        with pytest.raises(BadInputError, match="no column 'case'") as caught:
            found_in({**images(*PATHS), **files}, group_by="case")
        assert caught.value.errors[0]["pointer"] == "/group_by"
        assert caught.value.hint == ("It has path, patient." if files else "Use a pattern over the file names, or add a CSV table.")  # fmt: skip
