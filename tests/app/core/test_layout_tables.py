"""Images that a table lists: what the columns are taken for, which file a value means, who wins over folders."""

import json

import pytest

from app.core.errors import BadInputError
from app.core.layouts import describe, without_examples
from models import Split
from tests.app.core.layout_files import classes_of, found_in, images, many, reasons

FLAT = [f"scans/{i}.png" for i in range(1, 7)]
CLASSES = dict(zip(FLAT, ["a", "b"] * 3, strict=True))


def table(columns: str, *rows: str, end: str = "\n") -> str:
    return end.join([columns, *rows]) + end


def listed(columns: str = "file,label", delimiter: str = ",", names: str = "{}.png") -> str:
    return table(columns, *(f"{names.format(i)},{'ab'[1 - i % 2]}" for i in range(1, 7))).replace(",", delimiter)


class TestAFlatFolderAndATable:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_of_any_delimiter_gives_the_classes(self, delimiter: str, end: str):
        text = listed(delimiter=delimiter).replace("\n", end)
        layout = found_in({**images(*FLAT), "labels.csv": text})
        assert (layout.kind, layout.classes, classes_of(layout)) == ("table", ["a", "b"], CLASSES)
        assert layout.counts == {"a": {"all": 3}, "b": {"all": 3}}
        assert layout.summary == "Images listed in labels.csv, classes from the column label inside the folder scans"
        assert layout.ignored == []

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
    def test_of_any_encoding(self, encoding: str):
        text = table("file,Diagnosis", *(f"{i}.png,{'Größe' if i % 2 else 'klein'}" for i in range(1, 7)))
        layout = found_in({**images(*FLAT), "labels.csv": text.encode(encoding)})
        assert layout.classes == ["Größe", "klein"]

    def test_as_json_lines_where_nested_values_are_left_out(self):
        rows = [{"file_name": f"{i}.png", "label": i % 2, "boxes": [1, 2], "age": None} for i in range(1, 7)]
        text = "\n".join(map(json.dumps, rows))
        layout = found_in({**images(*FLAT), "scans/metadata.jsonl": text})
        assert layout.counts == {"0": {"all": 3}, "1": {"all": 3}}
        assert layout.listing is not None
        assert layout.listing.columns == ["file_name", "label", "age"]

    @pytest.mark.parametrize("names", [
        "{}.png", "scans/{}.png", "{}", "./{}.png", "scans\\{}.png", "/home/someone/scans/{}.png", "{}.PNG", "C:\\data\\scans\\{}.png",
    ])  # fmt: skip
    def test_names_files_by_path_or_name_with_or_without_ending(self, names: str):
        assert classes_of(found_in({**images(*FLAT), "labels.csv": listed(names=names)})) == CLASSES

    @pytest.mark.parametrize("name", ["label", "Class", "diagnosis", "dx", "target", "category", "Finding Labels"])
    def test_finds_the_class_by_the_columns_name(self, name: str):
        text = table(f"age,image_id,{name},sex", *(f"{40 + i},{i},{'ab'[1 - i % 2]},m" for i in range(1, 7)))
        assert classes_of(found_in({**images(*FLAT), "labels.csv": text})) == CLASSES

    def test_is_understood_without_a_header(self):
        text = "".join(f"{i}.png,{'ab'[1 - i % 2]}\n" for i in range(1, 7))
        layout = found_in({**images(*FLAT), "labels.csv": text})
        assert classes_of(layout) == CLASSES
        assert layout.listing is not None
        assert (layout.listing.columns, layout.listing.num_rows) == (["column 1", "column 2"], 6)

    def test_finds_files_by_the_values_and_not_by_the_columns_name(self):
        text = table("name,scan,label", *(f"anna,{i}.png,{'ab'[1 - i % 2]}" for i in range(1, 7)))
        assert classes_of(found_in({**images(*FLAT), "labels.csv": text})) == CLASSES

    def test_takes_the_column_of_most_files_where_numbers_name_some_too(self):
        text = table("age,image,label", *(f"{i % 3},{i},{'ab'[1 - i % 2]}" for i in range(1, 7)))
        layout = found_in({**images(*FLAT), "labels.csv": text})
        assert layout.listing is not None
        assert layout.listing.file_column == "image"

    def test_may_have_one_column_for_each_class(self):
        text = table("image,MEL,NV,BCC", *(f"{i},{','.join('1.0' if i % 3 == c else '0.0' for c in range(3))}" for i in range(1, 7)))  # fmt: skip
        layout = found_in({**images(*FLAT), "truth.csv": text})
        assert layout.counts == {"BCC": {"all": 2}, "MEL": {"all": 2}, "NV": {"all": 2}}
        assert layout.summary.startswith("Images listed in truth.csv, classes from the columns MEL, NV, BCC")

    def test_may_have_a_column_of_splits(self):
        rows = [f"{i}.png,{'ab'[1 - i % 2]},{['train', 'train', 'Validation', 'valid', 'test', 'TEST'][i - 1]}" for i in range(1, 7)]  # fmt: skip
        layout = found_in({**images(*FLAT), "labels.csv": table("file,label,split", *rows)})
        assert layout.brings_splits
        assert layout.counts == {name: {"train": 1, "val": 1, "test": 1} for name in "ab"}
        assert "splits from the column split" in layout.summary

    def test_a_column_named_split_that_is_none_is_not_used_with_a_warning(self):
        rows = [f"{i}.png,{'ab'[1 - i % 2]},{'train' if i < 4 else 'unlabelled'}" for i in range(1, 7)]
        layout = found_in({**images(*FLAT), "labels.csv": table("file,label,split", *rows)})
        assert not layout.brings_splits
        assert any("The column split has values such as unlabelled" in warning for warning in layout.warnings)

    def test_what_it_does_not_list_or_says_no_class_for_is_left_out_and_what_is_missing_is_said(self):
        text = table("file,label", "1.png,a", "2.png,b", "3.png,", "4.png,a", "5.png,b", "9.png,a", "10.png,b")
        layout = found_in({**images(*FLAT), "labels.csv": text})
        assert reasons(layout) == {
            "scans/3.png": "labels.csv says no class for it.", "scans/6.png": "labels.csv does not list it.",
        }  # fmt: skip
        assert "labels.csv names 2 files that are not among the images (9.png, 10.png)." in layout.warnings
        assert layout.num_images == 4

    def test_a_file_of_two_classes_is_left_out_and_one_named_twice_alike_is_not(self):
        text = table(
            "file,label", "1.png,a", "1.png,A", "2.png,b", "2.png,a", "3.png,a", "4.png,b", "5.png,a", "6.png,b"
        )
        layout = found_in({**images(*FLAT), "labels.csv": text})
        assert reasons(layout) == {"scans/2.png": "labels.csv gives it several classes: b, a."}
        assert classes_of(layout)["scans/1.png"] == "a"

    def test_a_name_that_could_mean_two_files_means_none(self):
        paths = ["x/1.png", "y/1.png", "x/2.png", "y/3.png", "y/4.png"]
        text = table("file,label", "1.png,a", "2.png,b", "3.png,a", "4.png,b")
        layout = found_in({**images(*paths), "labels.csv": text})
        assert sorted(reasons(layout)) == ["x/1.png", "y/1.png"]
        assert layout.warnings[-1] == "labels.csv names 1 file that is not among the images (1.png)."

    def test_classes_that_are_numbers_are_in_their_order(self):
        text = table("file,label", *(f"{i}.png,{[10, 9, 2][i % 3]}" for i in range(1, 7)))
        assert found_in({**images(*FLAT), "labels.csv": text}).classes == ["2", "9", "10"]

    def test_control_characters_never_reach_a_class(self):
        text = table("file,label", *(f"{i}.png,a\x00\x07 b\u202e{i % 2}" for i in range(1, 7)))
        assert found_in({**images(*FLAT), "labels.csv": text}).classes == ["a b0", "a b1"]
        lines = "\n".join(f'{{"file": "{i}.png", "label": "x\\ud800{i % 2}"}}' for i in range(1, 7))
        assert found_in({**images(*FLAT), "labels.jsonl": lines}).classes == ["x?0", "x?1"]

    def test_several_findings_in_one_class_are_warned_of(self):
        text = table("file,label", *(f"{i}.png,{'Mass' if i % 2 else 'Mass|Edema'}" for i in range(1, 7)))
        assert any(
            "join several findings (Mass|Edema)" in w for w in found_in({**images(*FLAT), "l.csv": text}).warnings
        )


class TestTheClassColumn:
    TEXT = table("file,grade,site", *(f"{i}.png,{['lo', 'hi'][i % 2]},{i}x" for i in range(1, 7)))

    def test_can_be_asked_for(self):
        layout = found_in({**images(*FLAT), "labels.csv": self.TEXT}, label_by="site")
        assert layout.classes == ["1x", "2x", "3x", "4x", "5x", "6x"]

    def test_is_the_only_one_it_can_be(self):
        text = table("file,grade,patient_id", *(f"{i}.png,{['lo', 'hi'][i % 2]},p{i // 2}" for i in range(1, 7)))
        assert found_in({**images(*FLAT), "labels.csv": text}).classes == ["hi", "lo"]

    def test_that_is_not_known_is_asked_for_with_the_columns_there_are(self):
        text = table("file,grade,shape", *(f"{i}.png,{['lo', 'hi'][i % 2]},{'xy'[i % 2]}" for i in range(1, 7)))
        layout = found_in({**images(*FLAT), "labels.csv": text})
        assert (layout.needs, layout.images, layout.classes) == ("label_by", [], [])
        assert layout.warnings == ["Say which column of labels.csv is the class; none of grade, shape is known to be."]
        assert found_in({**images(*FLAT), "labels.csv": text}, label_by="grade").classes == ["hi", "lo"]

    @pytest.mark.parametrize(("name", "says"), [("nonsense", "is not in labels.csv"), ("file", "names the files")])
    def test_that_is_none_is_refused_with_a_pointer(self, name: str, says: str):
        with pytest.raises(BadInputError, match=says) as caught:
            found_in({**images(*FLAT), "labels.csv": self.TEXT}, label_by=name)
        assert caught.value.errors[0]["pointer"] == "/label_by"
        assert caught.value.hint == "Choose one of these: grade, site."

    def test_cannot_be_asked_for_without_a_table(self):
        with pytest.raises(BadInputError, match="no table") as caught:
            found_in(images(*many("a"), *many("b")), label_by="dx")
        assert caught.value.errors[0]["pointer"] == "/label_by"


class TestClassFoldersWithATable:
    FILES = images(*many("top/a"), *many("top/b"))

    def rows(self, columns: str, **changed: str) -> str:
        return table(
            columns, *(f"{p.removeprefix('top/')},{changed.get(p, p[4])},p{i // 3}" for i, p in enumerate(self.FILES))
        )

    def test_keep_their_folders_as_classes_and_the_table_says_more(self):
        layout = found_in({**self.FILES, "top/manifest.csv": self.rows("path,label,patient_id")}, group_by="patient_id")
        assert (layout.kind, layout.classes, layout.ignored, layout.warnings) == ("folders", ["a", "b"], [], [])
        assert layout.groups is not None
        assert (layout.groups.num_groups, layout.groups.largest, layout.groups.without) == (8, 3, 0)

    def test_contradictions_are_counted_and_the_folder_wins(self):
        text = self.rows("path,label,patient_id", **{"top/a/003.png": "b", "top/b/001.png": "a"})
        layout = found_in({**self.FILES, "top/manifest.csv": text})
        assert (
            "2 images lie in another class folder than top/manifest.csv says (top/a/003.png is in a, and said to be b); "
            "the folder counts." in layout.warnings
        )
        assert classes_of(layout)["top/a/003.png"] == "a"

    def test_codes_that_stand_for_the_folders_are_no_contradiction(self):
        text = self.rows("path,label,patient_id").replace(",a,", ",0,").replace(",b,", ",1,")
        layout = found_in({**self.FILES, "top/manifest.csv": text})
        assert (layout.kind, layout.classes) == ("folders", ["a", "b"])
        assert not any("another class folder" in warning for warning in layout.warnings)

    def test_a_table_of_part_of_the_images_leaves_the_others_in_their_folders(self):
        text = table("path,patient_id", "a/000.png,p1", "a/001.png,p1", "b/000.png,p2", "c/7.png,p3")
        layout = found_in({**self.FILES, "top/manifest.csv": text}, group_by="patient_id")
        assert (layout.num_images, layout.ignored) == (24, [])
        assert layout.groups is not None
        assert (layout.groups.num_groups, layout.groups.without) == (2, 21)
        assert "21 of 24 images have no group." in layout.warnings

    def test_folders_that_are_no_classes_are_overruled_by_a_column_of_classes(self):
        files = images(*(f"patient {i}/{k}.png" for i in range(6) for k in range(3)))
        text = table("path,diagnosis", *(f"{p},{'sick' if '2' in p else 'well'}" for p in files))
        layout = found_in({**files, "meta.csv": text})
        assert (layout.kind, layout.classes) == ("table", ["sick", "well"])
        kept = found_in({**files, "meta.csv": text}, classes_from="folders")
        assert (kept.kind, len(kept.classes)) == ("folders", 6)

    def test_a_guess_does_not_overrule_folders(self):
        text = table("path,sex", *(f"{p.removeprefix('top/')},{'mf'[i % 2]}" for i, p in enumerate(self.FILES)))
        assert found_in({**self.FILES, "top/manifest.csv": text}).classes == ["a", "b"]

    def test_the_table_can_be_asked_for(self):
        text = self.rows("path,label,patient_id")
        assert found_in({**self.FILES, "top/manifest.csv": text}, label_by="patient_id").classes[:2] == ["p0", "p1"]
        assert found_in({**self.FILES, "top/manifest.csv": text}, classes_from="table").kind == "table"


class TestHuggingFaceImageFolders:
    def test_one_metadata_file_for_each_split_folder(self):
        files: dict[str, int | str] = {}
        for split, number in (("train", 6), ("validation", 2), ("test", 2)):
            files |= images(*(f"data/{split}/{i:04d}.png" for i in range(number)))
            files[f"data/{split}/metadata.csv"] = table(
                "file_name,label", *(f"{i:04d}.png,{'xy'[i % 2]}" for i in range(number))
            )
        layout = found_in(files)
        assert layout.counts == {name: {"train": 3, "val": 1, "test": 1} for name in "xy"}
        assert layout.top == "data"
        assert "splits from folders" in layout.summary
        assert layout.images[0].split == Split.TEST

    def test_one_metadata_file_for_all(self):
        paths = [f"{split}/{i}.jpg" for split in ("train", "test") for i in range(4)]
        text = "\n".join(json.dumps({"file_name": path, "label": "xy"[i % 2]}) for i, path in enumerate(paths))
        layout = found_in({**images(*paths), "metadata.jsonl": text})
        assert layout.counts == {name: {"train": 2, "test": 2} for name in "xy"}

    def test_class_folders_with_metadata(self):
        paths = [f"train/{name}/{i}.jpg" for name in "xy" for i in range(4)] + ["test/x/1.jpg", "test/y/1.jpg"]
        text = table(
            "file_name,patient", *(f"{path.removeprefix('train/')},p{i // 2}" for i, path in enumerate(paths[:8]))
        )
        layout = found_in({**images(*paths), "train/metadata.csv": text}, group_by="patient")
        assert layout.counts == {name: {"train": 4, "test": 1} for name in "xy"}
        assert layout.groups is not None
        assert (layout.groups.num_groups, layout.groups.without) == (4, 2)

    def test_tables_that_are_named_as_splits(self):
        files: dict[str, int | str] = dict(images(*FLAT))
        files["train.csv"] = table("file,label", "1.png,a", "2.png,b", "3.png,a", "4.png,b")
        files["test.csv"] = table("file,label", "5.png,a", "6.png,b")
        layout = found_in(files)
        assert layout.counts == {name: {"train": 2, "test": 1} for name in "ab"}


class TestTablesThatAreNotUsed:
    @pytest.mark.parametrize(("name", "content", "says"), [
        ("notes.csv", "a,b\n1,2\n", "none of its columns names images"),
        ("notes.csv", "just text\n", "only one column"),
        ("notes.csv", "file,label\n", "without rows"),
        ("notes.csv", "", "empty"),
        ("notes.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("notes.jsonl", '{"a": 1}\n{"a":\n', "line 2 is no JSON"),
        ("notes.jsonl", "[" * 100_000, "line 1 is no JSON"),
        ("notes.jsonl", '{"a": 1' + "0" * 5000 + "}", "line 1 is no JSON"),
        ("notes.csv", "x," * 600 + "\n" + "1," * 600, "columns; a table may have 500"),
        ("notes.csv", "file,label\n" + "x" * 1_100_000, "more than a million characters"),
        ("notes.csv", "file,label\n" + "1.png,a\n" * 60 + '2.png,"' + "\nx" * 100_000, "cannot be read as a table"),
    ])  # fmt: skip
    def test_are_ignored_with_the_reason(self, name: str, content: str, says: str):
        layout = found_in({**images(*many("a"), *many("b")), name: content})
        assert says in reasons(layout)[name]
        assert layout.classes == ["a", "b"]

    def test_one_of_two_about_the_same_images_is(self):
        more = table("file,label,age", *(f"{i}.png,{'ab'[1 - i % 2]},{i}" for i in range(1, 7)))
        layout = found_in({**images(*FLAT), "x.csv": listed(), "y.csv": more})
        assert reasons(layout) == {"x.csv": "It is a table, but y.csv is used; one table is."}

    def test_beyond_64_mib_they_are_not_read(self):
        layout = found_in({**images(*many("a"), *many("b")), "big.csv": 65 << 20})
        assert "64 MiB" in reasons(layout)["big.csv"]


def test_columns_are_described_with_three_examples_and_a_guess_of_patients():
    rows = [f"{i}.png,{'ab'[1 - i % 2]},p{i // 2},{i},scanner {i // 4}" for i in range(1, 7)]
    text = table("file,label,PatientID,age,site", *rows)
    layout = found_in({**images(*FLAT), "labels.csv": text})
    assert layout.listing is not None
    assert [tuple(column) for column in describe(layout.listing)] == [
        ("file", 6, ["1.png", "2.png", "3.png"], False, "file"),
        ("label", 2, ["a", "b"], False, "label"),
        ("PatientID", 4, ["p0", "p1", "p2"], True, ""),
        ("age", 6, ["1", "2", "3"], False, ""),
        ("site", 2, ["scanner 0", "scanner 1"], False, ""),
    ]
    assert "The column PatientID of labels.csv could name patients: group by it, so that nobody is on two sides." in layout.warnings  # fmt: skip


@pytest.mark.parametrize(("name", "is_likely"), [
    ("patient_id", True), ("patientId", True), ("Subject", True), ("case", True), ("lesion_id", True), ("study_id", True),
    ("age", False), ("identity_check", False), ("valid", False),
])  # fmt: skip
def test_a_column_could_name_patients_by_its_name(name: str, is_likely: bool):
    text = table(f"file,label,{name}", *(f"{i}.png,{'ab'[1 - i % 2]},{i // 2}" for i in range(1, 7)))
    layout = found_in({**images(*FLAT), "labels.csv": text})
    assert layout.listing is not None
    assert describe(layout.listing)[2].may_be_groups == is_likely


def test_what_is_stored_of_a_layout_holds_no_cell_of_the_table():
    text = table("file,label,patient", *(f"{i}.png,{'ab'[1 - i % 2]},Erika {i // 2}" for i in range(1, 7)))
    layout = found_in({**images(*FLAT), "labels.csv": text}, group_by="patient")
    assert layout.listing is not None
    assert "Erika" not in json.dumps(layout.as_json())
    plan = layout.as_json() | {"columns": [column._asdict() for column in describe(layout.listing)]}
    assert "Erika" in json.dumps(plan)
    assert "Erika" not in json.dumps(without_examples(plan))


def test_a_layout_is_the_same_in_whatever_order_the_files_come():
    files = {**images(*FLAT), "train.csv": listed(), "README.md": 5}
    assert found_in(dict(reversed(files.items()))) == found_in(files)
