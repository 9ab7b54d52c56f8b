"""Which images a part of a sampling draws: each image in exactly one part, in blocks that fill whole chunks."""

from collections import Counter

import pytest

from app.core.drawing import CLASS_STRIDE, Request, most_parts, num_of_parts, requested, requested_of_part

CHUNK = 8  # rows of one network call on a CPU


def parts_of(counts: list[int], num_parts: int) -> list[list[Request]]:
    return [requested_of_part(counts, part=part, num_parts=num_parts) for part in range(1, num_parts + 1)]


def num_chunks(requests: list[Request]) -> int:
    """Network calls that these images take: each has its row, image index modulo the size."""
    return max(Counter(request.index % CHUNK for request in requests).values())


@pytest.mark.parametrize(
    ("counts", "num_parts"),
    [([16, 16], 3), ([9, 8], 3), ([200] * 4, 3), ([1000, 10, 0], 7), ([5, 5], 2), ([5_000], 64), ([64] * 4, 1)],
)
def test_every_image_is_in_exactly_one_part_and_no_part_is_empty(counts: list[int], num_parts: int) -> None:
    whole, parts = requested(counts), parts_of(counts, num_parts)
    assert sorted(each.index for part in parts for each in part) == sorted(each.index for each in whole)
    assert all(parts)
    assert num_of_parts(counts, num_parts) == [len(part) for part in parts]
    places = {each: place for place, each in enumerate(whole)}
    assert all([places[each] for each in part] == sorted(places[each] for each in part) for part in parts)


@pytest.mark.parametrize(("counts", "num_parts"), [([64, 64], 3), ([256] * 4, 5), ([48, 8], 2)])
def test_parts_take_no_more_chunks_than_the_whole(counts: list[int], num_parts: int) -> None:
    assert sum(num_chunks(part) for part in parts_of(counts, num_parts)) == num_chunks(requested(counts))


def test_parts_are_about_as_long_as_each_other_and_hold_every_class() -> None:
    for part in parts_of([500, 500, 500], 4):
        of_class = Counter(each.label for each in part)
        assert 375 * 0.75 <= len(part) <= 375 * 1.25
        assert max(of_class.values()) - min(of_class.values()) <= 64


def test_short_last_blocks_make_no_short_part() -> None:
    assert [len(part) for part in parts_of([200] * 4, 3)] == [256, 256, 288]  # blocks of 64, the last of a class of 8


def test_the_first_part_begins_where_the_whole_begins() -> None:
    first = requested_of_part([16, 16], part=1, num_parts=2)
    assert [each.index for each in first[:4]] == [0, CLASS_STRIDE, 1, CLASS_STRIDE + 1]


@pytest.mark.parametrize(("counts", "most"), [([8, 8], 2), ([9, 8], 3), ([5, 0], 1), ([64] * 4, 32)])
def test_there_are_at_most_as_many_parts_as_blocks_of_eight(counts: list[int], most: int) -> None:
    assert most_parts(counts) == most
