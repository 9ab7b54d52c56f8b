"""What is new in an upload, under which name, in which split: rules of joining, on entries made by hand."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.core import versions
from app.core.errors import ConflictError
from app.core.layouts import Layout
from app.core.version_rows import Left
from app.core.versions import Entry
from models import RefusedKind, Split
from models.specs import ImportSpec
from workers.jobs.import_assembling import Decoded, Planned
from workers.jobs.import_decoding import Kept
from workers.jobs.import_joining import Joined, join
from workers.jobs.import_sifting import Base

TRAIN, VAL, TEST = Split.TRAIN, Split.VAL, Split.TEST
SPEC = ImportSpec(upload_id=1, dataset_id=1)


def old(
    path: str, pixels: str, split: Split, *, label: int = 0, group: str | None = None, file: str | None = None
) -> Entry:
    return Entry(
        path=path, label=label, split=split, group=group, series=None, position=None, cluster=None, width=4, height=4, mode="L",
        bit_depth=8, conversion="as it was", file_sha256=file or f"f{pixels}", pixel_sha256=pixels,
        stored_sha256=f"s{pixels}", thumbnail_sha256=f"t{pixels}",
    )  # fmt: skip


def new(
    path: str, pixels: str, *, name: str = "a", group: str | None = None, split: Split | None = None,
    channels: int = 1, file: str | None = None,
) -> tuple[str, Planned]:  # fmt: skip
    """An image of the class `name`; path: with #frame for one image of several."""
    kept = Kept(
        path, None, 4, 4, channels, "L", 8, file or f"f{pixels}", pixels, f"s{pixels}", f"t{pixels}",
        source=path.partition("#")[0],
    )  # fmt: skip
    return name, Planned(kept, 0, split, group)


def upload(*images: tuple[str, Planned], left: Sequence[Left] = (), empty: Sequence[str] = ()) -> Decoded:
    classes = [*dict.fromkeys(name for name, _ in images), *empty]
    layout = Layout(
        top="", brings_splits=False, classes=classes, images=[], ignored=[], empty=[], warnings=["From the layout."]
    )
    planned = [image._replace(label=classes.index(name)) for name, image in images]
    return Decoded(layout, classes, planned, list(left))


def base(*entries: Entry, classes: Sequence[str] = ("a", "b"), channels: int = 1, **known: Any) -> Base:
    values: dict[str, Any] = {"pairs": set(), "told_apart": set(), "past": set(), "is_looked_through": True}
    return Base(1, 3, list(classes), channels, versions.with_clusters(list(entries), ()), **values | known)


def splits(joined: Joined) -> dict[str, Split]:
    return {entry.path: entry.split for entry in joined.entries}


def alike(*pictures: str) -> set[tuple[str, str]]:
    first, *others = (f"s{pixels}" for pixels in pictures)
    return {(min(first, other), max(first, other)) for other in others}


THERE = base(old("a/1.png", "1", TRAIN), old("a/2.png", "2", TEST), old("b/3.png", "3", TRAIN, label=1))


class TestWhatIsNew:
    def test_old_images_stay_as_they_are_and_new_ones_join_them(self) -> None:
        joined = join(THERE, upload(new("a/4.png", "4"), new("b/5.png", "5", name="b")), (), SPEC)
        assert joined.entries[:3] == THERE.entries
        assert {entry.path: entry.label for entry in joined.entries[3:]} == {"a/4.png": 0, "b/5.png": 1}
        assert (joined.num_added, joined.change, joined.classes, joined.channels) == (2, "Add 2 images", ["a", "b"], 1)
        assert joined.warnings == ["From the layout."]

    def test_the_same_pixels_or_file_in_the_same_class_are_left_out_with_the_reason(self) -> None:
        again = new("more/1.png", "1", file="re-encoded")
        converted = new("more/two.png", "other", file="f2")
        joined = join(
            THERE, upload(again, converted, new("a/4.png", "4"), left=[Left("x", RefusedKind.BROKEN, "cut")]), (), SPEC
        )
        assert joined.left == [
            Left("more/1.png", RefusedKind.DUPLICATE, "It is in the dataset already: a/1.png has the same pixels."),
            Left("more/two.png", RefusedKind.DUPLICATE,
                 "It is in the dataset already: a/2.png is the same file, converted by other options."),
            Left("x", RefusedKind.BROKEN, "cut"),
        ]  # fmt: skip
        assert joined.change == "Add 1 image"

    def test_another_slice_of_a_file_that_is_there_is_new(self) -> None:
        there = base(old("v.nii#slice z 010", "1", TRAIN, file="v"))
        joined = join(
            there, upload(new("v.nii#slice z 010", "1", file="v"), new("v.nii#slice z 011", "2", file="v")), (), SPEC
        )
        assert [entry.path for entry in joined.entries] == ["v.nii#slice z 010", "v.nii#slice z 011"]

    def test_the_same_pixels_in_another_class_are_kept_on_their_side_and_reported(self) -> None:
        joined = join(THERE, upload(new("b/2.png", "2", name="b")), (), SPEC)
        assert splits(joined)["b/2.png"] == TEST
        assert "1 image has the pixels of an image of another class; one of the labels is wrong." in joined.warnings

    def test_copies_within_the_upload_are_kept_on_one_side(self) -> None:
        joined = join(THERE, upload(*(new(f"n/{i}.png", f"n{i % 10}") for i in range(30))), (), SPEC)
        assert joined.num_added == 30
        assert versions.leaks(joined.entries)["identical"] == 0

    def test_nothing_new_is_an_error_that_counts_what_there_was(self) -> None:
        past = {("a/9.png", "9", "a")}
        images = upload(new("x", "1"), new("y", "2"), new("a/9.png", "9"), left=[Left("z", RefusedKind.BROKEN, "cut")])
        with pytest.raises(ConflictError) as raised:
            join(base(*THERE.entries, past=past), images, (), SPEC)
        assert raised.value.detail == (
            "Nothing is new, so no version was made. Of the images there are: 2 in version 3 already, "
            "1 left out of the dataset by hand before, 1 not to be read."
        )


class TestWhatAPersonDecided:
    def test_an_excluded_image_does_not_come_back_by_itself(self) -> None:
        there = base(*THERE.entries, past={("a/9.png", "9", "a"), ("a/1.png", "1", "a")})
        joined = join(there, upload(new("a/9.png", "9"), new("a/4.png", "4")), (), SPEC)
        assert joined.change == "Add 1 image"
        assert "1 image was left out of the dataset by hand before, and not added again." in joined.warnings

    def test_it_does_under_another_name(self) -> None:
        joined = join(base(*THERE.entries, past={("a/9.png", "9", "a")}), upload(new("again/9.png", "9")), (), SPEC)
        assert "again/9.png" in splits(joined)

    def test_a_class_that_was_changed_stays(self) -> None:
        there = base(*THERE.entries, past={("b/3.png", "3", "a")})
        joined = join(there, upload(new("b/3.png", "3", name="a"), new("a/4.png", "4")), (), SPEC)
        assert joined.left == [
            Left("b/3.png", RefusedKind.DUPLICATE, "It is in the dataset as b: its class was changed by hand.")
        ]

    def test_pictures_that_were_told_apart_stay_apart(self) -> None:
        pair = alike("2", "4")
        free = join(base(*THERE.entries, told_apart=pair), upload(new("a/4.png", "4")), pair, SPEC)
        assert splits(free)["a/4.png"] == TRAIN  # the only one of its class in the upload
        assert {entry.cluster for entry in free.entries} == {None}
        assert splits(join(THERE, upload(new("a/4.png", "4")), pair, SPEC))["a/4.png"] == TEST


class TestNames:
    def test_other_pixels_under_a_name_that_is_taken_get_a_name_of_their_own(self) -> None:
        there = base(
            old("a/1.png", "1", TRAIN), old("a/1 (2).png", "2", TRAIN), old("ct.nii.gz#slice z 001", "3", TRAIN)
        )
        joined = join(
            there,
            upload(
                new("a/1.png", "4"),
                new("ct.nii.gz#slice z 001", "5", file="v"),
                new("ct.nii.gz#slice z 002", "6", file="v"),
            ),
            (),
            SPEC,
        )
        assert [entry.path for entry in joined.entries[3:]] == [
            "a/1 (3).png", "ct (2).nii.gz#slice z 001", "ct (2).nii.gz#slice z 002",
        ]  # fmt: skip
        assert joined.warnings[-1] == (
            "2 files have the name of another file of the dataset, and a new one here: a/1.png is a/1 (3).png."
        )

    def test_another_volume_of_the_same_name_is_not_mixed_with_the_one_that_is_there(self) -> None:
        there = base(old("ct.nii#slice z 001", "1", TRAIN, file="v"))
        joined = join(there, upload(new("ct.nii#slice z 002", "2", file="w")), (), SPEC)
        assert joined.entries[1].path == "ct (2).nii#slice z 002"

    def test_a_name_that_would_be_too_long_is_an_error(self) -> None:
        path = "x" * 1000
        with pytest.raises(ConflictError, match="is longer than 1000 characters"):
            join(base(old(path, "1", TRAIN)), upload(new(path, "2")), (), SPEC)


class TestClasses:
    def test_new_ones_come_after_those_that_are_there(self) -> None:
        there = base(old("m/1", "1", TRAIN), old("z/2", "2", TRAIN, label=1), classes=["m", "z"])
        joined = join(there, upload(new("a/3", "3", name="a"), new("z/4", "4", name="z")), (), SPEC)
        assert joined.classes == ["m", "z", "a"]
        assert [entry.label for entry in joined.entries] == [0, 1, 2, 1]
        assert "New classes, numbered after those that were there: a." in joined.warnings

    def test_one_without_an_image_that_is_new_is_none(self) -> None:
        joined = join(THERE, upload(new("a/4", "4"), new("d/5", "5", name="d"), empty=["c"]), (), SPEC)
        assert joined.classes == ["a", "b", "d"]
        assert joined.entries[-1].label == 2
        assert "No image of the class c is left; it is not in the dataset." in joined.warnings

    def test_names_that_differ_by_case_only_are_one_as_within_an_upload(self) -> None:
        joined = join(THERE, upload(new("A/4", "4", name="A"), new("A/1", "1", name="A")), (), SPEC)
        assert (joined.classes, joined.entries[-1].label) == (["a", "b"], 0)
        assert [(file.path, file.kind) for file in joined.left] == [("A/1", RefusedKind.DUPLICATE)]

    def test_names_that_differ_in_spelling_only_are_warned_of(self) -> None:
        there = base(old("1", "1", TRAIN), classes=["No tumor"])
        joined = join(there, upload(new("2", "2", name="no_tumor")), (), SPEC)
        assert joined.classes == ["No tumor", "no_tumor"]
        assert "Classes whose names differ in spelling only are two classes: no_tumor and No tumor." in joined.warnings

    def test_colour_makes_a_grey_dataset_colour(self) -> None:
        joined = join(THERE, upload(new("a/4", "4", channels=3)), (), SPEC)
        assert joined.channels == 3
        assert any(warning.startswith("The dataset was grey;") for warning in joined.warnings)
        assert join(base(*THERE.entries, channels=3), upload(new("a/4", "4")), (), SPEC).channels == 3


class TestSplits:
    def test_what_belongs_to_nothing_is_dealt_among_itself_by_the_shares_and_the_seed(self) -> None:
        images = [new(f"n/{i:02d}", f"n{i}", group=f"p{i // 2}") for i in range(40)]
        joined = join(THERE, upload(*images), (), SPEC)
        assert versions.counts(joined.entries[3:], ["a"]) == {"a": {"train": 28, "val": 4, "test": 8}}
        assert versions.leaks(joined.entries)["patients"] == 0
        again, other = (
            splits(join(THERE, upload(*reversed(images)), (), SPEC.model_copy(update={"seed": seed})))
            for seed in (0, 1)
        )
        assert again == splits(joined) != other

    @pytest.mark.parametrize("tie", [
        new("n", "n", group="p"),  # of a patient who is there
        new("n", "2", name="b"),  # a copy
        new("n", "n"),  # a look-alike, see pairs
    ])  # fmt: skip
    def test_what_belongs_to_an_image_that_is_there_stands_on_its_side(self, tie: tuple[str, Planned]) -> None:
        there = base(old("1", "1", TRAIN), old("2", "2", TEST, group="p"))
        pairs = alike("2", "n") if tie[1].group is None else ()
        assert splits(join(there, upload(tie, new("f", "f")), pairs, SPEC))["n"] == TEST

    def test_where_a_patient_is_torn_already_new_images_go_to_most(self) -> None:
        there = base(*(old(str(i), str(i), split, group="p") for i, split in enumerate([TEST, TEST, TRAIN])))
        before = versions.leaks(there.entries)
        joined = join(there, upload(new("n", "n", group="p")), (), SPEC)
        assert splits(joined)["n"] == TEST
        assert versions.leaks(joined.entries) == before == {"patients": 1, "identical": 0, "near": 0}

    def test_a_copy_stands_with_its_copy_even_where_the_patient_is_torn(self) -> None:
        there = base(*(old(str(i), str(i), split, group="p") for i, split in enumerate([TEST, TEST, TRAIN])))
        joined = join(there, upload(new("n", "2", name="b", group="p")), (), SPEC)
        assert splits(joined)["n"] == TRAIN
        assert versions.leaks(joined.entries) == {"patients": 1, "identical": 0, "near": 0}

    def test_an_image_that_would_be_a_leak_wherever_it_stood_is_left_out(self) -> None:
        there = base(old("1", "1", TRAIN), old("2", "2", TEST))
        bridge = alike("1", "n") | alike("2", "n")
        joined = join(there, upload(new("n", "n"), new("m", "m")), bridge | alike("n", "m"), SPEC)
        assert [file.path for file in joined.left if file.kind == RefusedKind.LEAKING] == ["n"]
        assert versions.leaks(joined.entries) == {"patients": 0, "identical": 0, "near": 0}
        assert "1 image was left out, being a leak in whatever split." in joined.warnings

    def test_the_uploads_own_are_kept_as_they_are(self) -> None:
        images = [new(f"n/{i}", f"n{i}", split=TEST) for i in range(5)]
        joined = join(THERE, upload(*images, new("v", "v", split=VAL)), (), SPEC)
        assert {split for path, split in splits(joined).items() if path.startswith("n/")} == {TEST}
        assert splits(joined)["v"] == VAL

    def test_but_not_where_they_would_put_a_patient_on_two_sides(self) -> None:
        there = base(old("1", "1", TRAIN, group="p"))
        images = upload(
            new("of p", "n1", group="p", split=TEST), new("q 1", "n2", group="q", split=VAL),
            new("q 2", "n3", group="q", split=TEST), new("q 3", "n4", group="q", split=TEST), new("q 4", "n5", group="q"),
        )  # fmt: skip
        joined = join(there, images, (), SPEC)
        assert splits(joined) == {"1": TRAIN, "of p": TRAIN, "q 1": TEST, "q 2": TEST, "q 3": TEST, "q 4": TEST}
        assert (
            "2 images stand where their patient or look-alikes stand, in another split than the upload says."
            in joined.warnings
        )

    @pytest.mark.parametrize("seed", range(60))
    def test_no_leak_is_ever_made_or_made_worse(self, seed: int) -> None:
        draw = random.Random(seed)
        entries, images, pairs = _anything(draw)
        there = base(*versions.with_clusters(entries, pairs), pairs=pairs)
        further = {
            _pair(draw, [*(e.pixel_sha256 for e in entries), *(i.file.pixel_sha256 for _, i in images)])
            for _ in range(8)
        }
        try:
            joined = join(there, upload(*images), further, SPEC)
        except ConflictError:
            return
        kept = versions.with_clusters(there.entries, pairs | further)  # old images that look the same come to light
        before, after = versions.leaks(kept), versions.leaks(joined.entries)
        assert all(after[kind] <= before[kind] for kind in before), (before, after)
        assert [entry._replace(cluster=None) for entry in joined.entries[: len(entries)]] == [
            entry._replace(cluster=None) for entry in there.entries
        ]
        assert len({entry.path for entry in joined.entries}) == len(joined.entries)


def _anything(draw: random.Random) -> tuple[list[Entry], list[tuple[str, Planned]], set[tuple[str, str]]]:
    """Few pictures, patients and pairs, so that everything hangs together; the splits leak as they come."""
    sides: Mapping[int, Split] = dict(enumerate(Split))
    entries = [
        old(f"o{i}", f"{draw.randrange(8)}", sides[draw.randrange(3)], label=draw.randrange(2), group=_patient(draw))
        for i in range(8)
    ]
    images = [
        new(
            f"n{i}",
            f"{draw.randrange(16)}",
            name=draw.choice("abc"),
            group=_patient(draw),
            split=draw.choice([None, None, *Split]),
        )
        for i in range(10)
    ]
    return entries, images, {_pair(draw, [entry.pixel_sha256 for entry in entries]) for _ in range(2)}


def _patient(draw: random.Random) -> str | None:
    return draw.choice([None, "p", "q", "r", "s"])


def _pair(draw: random.Random, pixels: Sequence[str]) -> tuple[str, str]:
    first, second = sorted(f"s{draw.choice(pixels)}" for _ in range(2))
    return first, second
