from collections import defaultdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.splits import RANK, Item, assign, counts_by_share
from models import Split

TRAIN, VAL, TEST = Split.TRAIN, Split.VAL, Split.TEST
SHARES = {TRAIN: 70, VAL: 10, TEST: 20}


def dealt(items: list[Item], seed: int = 0) -> list[Split | None]:
    return assign(items, seed=seed, train_percent=70, val_percent=10)


def item(pixels: str, label: int, split: Split | None = None, unit: str = "", order: int = 0) -> Item:
    return Item(pixels, unit or pixels, label, split, order)


def loose(label: int, number: int, split: Split | None = None, prefix: str = "") -> list[Item]:
    return [item(f"{prefix}{label}-{i}", label, split) for i in range(number)]


@pytest.mark.parametrize(("number", "train", "val", "test"), [
    (1, 1, 0, 0), (2, 1, 0, 1), (3, 1, 1, 1), (4, 2, 1, 1), (5, 3, 1, 1), (10, 7, 1, 2), (40, 28, 4, 8), (826, 578, 83, 165),
])  # fmt: skip
def test_deals_seventy_ten_twenty_with_at_least_one_each_from_three_on(number: int, train: int, val: int, test: int):
    assert counts_by_share(number, SHARES) == {TRAIN: train, VAL: val, TEST: test}
    splits = dealt(loose(0, number))
    assert [splits.count(split) for split in (TRAIN, VAL, TEST)] == [train, val, test]


def test_another_seed_deals_otherwise_and_the_same_seed_the_same():
    items = loose(0, 50)
    assert dealt(items, 1) == dealt(items, 1) != dealt(items, 2)


def test_copies_stay_together():
    items = [item(f"{i % 20}", 0) for i in range(68)]
    sides = defaultdict(set)
    for each, split in zip(items, dealt(items), strict=True):
        sides[each.pixels].add(split)
    assert all(len(splits) == 1 for splits in sides.values())


class TestALayoutThatBringsSplits:
    def test_is_kept(self):
        items = [*loose(0, 5, TRAIN, "a"), *loose(0, 3, VAL, "b"), *loose(0, 4, TEST, "c")]
        assert dealt(items) == [TRAIN] * 5 + [VAL] * 3 + [TEST] * 4

    def test_gets_a_missing_validation_split_out_of_train(self):
        items = [*loose(0, 80, TRAIN, "a"), *loose(0, 20, TEST, "c")]
        splits = dealt(items)
        assert splits[80:] == [TEST] * 20
        assert splits.count(VAL) == 10  # 10 of 10 + 70 per cent of 80

    def test_loses_the_training_copy_of_a_test_image(self):
        items = [
            *loose(0, 5, TRAIN, "a"),
            item("leak", 0, TRAIN),
            item("leak", 0, VAL),
            item("leak", 0, TEST),
            *loose(0, 3, VAL, "b"),
        ]
        assert dealt(items)[5:8] == [None, None, TEST]

    def test_of_one_folder_only_for_a_class_is_dealt_anew(self):
        items = [*loose(0, 10, TRAIN, "a"), *loose(0, 5, VAL, "b"), *loose(0, 5, TEST, "c"), *loose(1, 10, TEST, "d")]
        assert [dealt(items)[20:].count(split) for split in (TRAIN, VAL, TEST)] == [7, 1, 2]

    def test_with_one_training_image_takes_the_missing_split_from_the_largest(self):
        items = [*loose(0, 1, TRAIN, "a"), *loose(0, 6, TEST, "c")]
        splits = dealt(items)
        assert (splits[0], splits.count(VAL), splits.count(TEST)) == (TRAIN, 2, 4)  # 10 of 10 + 20 per cent of 6


items_of_any_kind = st.lists(
    st.builds(item, st.integers(0, 40).map(str), st.integers(0, 3), st.sampled_from([None, TRAIN, VAL, TEST])),
    max_size=120,
)
percents = st.tuples(st.integers(1, 98), st.integers(1, 98)).filter(lambda two: sum(two) <= 99)


@settings(max_examples=300, deadline=None)
@given(items_of_any_kind, st.integers(0, 5), percents)
def test_equal_pixels_never_stand_on_two_sides_and_only_lower_copies_are_left_out(items, seed, shares):
    splits = assign(items, seed=seed, train_percent=shares[0], val_percent=shares[1])
    sides = defaultdict(set)
    for item, split in zip(items, splits, strict=True):
        sides[item.pixels].add(split)
    highest = {
        i.pixels: max((o.split for o in items if o.pixels == i.pixels and o.split), key=RANK.get, default=None)
        for i in items
    }
    for item, split in zip(items, splits, strict=True):
        assert len(sides[item.pixels] - {None}) == 1  # on one side, and a copy is kept
        assert (split is None) == (item.split is not None and item.split != highest[item.pixels])


@settings(max_examples=200, deadline=None)
@given(items_of_any_kind, st.integers(0, 5), percents)
def test_a_class_of_three_images_of_its_own_is_in_every_split(items, seed, shares):
    splits = assign(items, seed=seed, train_percent=shares[0], val_percent=shares[1])
    labels = defaultdict(set)
    for item in items:
        labels[item.pixels].add(item.label)
    for label in range(4):
        own = {item.pixels for item in items if labels[item.pixels] == {label}}
        present = {split for item, split in zip(items, splits, strict=True) if item.label == label and split}
        assert len(own) < 3 or present == set(Split)


@settings(max_examples=100, deadline=None)
@given(items_of_any_kind, st.randoms(), percents)
def test_the_order_of_the_images_changes_nothing(items, rng, shares):
    def by_item(order):
        splits = assign(order, seed=3, train_percent=shares[0], val_percent=shares[1])
        return sorted(zip(order, splits, strict=True), key=repr)

    shuffled = list(items)
    rng.shuffle(shuffled)
    assert by_item(items) == by_item(shuffled)


@given(st.integers(0, 500), percents)
def test_parts_add_up(number, shares):
    counts = counts_by_share(number, {TRAIN: shares[0], VAL: shares[1], TEST: 100 - sum(shares)})
    assert sum(counts.values()) == number
    assert min(counts.values()) >= (1 if number >= 3 else 0)


def of_patients(sizes: list[list[int]]) -> list[Item]:
    """One patient per entry: so many images of class 0, of class 1, and so on."""
    return [
        item(f"{patient}-{label}-{i}", label, unit=f"patient {patient}")
        for patient, numbers in enumerate(sizes)
        for label, number in enumerate(numbers)
        for i in range(number)
    ]


class TestUnits:
    def test_are_never_torn_and_classes_stay_balanced(self):
        rng = Random(0)
        items = of_patients([[rng.choice([1, 1, 1, 2, 5]), rng.choice([0, 0, 1, 3])] for _ in range(300)])
        splits = dealt(items)
        sides = defaultdict(set)
        for each, split in zip(items, splits, strict=True):
            sides[each.unit].add(split)
        assert all(len(found) == 1 for found in sides.values())
        for label in (0, 1):
            of_class = [split for each, split in zip(items, splits, strict=True) if each.label == label]
            for split, percent in SHARES.items():
                assert abs(100 * of_class.count(split) / len(of_class) - percent) < 0.5

    def test_of_three_patients_each_gets_a_split_of_its_own(self):
        assert set(dealt(of_patients([[50], [2], [1]]))) == set(Split)

    def test_torn_by_the_layout_stay_torn(self):
        items = [*loose(0, 3, TRAIN, "a"), *loose(0, 3, VAL, "b"), *loose(0, 3, TEST, "c")]
        torn = [item("x", 0, TRAIN, unit="one patient"), item("y", 0, TEST, unit="one patient")]
        assert dealt([*items, *torn])[-2:] == [TRAIN, TEST]


class TestBlocks:
    def test_are_contiguous_runs_of_the_file_names(self):
        items = [item(f"{i}", 0, order=i) for i in range(100)]
        splits = assign(items, seed=4, train_percent=70, val_percent=10, by="blocks")
        assert [splits.count(split) for split in (TRAIN, VAL, TEST)] == [70, 10, 20]
        changes = sum(one != other for one, other in zip(splits, splits[1:] + splits[:1], strict=True))
        assert changes == 3  # seen as a ring

    def test_do_not_tear_units(self):
        items = [item(f"{i}", 0, unit=f"{i // 7}", order=i) for i in range(100)]
        splits = assign(items, seed=1, train_percent=70, val_percent=10, by="blocks")
        assert all(len(set(splits[start : start + 7])) == 1 for start in range(0, 98, 7))
        assert set(splits) == set(Split)

    @pytest.mark.parametrize(
        ("number", "present"), [(1, {TRAIN}), (2, {TRAIN, TEST}), (3, set(Split)), (4, set(Split))]
    )
    def test_of_few_images(self, number: int, present: set[Split]):
        items = [item(f"{i}", 0, order=i) for i in range(number)]
        assert set(assign(items, seed=0, train_percent=70, val_percent=10, by="blocks")) == present
