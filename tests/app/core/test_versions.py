import hashlib
import json

import numpy as np
import pytest

from app.core import phantoms, versions
from app.core.fingerprints import fingerprint
from app.core.unions import Unions
from app.core.versions import Entry
from models import Split

TRAIN, VAL, TEST = Split.TRAIN, Split.VAL, Split.TEST


def entry(path: str, split: Split = TRAIN, *, pixels: str = "", group: str | None = None, label: int = 0) -> Entry:
    pixels = pixels or path
    return Entry(
        path,
        label,
        split,
        group,
        None,
        None,
        None,
        8,
        8,
        "L",
        8,
        "",
        "f" + path,
        pixels,
        "stored " + pixels,
        "t" + pixels,
    )


def clusters(entries: list[Entry], pairs: list[tuple[str, str]]) -> dict[str, int | None]:
    return {each.path: each.cluster for each in versions.with_clusters(entries, pairs)}


class TestClusters:
    def test_join_equal_pixels_and_look_alikes_and_number_them_by_path(self):
        entries = [entry("d"), entry("c", pixels="same"), entry("b"), entry("a", pixels="same"), entry("e")]
        found = clusters(entries, [("stored b", "stored d"), ("stored b", "stored gone")])
        assert found == {"a": 1, "c": 1, "b": 2, "d": 2, "e": None}

    def test_chain(self):
        entries = [entry("a"), entry("b"), entry("c")]
        assert clusters(entries, [("stored a", "stored b"), ("stored b", "stored c")]) == {"a": 1, "b": 1, "c": 1}
        assert clusters([entries[0], entries[2]], [("stored a", "stored b"), ("stored b", "stored c")]) == {
            "a": None,
            "c": None,
        }


class TestUnits:
    def test_are_patients_and_clusters_joined_where_they_overlap(self):
        entries = [
            entry("1", group="ann"), entry("2", group="ann", pixels="x"), entry("3", group="bob", pixels="x"),
            entry("4", group="bob"), entry("5"), entry("6", group="cid"),
        ]  # fmt: skip
        units = versions.units(versions.with_clusters(entries, []))
        assert units[0] == units[1] == units[2] == units[3]
        assert len(set(units)) == 3

    def test_have_keys_that_do_not_depend_on_names(self):
        one = versions.units([entry("a", pixels="p", group="g"), entry("b", pixels="q", group="g")])
        other = versions.units([entry("z", pixels="q", group="h"), entry("y", pixels="p", group="h")])
        assert one == other == ["p", "p"]


def test_leaks_are_counted_by_kind():
    entries = [
        entry("1", TRAIN, group="ann"), entry("2", TEST, group="ann"), entry("3", TRAIN, pixels="x"), entry("4", VAL, pixels="x"),
        entry("5", TRAIN), entry("6", TEST), entry("7", TEST, group="bob"), entry("8", TEST, group="bob"),
    ]  # fmt: skip
    assert versions.leaks(versions.with_clusters(entries, [("stored 5", "stored 6")])) == {
        "patients": 1, "identical": 1, "near": 2,
    }  # fmt: skip


def test_the_manifest_covers_path_class_group_split_and_pixels():
    entries = [entry("b", TEST, group="g", label=1), entry("a")]
    lines = [["a", "disc", None, "train", "a"], ["b", "ring", "g", "test", "b"]]
    expected = hashlib.sha256(b"".join(json.dumps(line).encode() + b"\n" for line in lines)).hexdigest()
    assert versions.manifest_sha256(entries, ["disc", "ring"]) == expected


def test_counts_name_every_class_and_split():
    assert versions.counts([entry("a"), entry("b", TEST), entry("c", TEST, label=1)], ["x", "y"]) == {
        "x": {"train": 1, "val": 0, "test": 1}, "y": {"train": 0, "val": 0, "test": 1},
    }  # fmt: skip


@pytest.mark.parametrize(("names", "ordered"), [
    (["s10", "s9", "s1"], ["s1", "s9", "s10"]),
    (["p2/10", "p10/1", "p2/9"], ["p2/9", "p2/10", "p10/1"]),
    (["a", "1", "a1b2", "a1b10"], ["1", "a", "a1b2", "a1b10"]),
])  # fmt: skip
def test_names_are_sorted_as_people_count(names: list[str], ordered: list[str]):
    assert sorted(names, key=versions.natural) == ordered


def test_known_images_are_identical_or_near_or_mirrored():
    heads = [phantoms.draw(name, seed, 64)[..., None] for seed in range(2) for name in phantoms.CLASSES[:3]]
    known = [(f"pixels {i}", f"stored {i}") for i in range(6)]
    known_looks = {f"stored {i}": fingerprint(head) for i, head in enumerate(heads)}
    darker = (heads[1] * 0.9 + 6).astype(np.uint8)
    images = [("pixels 4", "other 0"), ("new 1", "other 1"), ("new 2", "other 2"), ("new 3", "other 3")]
    looks = {
        "other 0": fingerprint(heads[4]), "other 1": fingerprint(darker), "other 2": fingerprint(heads[2][::-1]),
        "other 3": fingerprint(heads[3][:, ::-1]),
    }  # fmt: skip
    found = versions.known_images(known, images, known_looks, looks)
    assert [match[:3] for match in found] == [(0, 4, "identical"), (1, 1, "near"), (3, 3, "mirrored")]


def test_unions_join_what_was_joined_step_by_step():
    unions = Unions[str]()
    for one, other in ["ab", "cd", "bc", "ef"]:
        unions.join(one, other)
    roots = {name: unions.root(name) for name in "abcdefg"}
    assert roots["a"] == roots["b"] == roots["c"] == roots["d"] != roots["e"] == roots["f"] != roots["g"]
