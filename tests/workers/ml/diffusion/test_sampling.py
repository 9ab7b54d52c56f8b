"""Samples show what was learnt, by every sampler, and image k is the same in any company."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from tests.workers.ml.diffusion.tiny import DARK, LIGHT, SPOT, TINY, new_state
from workers.ml.diffusion.sampling import Guidance, chunk_size, initial_noise, sample_images
from workers.ml.diffusion.schedule import SAMPLERS
from workers.ml.diffusion.training import denoiser_of


def sample(denoiser, labels, indices, **changes):
    options = {
        "seed": 3,
        "guidance": Guidance(1.0),
        "sampler": "dpm++",
        "num_steps": 6,
        "batch_size": 8,
        "device": "cpu",
    }
    data = {"labels": np.array(labels, np.int64), "indices": np.array(indices, np.int64)}
    batches = list(sample_images(**{"denoiser": denoiser} | options | data | changes))
    return np.concatenate([batch.images_uint8 for batch in batches])


def assert_shows_the_two_classes(images, tolerance):
    """images: (2, 8, 8, 1), one of each class."""
    background = images[:, 6:, 6:].astype(float).mean(axis=(1, 2, 3))
    assert background == pytest.approx([DARK, LIGHT], abs=tolerance)
    assert images[:, 2:4, 2:4].astype(float).mean(axis=(1, 2, 3)) == pytest.approx([SPOT, SPOT], abs=tolerance)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_what_was_learnt(trained, sampler):
    assert_shows_the_two_classes(sample(trained, [0, 1], [0, 1], sampler=sampler, num_steps=20), 40)


def test_epsilon_networks_draw_the_spot_and_tell_the_classes_apart(trained_epsilon):
    drawn = [sample(trained_epsilon, [0, 1], [0, 1], sampler=one, num_steps=40).astype(float) for one in SAMPLERS]
    for images in drawn:
        assert images[1, 6:, 6:].mean() > images[0, 6:, 6:].mean() + 40
        assert (images[:, 2:4, 2:4].mean(axis=(1, 2, 3)) > images[:, 6:, 6:].mean(axis=(1, 2, 3)) + 60).all()
        assert np.abs(images - drawn[0]).mean() < 4


def test_all_samplers_reach_the_same_images(trained):
    drawn = [sample(trained, [0, 1], [0, 1], sampler=one, num_steps=40).astype(float) for one in SAMPLERS]
    for other in drawn[1:]:
        assert np.abs(other - drawn[0]).mean() < 4


@pytest.mark.parametrize("guidance", [Guidance(1.0), Guidance(2.0), Guidance(2.0, 0.2, 0.8)])
def test_an_image_is_bit_identical_in_any_batch_subset_and_order(trained, guidance):
    indices = np.arange(20)
    labels = indices % 2
    whole = sample(trained, labels, indices, guidance=guidance, batch_size=20)
    for batch_size in (1, 3, 8):
        assert np.array_equal(sample(trained, labels, indices, guidance=guidance, batch_size=batch_size), whole)
    chosen = np.array([17, 1, 9, 4])
    assert np.array_equal(sample(trained, labels[chosen], chosen, guidance=guidance), whole[chosen])


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def last_digits(x: torch.Tensor) -> np.ndarray:
    """(N, H, W, C) uint8: the last bits of each pixel, which an image of 256 greys hardly ever shows."""
    return (x.permute(0, 2, 3, 1).contiguous().view(torch.int32) & 0xFF).to(torch.uint8).numpy()


def test_an_image_is_bit_identical_with_any_number_of_threads(threads, monkeypatch):
    """At the widths of the preset small some convolutions divide their sums among the threads there are."""
    monkeypatch.setattr("workers.ml.diffusion.sampling.to_uint8", last_digits)
    config = dataclasses.replace(
        TINY, image_size=32, block_channels=(32, 64, 128), attention_levels=(2,), stem_channels=16
    )
    denoiser = denoiser_of(new_state(config=config))
    with torch.no_grad():
        for number, weights in enumerate(denoiser.network.parameters()):  # the last layers begin at 0
            weights += 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(number))
    indices = np.arange(24)
    values = []
    for number in (1, 2, 3):
        threads(number)
        drawn = sample(denoiser, indices % 2, indices, guidance=Guidance(2.0), batch_size=24, num_steps=4)
        assert torch.get_num_threads() == number
        values.append(drawn)
    assert len(np.unique(values[0])) == 256
    for other in values[1:]:
        assert np.array_equal(other, values[0])


def test_guidance_acts_on_its_part_of_the_way_alone(trained):
    drawn = {
        (start, stop): sample(trained, [0, 1], [0, 1], num_steps=10, guidance=Guidance(3.0, start, stop))
        for start, stop in ((0.0, 1.0), (0.2, 0.8), (0.01, 0.09), (0.91, 0.99))
    }
    plain = sample(trained, [0, 1], [0, 1], num_steps=10)
    assert np.array_equal(drawn[0.01, 0.09], plain)  # ten steps lie at 0.001, 0.101 and so on to 0.901
    assert np.array_equal(drawn[0.91, 0.99], plain)
    for one, other in itertools.combinations([plain, drawn[0.0, 1.0], drawn[0.2, 0.8]], 2):
        assert not np.array_equal(one, other)


def test_label_seed_and_index_each_change_the_image(trained):
    base = sample(trained, [0], [5])
    assert not np.array_equal(base, sample(trained, [1], [5]))
    assert not np.array_equal(base, sample(trained, [0], [6]))
    assert not np.array_equal(base, sample(trained, [0], [5], seed=4))


def test_batches_come_in_the_order_asked_for(trained):
    batches = list(
        sample_images(
            denoiser=trained,
            labels=np.array([1, 0, 1]),
            indices=np.array([9, 2, 1]),
            seed=0,
            guidance=Guidance(1.0),
            sampler="ddim",
            num_steps=2,
            batch_size=2,
            device="cpu",
        )
    )
    assert [batch.indices.tolist() for batch in batches] == [[9, 2], [1]]
    assert [batch.images_uint8.shape for batch in batches] == [(2, 8, 8, 1), (1, 8, 8, 1)]
    assert batches[0].images_uint8.dtype == np.uint8


def test_noise_of_an_image_does_not_depend_on_its_label_or_company(trained):
    assert initial_noise(trained.config, seed=1, index=2).shape == (1, 8, 8)
    assert (initial_noise(trained.config, seed=1, index=2) == initial_noise(trained.config, seed=1, index=2)).all()


def test_chunks_shrink_with_image_size_on_a_gpu(trained):
    assert chunk_size(trained.config, device="cpu") == 8
    assert chunk_size(trained.config, device="cuda") == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([2])}, r"lie in 0\.\.1"),
        ({"labels": np.array([0, 1])}, "two vectors of one length"),
        ({"indices": np.array([-1])}, "not be negative"),
        ({"batch_size": 0}, "at least 1"),
        ({"guidance": Guidance(-1.0)}, "at least 0"),
        ({"sampler": "euler"}, "expected one of"),
        ({"num_steps": 0}, "expected 1 to 1000"),
    ],
)
def test_what_does_not_fit_is_refused_before_drawing(trained, changes, message):
    data = {"labels": np.array([0]), "indices": np.array([0])} | changes
    with pytest.raises(ValueError, match=message):
        sample(trained, data.pop("labels"), data.pop("indices"), **data)
