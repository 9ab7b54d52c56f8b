import random

import pytest

from app.core.archives import Member
from app.core.errors import BadInputError
from app.core.layouts import Layout, detect
from models import Split
from tests.app.core.layout_files import InMemory, found_in, images, many, reasons


def found(*paths: str) -> Layout:
    return found_in(images(*paths))


class TestClassFolders:
    def test_at_the_root(self):
        layout = found(*many("glioma"), *many("no_tumor", 15))
        assert layout.classes == ["glioma", "no_tumor"]
        assert layout.counts == {"glioma": {"all": 12}, "no_tumor": {"all": 15}}
        assert (layout.top, layout.brings_splits, layout.warnings, layout.ignored) == ("", False, [], [])

    @pytest.mark.parametrize("top", ["brain", "data/brain mri"])
    def test_inside_one_more_folder_or_two(self, top: str):
        layout = found(*many(f"{top}/b"), *many(f"{top}/a"))
        assert (layout.top, layout.classes) == (top, ["a", "b"])

    def test_are_the_same_in_whatever_order_the_files_come(self):
        paths = [*many("x/b"), *many("x/A"), *many("x/a", 3), "x/README.md", "x/c/"]
        first = found(*paths)
        for seed in range(5):
            random.Random(seed).shuffle(paths)
            assert found(*paths) == first

    def test_endings_may_be_upper_case_and_of_all_kinds(self):
        layout = found("a/1.PNG", "a/2.JPG", "a/3.jpeg", "a/4.WebP", "a/5.bmp", "a/6.TIF", "a/7.tiff", "b/1.Png")
        assert layout.counts == {"a": {"all": 7}, "b": {"all": 1}}

    def test_a_single_class_is_not_taken_for_the_folder_around_it(self):
        layout = found(*many("glioma"))
        assert layout.classes == ["glioma"]
        assert "only one class, glioma" in layout.warnings[0]

    def test_spellings_that_differ_by_case_are_one_class(self):
        layout = found(*many("train/Glioma", 20), *many("test/glioma"), *many("train/other"), *many("test/other"))
        assert layout.classes == ["Glioma", "other"]
        assert "Glioma and glioma are taken for one class, Glioma." in layout.warnings

    def test_deeper_folders_belong_to_the_class_around_them(self):
        layout = found(*many("a"), *many("b/patient 1"), *many("b/patient 2"))
        assert layout.counts == {"a": {"all": 12}, "b": {"all": 24}}
        assert any(warning.startswith("24 images lie in folders inside") for warning in layout.warnings)

    def test_few_images_are_warned_of(self):
        layout = found(*many("a", 9), *many("b", 2), *many("c", 1))
        assert layout.warnings == [
            "a has only 9 images.", "b has 2 images: too few for all three splits.", "c has 1 image: too few for all three splits.",
        ]  # fmt: skip

    def test_empty_folders_are_reported_and_become_no_class(self):
        layout = found(*many("a"), *many("b"), "empty/", "texts/notes.txt", "__MACOSX/", ".git/")
        assert layout.classes == ["a", "b"]
        assert layout.empty == ["empty", "texts"]
        assert "The folder empty holds no image that can be read, and becomes no class." in layout.warnings


class TestSplitFolders:
    @pytest.mark.parametrize(("train", "val", "test"), [
        ("train", "val", "test"), ("Training", "valid", "Testing"), ("TRAIN", "Validation", "TEST"), ("top/train", "top/val", "top/test"),
    ])  # fmt: skip
    def test_become_splits(self, train: str, val: str, test: str):
        layout = found(*many(f"{train}/a"), *many(f"{val}/a", 3), *many(f"{test}/a", 4), *many(f"{train}/b"))
        assert layout.brings_splits
        assert layout.counts == {"a": {"train": 12, "val": 3, "test": 4}, "b": {"train": 12}}
        assert layout.summary.startswith("Class folders inside train, val, test folders")

    def test_may_lack_one(self):
        layout = found(*many("Training/a"), *many("Testing/a"))
        assert layout.counts == {"a": {"train": 12, "test": 12}}

    @pytest.mark.parametrize(("only", "says"), [("train", "only a train folder"), ("test", "no train folder")])
    def test_one_alone_is_not_used(self, only: str, says: str):
        layout = found(*many(f"{only}/a"), *many(f"{only}/b"))
        assert (layout.brings_splits, layout.classes) == (False, ["a", "b"])
        assert says in layout.warnings[0]
        assert {image.split for image in layout.images} == {None}

    def test_a_class_named_test_is_a_class(self):
        layout = found(*many("test"), *many("control"))
        assert (layout.brings_splits, layout.classes) == (False, ["control", "test"])

    def test_what_lies_beside_them_is_ignored(self):
        layout = found(*many("train/a"), *many("test/a"), "extra/a/1.png", "train/loose.png")
        assert "beside the train, val and test folders" in reasons(layout)["extra/a/1.png"]
        assert "beside the class folders" in reasons(layout)["train/loose.png"]

    def test_every_image_knows_its_split_and_label(self):
        layout = found("train/b/1.png", "train/a/1.png", "test/b/2.png", "val/a/3.png")
        assert [image[:3] for image in layout.images] == [
            ("test/b/2.png", 1, Split.TEST), ("train/a/1.png", 0, Split.TRAIN), ("train/b/1.png", 1, Split.TRAIN),
            ("val/a/3.png", 0, Split.VAL),
        ]  # fmt: skip


@pytest.mark.parametrize(("path", "says"), [
    ("README.md", "ending .md"), ("labels.xlsx", "save it as CSV"), ("notes.csv", "only one column"), ("a/notes", "no ending"), ("a/Thumbs.db", "Windows"),
    ("a/desktop.ini", "Windows"), ("a/.DS_Store", "hidden"), ("a/._001.png", "hidden"), (".cache/a/1.png", "hidden"),
    ("__MACOSX/a/._1.png", "macOS"), ("a/more.zip", "not opened"), ("a/scan.tar.gz", "not opened"), ("a/clip.gif", "ending .gif"),
    ("loose.png", "beside the class folders"),
])  # fmt: skip
def test_what_is_no_image_of_a_class_is_ignored_with_the_reason(path: str, says: str):
    layout = found_in({**images(*many("a"), *many("b")), path: "text" if path.endswith((".csv", "/notes")) else 100})
    assert says in reasons(layout)[path]
    assert layout.classes == ["a", "b"]


def test_an_empty_file_and_a_problem_of_the_archive_are_ignored_with_the_reason():
    layout = detect(
        [
            *(Member(path, 5) for path in many("a")),
            Member("a/e.png", 0),
            Member("a/l.png", 9, "It is a link to another file."),
        ],
        InMemory({}),
    )
    assert reasons(layout) == {"a/e.png": "The file is empty.", "a/l.png": "It is a link to another file."}


def test_a_file_that_is_there_twice_counts_once():
    twice = [Member("a/1.png", 5), Member("a/1.png", 5, "Its name is there twice."), Member("b/1.png", 5)]
    layout = detect(twice, InMemory({}))
    assert (layout.num_images, reasons(layout)) == (2, {"a/1.png": "Its name is there twice."})


@pytest.mark.parametrize(("paths", "says"), [
    ([], "holds no files"), (["a/"], "holds no files"), (["1.png", "2.png"], "All 2 images lie side by side"),
    (["a/1.gif", "a/2.gif", "b/x.txt"], "None of the 3 files can be read as an image (2 .gif, 1 .txt)"),
])  # fmt: skip
def test_an_upload_without_a_usable_class_is_refused_with_what_was_found_and_what_is_accepted(
    paths: list[str], says: str
):
    with pytest.raises(BadInputError) as caught:
        found(*paths)
    assert says in caught.value.detail
    assert "class folders that hold images" in caught.value.hint
    assert "train/glioma/001.png" in caught.value.hint


class TestDicomWithoutEnding:
    FILE = bytes(128) + b"DICM" + bytes(200)

    def test_is_an_image_as_are_files_named_by_identifiers(self):
        layout = found_in({"ct/IM0001": self.FILE, "ct/1.2.840.113619.2": 100, "mr/IM0001": 100, "mr/notes.txt": 10})
        assert [image.path for image in layout.images] == ["ct/1.2.840.113619.2", "ct/IM0001", "mr/IM0001"]
        assert layout.classes == ["ct", "mr"]

    def test_other_files_without_ending_are_none(self):
        layout = found_in({**images(*many("a")), "a/LICENSE": "text " * 50})
        assert "no ending" in reasons(layout)["a/LICENSE"]
