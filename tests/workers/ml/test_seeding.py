"""Seeds are stable names for numbers, and random states survive a round trip or are refused."""

import random

import numpy as np
import pytest
import torch

from workers.ml.seeding import (
    capture_random_states,
    derive_seed,
    restore_random_states,
    seeded,
    torch_generator,
)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_seed_is_the_same_on_every_machine():
    # printf 'str:noise\x1fint:3' | sha256sum: the first 16 digits as a number, halved
    assert derive_seed("noise", 3) == 6207589662776109058


def test_a_seed_depends_on_order_and_type_of_its_parts():
    assert len({derive_seed(1, 2), derive_seed(2, 1), derive_seed("1", 2), derive_seed(12)}) == 4


def test_generators_of_the_same_parts_draw_the_same():
    first, second = (torch.rand(3, generator=torch_generator("a", 1, device="cpu")) for _ in range(2))
    assert torch.equal(first, second)


def test_restoring_repeats_what_was_drawn_after_the_capture():
    states = capture_random_states()
    expected = draw()
    draw()
    restore_random_states(*states)
    assert draw() == expected


def test_a_seeded_block_leaves_the_global_states_as_they_were():
    states = capture_random_states()
    expected = draw()
    restore_random_states(*states)
    with seeded("block", 1):
        inside = draw()
    assert draw() == expected
    with seeded("block", 1):
        assert draw() == inside


@pytest.mark.parametrize("name", ["python", "numpy", "torch"])
def test_a_missing_random_state_is_refused(name):
    tensors, values = capture_random_states()
    del tensors[name]
    with pytest.raises(ValueError, match=f"lacks random states: {name}"):
        restore_random_states(tensors, values)


def test_another_number_of_cuda_devices_is_refused():
    tensors, values = capture_random_states()
    more = values["cuda_devices"] + 1
    tensors |= {f"cuda{i}": torch.zeros(16, dtype=torch.uint8) for i in range(more)}
    with pytest.raises(ValueError, match="CUDA devices"):
        restore_random_states(tensors, values | {"cuda_devices": more})
