"""A private step holds what its guarantee rests on: coins of equal chance, clipping image by image, and known noise."""

import numpy as np
import pytest
import torch

from tests.workers.ml.diffusion.tiny import new_state, train, two_classes
from workers.ml.diffusion.private import Batch, Privacy, draw_batch, private_gradients
from workers.ml.diffusion.training import export_denoiser, load_training_state, network_sha256, save_training_state

PRIVACY = Privacy(noise_multiplier=1.0, max_grad_norm=0.5)


def private_state(secret=12345, **changes):
    return new_state(secret=secret, **changes)


def train_privately(state, num_steps, privacy=PRIVACY, **changes):
    options = {"class_balanced": False, "batch_size": 4, "privacy": privacy, **changes}
    return train(state, num_steps, **options)


def batch_of(state, num, seed=0):
    config, generator = state.config, torch.Generator().manual_seed(seed)
    shape = (num, config.channels, config.image_size, config.image_size)
    noisy, target = (torch.randn(shape, generator=generator) for _ in range(2))
    t = torch.randint(1000, (num,), generator=generator)
    labels = torch.randint(config.num_classes + 1, (num,), generator=generator)
    return Batch(noisy, t, labels, target, torch.rand(num, generator=generator) + 0.5)


def rows_of(batch, rows):
    return Batch(*(getattr(batch, name)[rows] for name in ("noisy", "t", "labels", "target", "weights")))


def gradients_of(state, batch, *, noise=0.0, most=0.5, part=3, secret=7, step=0, batch_size=4):
    privacy = Privacy(noise_multiplier=noise, max_grad_norm=most)
    figures = private_gradients(
        network=state.network, batch=batch, privacy=privacy, batch_size=batch_size, part=part, secret=secret, step=step
    )
    return figures, torch.cat([parameter.grad.flatten() for parameter in state.network.parameters()])


def trained_state():
    """The last layer is zero at first, so that nothing before it has a gradient."""
    state = private_state()
    list(train_privately(state, 3))
    state.network.eval()  # no dropout
    return state


def test_without_noise_and_clipping_the_gradient_is_that_of_the_batch():
    state = trained_state()
    batch = batch_of(state, 5)
    (loss, _), found = gradients_of(state, batch, most=1e9, batch_size=5)
    state.network.zero_grad()
    errors = (state.network(batch.noisy, batch.t, batch.labels) - batch.target).square().mean(dim=(1, 2, 3))
    expected = (batch.weights * errors).mean()
    expected.backward()
    plain = torch.cat([parameter.grad.flatten() for parameter in state.network.parameters()])
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert torch.allclose(found, plain, atol=1e-6)


def test_no_image_moves_the_sum_by_more_than_the_clip():
    state = trained_state()
    batch = batch_of(state, 6)
    _, whole = gradients_of(state, batch, most=0.01)
    for left_out in range(6):
        _, without = gradients_of(state, rows_of(batch, [i for i in range(6) if i != left_out]), most=0.01)
        assert float((whole - without).norm()) * 4 == pytest.approx(0.01, rel=1e-3)  # each is longer than the clip


def test_the_noise_has_the_deviation_that_the_accountant_counts():
    state = trained_state()
    nothing = batch_of(state, 0)
    _, noise = gradients_of(state, nothing, noise=3.0, most=0.5, batch_size=4)
    assert float(noise.std()) == pytest.approx(3.0 * 0.5 / 4, rel=0.05)
    assert abs(float(noise.mean())) < 0.02
    _, other_step = gradients_of(state, nothing, noise=3.0, most=0.5, step=1)
    assert not torch.equal(noise, other_step)


def test_every_image_is_drawn_as_often_as_the_accountant_counts():
    drawn = [draw_batch(secret=3, step=step, num_images=50, batch_size=10) for step in range(2000)]
    counts = np.bincount(np.concatenate(drawn), minlength=50)
    assert np.abs(counts / 2000 - 0.2).max() < 0.04  # 4.5 deviations of a share of 2,000 coins
    sizes = np.array([len(each) for each in drawn])
    assert sizes.std() == pytest.approx((50 * 0.2 * 0.8) ** 0.5, rel=0.1)  # coins, not batches of one size


def test_a_resumed_private_training_ends_like_an_uninterrupted_one(tmp_path):
    whole = private_state()
    list(train_privately(whole, 6))
    state = private_state()
    steps = train_privately(state, 6)
    for _ in range(2):
        next(steps)
    save_training_state(state, tmp_path / "c", {})
    resumed, _ = load_training_state(tmp_path / "c", device="cpu")
    assert resumed.secret == 12345
    list(train_privately(resumed, 6))
    assert network_sha256(resumed.ema) == network_sha256(whole.ema)


def test_another_secret_gives_another_network_of_the_same_seed():
    networks = []
    for secret in (1, 2):
        state = private_state(secret)
        list(train_privately(state, 2))
        networks.append(network_sha256(state.network))
    assert networks[0] != networks[1]


def test_an_exported_network_does_not_hold_the_secret(tmp_path):
    secret = 987654321987654321
    state = private_state(secret)
    list(train_privately(state, 1))
    export_denoiser(tmp_path / "network.safetensors", state=state, metadata={})
    content = (tmp_path / "network.safetensors").read_bytes()
    assert str(secret).encode() not in content
    assert secret.to_bytes(8, "little") not in content


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"class_balanced": True}, "class_balanced"), ({"gradient_checkpointing": True}, "gradient_checkpointing")],
)
def test_what_would_break_the_guarantee_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        train_privately(private_state(), 1, **changes)


def test_a_state_without_secret_and_a_batch_of_everything_are_refused():
    with pytest.raises(ValueError, match="no secret"):
        train_privately(new_state(), 1)
    images, _ = two_classes()
    with pytest.raises(ValueError, match="must be below the number of images"):
        train_privately(private_state(), 1, batch_size=len(images))
