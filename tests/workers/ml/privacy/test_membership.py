"""An overfitted network gives its training images away, a fresh one does not, and losses depend on the image alone."""

import json

import numpy as np
import pytest
import torch

from tests.workers.ml.diffusion.tiny import new_state, train
from workers.ml.privacy.membership import denoising_losses, membership

LABELS = np.arange(8, dtype=np.int64) % 2
TIMESTEPS = (200, 500)


def noise_images(num: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, 8, 8, 1), dtype=np.uint8)


MEMBERS, OTHERS = noise_images(8, seed=1), noise_images(40, seed=2)


def losses(network, images, **changes):
    options = {
        "network": network, "prediction": "v", "images_uint8": images, "labels": np.arange(len(images), dtype=np.int64) % 2,
        "timesteps": TIMESTEPS, "num_draws": 2, "batch_size": 16, "seed": 0, "device": "cpu",
    }  # fmt: skip
    return denoising_losses(**options | changes)


def attack(members, held_out, **changes):
    options = {
        "member_losses": members, "held_out_losses": held_out, "timesteps": TIMESTEPS, "member_groups": None,
        "member_labels": np.arange(len(members)) % 2, "held_out_labels": np.arange(len(held_out)) % 2, "held_out_groups": None,
        "num_bootstrap": 200, "seed": 0,
    }  # fmt: skip
    return membership(**options | changes)


@pytest.fixture(scope="module")
def overfitted():
    state = new_state()
    list(train(state, 60, images_uint8=MEMBERS, labels=LABELS, label_dropout=0.0, lr=1e-2, warmup_steps=5))
    return state.network


def test_an_overfitted_network_is_caught(overfitted):
    report = attack(losses(overfitted, MEMBERS), losses(overfitted, OTHERS))
    assert report["auc"]["value"] > 0.9
    assert report["is_leaking"] is True
    assert [each["timestep"] for each in report["levels"]] == [200, 500]
    assert [each["label"] for each in report["classes"]] == [0, 1]
    assert all(each["value"] > 0.8 for each in report["classes"])
    json.dumps(report, allow_nan=False)


def test_an_untrained_network_gives_nothing_away():
    network = new_state().network
    report = attack(losses(network, noise_images(60, seed=3)), losses(network, noise_images(60, seed=4)))
    assert report["auc"]["low"] < 0.5 < report["auc"]["high"]


def test_losses_depend_on_the_image_alone(overfitted):
    together = losses(overfitted, OTHERS)
    assert np.array_equal(together, losses(overfitted, OTHERS))
    assert losses(overfitted, OTHERS, batch_size=7) == pytest.approx(together, rel=1e-4)
    assert losses(overfitted, OTHERS[3:4], labels=np.array([1])) == pytest.approx(together[3:4], rel=1e-4)
    assert not np.allclose(losses(overfitted, OTHERS, seed=1), together)


def test_more_draws_are_means_and_the_mode_is_put_back(overfitted):
    overfitted.train()
    one = losses(overfitted, OTHERS, num_draws=1)
    two = losses(overfitted, OTHERS, num_draws=2)
    assert overfitted.training
    assert one.shape == (40, 2)
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.5
    torch.manual_seed(5)
    assert np.array_equal(two, losses(overfitted, OTHERS))  # whatever the global random state


def test_the_area_is_that_of_pairs_and_whole_groups_are_drawn():
    members, others = np.array([[0.1, 0.3], [0.5, 0.5]]), np.array([[0.2, 0.4], [0.9, 0.9], [0.6, 0.8]])
    report = attack(members, others, member_labels=np.zeros(2, int), held_out_labels=np.zeros(3, int))
    assert report["auc"]["value"] == pytest.approx(5 / 6)
    one_group = attack(members, others, member_groups=np.zeros(2, int))
    assert one_group["auc"]["low"] is None
    assert one_group["is_leaking"] is None
    assert "one group" in one_group["auc"]["reason"]


def test_a_class_without_held_out_images_has_a_reason():
    report = attack(np.ones((4, 2)), np.ones((6, 2)), held_out_labels=np.zeros(6, int))
    first, second = report["classes"]
    assert first["value"] == 0.5
    assert second["value"] is None
    assert "2 members and 0 held-out" in second["reason"]


def test_grouped_intervals_are_wider():
    rng = np.random.default_rng(0)
    members, others = (np.repeat(rng.normal(size=(20, 1)), 10, axis=0) + np.zeros((1, 2)) for _ in range(2))
    groups = np.repeat(np.arange(20), 10)
    alone = attack(members, others)["auc"]
    grouped = attack(members, others, member_groups=groups, held_out_groups=groups)["auc"]
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match=r"must lie in 0\.\.999"):
        losses(new_state().network, OTHERS, timesteps=(1000,))
    with pytest.raises(ValueError, match="one label for each of 40"):
        losses(new_state().network, OTHERS, labels=LABELS)
    with pytest.raises(ValueError, match="expected 2 levels"):
        attack(np.ones((3, 1)), np.ones((3, 2)))
