"""Training learns, repeats, and goes on after a stop as if there had been none."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.workers.ml.diffusion.tiny import TINY, new_state, train, two_classes
from workers.ml import checkpoints
from workers.ml.diffusion.training import (
    export_denoiser,
    learning_rate,
    load_denoiser,
    load_training_state,
    network_sha256,
    resolve_precision,
    save_training_state,
)

NUM_STEPS = 12


def digests(state) -> tuple[str, str]:
    return network_sha256(state.network), network_sha256(state.ema)


def run(num_steps=NUM_STEPS, **changes):
    state = new_state()
    return state, list(train(state, num_steps, **changes))


def test_the_loss_falls():
    _, steps = run(150)
    losses = [step.loss for step in steps]
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:5])


def test_steps_are_counted_and_told():
    _, steps = run()
    assert [(step.done, step.total, step.num_images) for step in steps] == [(i, 12, 16) for i in range(1, 13)]


def test_a_repeat_is_bit_identical_and_another_seed_is_not():
    first, second = run()[0], run()[0]
    assert digests(first) == digests(second)
    other = new_state(seed=2)
    list(train(other, NUM_STEPS, seed=2))
    assert digests(other)[0] != digests(first)[0]


@pytest.mark.parametrize("stop_after", [1, 5, 11])
def test_a_resumed_run_ends_with_the_sha256_of_an_uninterrupted_one(tmp_path, stop_after):
    expected = digests(run(hflip=True)[0])
    state = new_state()
    steps = train(state, NUM_STEPS, hflip=True)
    for _ in range(stop_after):
        next(steps)
    save_training_state(state, tmp_path / "c", {"losses": [1.0]})
    torch.manual_seed(99)  # whatever else the next process draws
    resumed, extra = load_training_state(tmp_path / "c", device="cpu")
    assert (resumed.step, resumed.position, extra) == (stop_after, stop_after * 16, {"losses": [1.0]})
    list(train(resumed, NUM_STEPS, hflip=True))
    assert digests(resumed) == expected


def test_the_control_with_another_random_state_differs(tmp_path):
    expected = digests(run()[0])
    state = new_state()
    next(train(state, NUM_STEPS))
    save_training_state(state, tmp_path / "c", {})
    resumed, _ = load_training_state(tmp_path / "c", device="cpu")
    resumed.generator.manual_seed(5)
    list(train(resumed, NUM_STEPS))
    assert digests(resumed) != expected


def test_draws_of_a_listener_between_steps_change_nothing():
    # TINY has dropout, which draws from torch's global state
    state = new_state()
    for _ in train(state, NUM_STEPS):
        torch.rand(3)
    assert digests(state) == digests(run()[0])


def test_a_saved_state_is_unchanged_by_saving(tmp_path):
    state = new_state()
    for step in train(state, NUM_STEPS):
        save_training_state(state, tmp_path / checkpoints.checkpoint_name(step.done), {})
    assert digests(state) == digests(run()[0])


def test_a_checkpoint_without_a_random_state_is_refused(tmp_path):
    save_training_state(new_state(), tmp_path / "c", {})
    tensors, values = checkpoints.read_directory(tmp_path / "c")
    del tensors["random"]["generator"]
    checkpoints.write_directory(tmp_path / "c", tensors, values)
    with pytest.raises(ValueError, match="lacks the random state 'generator'"):
        load_training_state(tmp_path / "c", device="cpu")


def test_checkpoints_of_another_kind_or_device_are_refused(tmp_path):
    save_training_state(new_state(), tmp_path / "c", {})
    with pytest.raises(ValueError, match="saved on cpu"):
        load_training_state(tmp_path / "c", device="cuda")
    checkpoints.write_directory(tmp_path / "d", {}, {"kind": "classifier"})
    with pytest.raises(ValueError, match="expected 'diffusion'"):
        load_training_state(tmp_path / "d", device="cpu")


def test_accumulation_and_gradient_checkpointing_change_nothing_but_rounding():
    # without dropout, whose masks depend on how the batch is cut
    states = []
    for changes in ({}, {"accumulation": 4}, {"gradient_checkpointing": True}):
        states.append(new_state(config=replace(TINY, dropout=0.0)))
        list(train(states[-1], 3, **changes))
    for other in states[1:]:
        pairs = zip(states[0].network.parameters(), other.network.parameters(), strict=True)
        assert all(torch.allclose(one, two, atol=2e-4) for one, two in pairs)


def test_the_average_trails_the_network():
    state, _ = run(30)
    pairs = list(zip(state.network.parameters(), state.ema.parameters(), strict=True))
    assert any(not torch.equal(one, two) for one, two in pairs)
    assert max(float((one - two).abs().max().detach()) for one, two in pairs) < 0.1


def test_the_rate_warms_up_and_falls_to_a_hundredth():
    rates = [learning_rate(step, lr=1.0, warmup_steps=10, num_steps=110) for step in (0, 9, 10, 60, 110)]
    # halfway down the cosine: 0.01 + 0.99 / 2
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.505, 0.01])


def test_precision_is_chosen_by_device():
    assert resolve_precision("auto", device="cpu") == "fp32"
    assert resolve_precision("auto", device="cuda") == "bf16"
    with pytest.raises(ValueError, match="choose auto or fp32"):
        resolve_precision("bf16", device="cpu")


def test_a_diverging_run_is_stopped_with_advice():
    with pytest.raises(FloatingPointError, match="lower lr"):
        run(50, lr=1e9, warmup_steps=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images_uint8": np.zeros((64, 8, 8, 3), np.uint8)}, r"built for \(8, 8, 1\)"),
        ({"images_uint8": np.zeros((64, 8, 8, 1), np.float32)}, "expected uint8"),
        ({"images_uint8": np.zeros((0, 8, 8, 1), np.uint8)}, "no images"),
        ({"labels": np.zeros(3, np.int64)}, "one label for each of 64"),
        ({"labels": np.full(64, 2)}, r"expected 0\.\.1"),
        ({"seed": 7}, "begun with prediction 'v' and seed 1"),
        ({"prediction": "epsilon"}, "begun with prediction 'v'"),
        ({"accumulation": 3}, "cannot be split into 3"),
        ({"lr": 0.0}, "must be above 0"),
        ({"ema_decay": 1.0}, "below 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"precision": "fp16"}, "expected auto, fp32 or bf16"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(changes, message):
    with pytest.raises(ValueError, match=message):
        train(new_state(), NUM_STEPS, **changes)


def test_an_exported_denoiser_is_the_average_and_repeats_byte_for_byte(tmp_path):
    state, _ = run()
    first = export_denoiser(tmp_path / "a.safetensors", state=state, metadata={"classes": ["x", "y"]})
    second = export_denoiser(tmp_path / "b.safetensors", state=state, metadata={"classes": ["x", "y"]})
    assert first == second == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    loaded = load_denoiser(tmp_path / "a.safetensors", device="cpu")
    assert network_sha256(loaded.network) == network_sha256(state.ema)
    assert (loaded.config, loaded.prediction, loaded.metadata) == (TINY, "v", {"classes": ["x", "y"]})


def test_loading_draws_nothing_from_the_global_random_state(tmp_path):
    export_denoiser(tmp_path / "a.safetensors", state=new_state(), metadata={})
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_denoiser(tmp_path / "a.safetensors", device="cpu")
    assert torch.equal(torch.rand(1), expected)


def test_another_kind_of_network_is_no_denoiser(tmp_path):
    checkpoints.export_network(tmp_path / "c.safetensors", {"w": torch.ones(1)}, {"kind": "classifier"})
    with pytest.raises(ValueError, match="expected a 'denoiser'"):
        load_denoiser(tmp_path / "c.safetensors", device="cpu")


def test_state_files_hold_no_pickle(tmp_path):
    save_training_state(new_state(), tmp_path / "c", {})
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    expected = [
        "MANIFEST.json",
        "ema.safetensors",
        "network.safetensors",
        "optimizer.safetensors",
        "random.safetensors",
    ]
    assert names == [*expected, "state.json"]
    assert json.loads((tmp_path / "c" / "state.json").read_text())["kind"] == "diffusion"


def test_images_may_be_a_memory_map(tmp_path):
    images, _ = two_classes()
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    state = new_state()
    list(train(state, NUM_STEPS, images_uint8=mapped))
    assert digests(state) == digests(run()[0])
