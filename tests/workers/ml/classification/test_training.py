import copy
import hashlib

import numpy as np
import pytest
import torch

from tests.workers.ml.classification.corner_marks import draw, new_state, training_arguments
from workers.ml.checkpoints import read_directory, write_directory
from workers.ml.classification.batch_norm import settle_batch_norm
from workers.ml.classification.networks import build_classifier
from workers.ml.classification.prediction import enlarge, normalise, to_device
from workers.ml.classification.state import (
    EpochRecord,
    StepRecord,
    load_classifier_state,
    new_classifier_state,
    save_classifier_state,
)
from workers.ml.classification.training import balanced_accuracy, learning_rate, train_classifier


def digest(tensors):
    text = hashlib.sha256()
    for name in sorted(tensors):
        text.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return text.hexdigest()


def advance(state, until_epoch=None, **arguments):
    """Train, stopping after an epoch if asked to; return all records."""
    records = []
    for record in train_classifier(state=state, **arguments):
        records.append(record)
        if isinstance(record, EpochRecord) and record.epoch == until_epoch:
            break
    return records


def settled(state, images_uint8):
    """A copy of the network with the statistics of `images_uint8`, all of them in one batch."""
    network = copy.deepcopy(state.built.network)
    inputs = normalise(
        enlarge(to_device(images_uint8, device="cpu"), input_size=64), mean=state.built.mean, std=state.built.std
    )
    settle_batch_norm(network=network, batches=[inputs])
    return network


def statistics(network):
    return torch.cat([value for name, value in network.state_dict().items() if name.endswith("running_mean")])


class TestTrainClassifier:
    def test_learns_a_task_that_can_be_learned(self):
        state = new_state()
        advance(state, **training_arguments(per_class=24, num_epochs=6))
        assert state.best is not None
        assert state.best.val_balanced_accuracy > 0.9

    def test_learns_no_task_from_shuffled_labels(self):
        arguments = training_arguments(num_epochs=2)
        arguments["labels"] = np.random.default_rng(0).permutation(arguments["labels"])
        state = new_state()
        advance(state, **arguments)
        assert state.best.val_balanced_accuracy < 0.8

    def test_counts_its_steps_and_epochs(self):
        records = advance(new_state(), **training_arguments(num_epochs=2))
        steps = [record for record in records if isinstance(record, StepRecord)]
        assert [record.done for record in steps] == [1, 2, 3, 4, 5, 6]  # 36 images in batches of 12, twice
        assert {record.total for record in steps} == {6}
        assert [record.epoch for record in records if isinstance(record, EpochRecord)] == [1, 2]

    def test_repeats_itself_bit_for_bit(self):
        first, second = new_state(), new_state()
        for state in (first, second):
            advance(state, **training_arguments(num_epochs=1, augment="strong", hflip=True))
            torch.rand(3)  # whoever else draws from the global generator changes nothing
        assert digest(first.built.network.state_dict()) == digest(second.built.network.state_dict())

    def test_depends_on_the_seed(self):
        first, second = new_state(seed=0), new_state(seed=0)
        second.seed = 1
        for state in (first, second):
            advance(state, **training_arguments(num_epochs=1))
        assert digest(first.built.network.state_dict()) != digest(second.built.network.state_dict())

    def test_leaves_the_global_random_state_alone(self):
        state = new_state(architecture="lcnet_035")
        before = torch.get_rng_state()
        advance(state, **training_arguments(num_epochs=1, augment="strong", vflip=True))
        assert torch.equal(torch.get_rng_state(), before)

    def test_keeps_the_best_epoch_and_not_the_last(self):
        state = new_state()
        advance(state, **training_arguments(num_epochs=4))
        best = max(state.history, key=lambda r: (r.val_balanced_accuracy, -r.val_loss))
        assert state.best == best
        state.finish_epoch(EpochRecord(5, 5, 0.1, 9.0, 0.0, 0.0))
        assert state.best == best

    @pytest.mark.parametrize("balanced", [True, False])
    def test_judges_with_statistics_of_classes_in_the_shares_that_it_drew(self, balanced: bool) -> None:
        arguments = training_arguments(per_class=60, num_epochs=1, class_balanced=balanced)
        rare = np.concatenate([np.flatnonzero(arguments["labels"] != 1), np.flatnonzero(arguments["labels"] == 1)[:6]])
        state = new_state()
        advance(
            state, **{**arguments, "images_uint8": arguments["images_uint8"][rare], "labels": arguments["labels"][rare]}
        )
        found = statistics(state.built.network)
        errors = {
            name: (found - statistics(settled(state, arguments["images_uint8"][images]))).abs().sum()
            for name, images in (("equal shares", np.arange(180)), ("as they come", rare))
        }
        assert min(errors, key=lambda name: errors[name]) == ("equal shares" if balanced else "as they come")

    def test_takes_rgb_images(self):
        records = advance(new_state(channels=3), **training_arguments(num_epochs=1, channels=3))
        assert np.isfinite(records[-1].val_loss)

    def test_trains_with_bf16_autocast(self):
        state = new_state()
        advance(state, **training_arguments(num_epochs=4, precision="bf16"))
        assert state.best.val_balanced_accuracy > 0.6
        assert {value.dtype for value in state.built.network.parameters()} == {torch.float32}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"precision": "fp8"}, "not one of fp32, bf16"),
            ({"augment": "wild"}, "not one of none, light, strong"),
            ({"labels": np.full(36, 3)}, "classes 0 to 2"),
            ({"labels": np.zeros(36, dtype=np.int64)}, "all of one class"),
            ({"labels": np.zeros(5, dtype=np.int64)}, "36 training images and 5 labels"),
            ({"images_uint8": np.zeros((36, 8, 8, 3), dtype=np.uint8)}, "trained on 1"),
            ({"images_uint8": np.zeros((36, 8, 8, 1))}, "uint8"),
            ({"lr": 1e30, "num_epochs": 3}, "choose a learning rate below"),
        ],
    )
    def test_refuses_what_it_cannot_train_on(self, change, message):
        with pytest.raises(ValueError, match=message):
            advance(new_state(), **training_arguments(**change))

    def test_refuses_an_input_size_that_the_network_cannot_take(self):
        with pytest.raises(ValueError, match="test_vit takes images of 160 px only, not 64"):
            advance(new_state(architecture="test_vit"), **training_arguments())


class TestResume:
    def test_equals_an_uninterrupted_training(self, tmp_path):
        arguments = training_arguments(num_epochs=3, augment="light", hflip=True)
        whole, part = new_state(architecture="mobilenetv3_small_050"), new_state(architecture="mobilenetv3_small_050")
        advance(whole, **arguments)
        advance(part, until_epoch=1, **arguments)
        save_classifier_state(tmp_path / "step-1", state=part, extra={"note": 7})

        resumed, extra = load_classifier_state(tmp_path / "step-1", weight_decay=0.01, device="cpu")
        assert resumed.epoch == 1
        assert extra == {"note": 7}
        advance(resumed, **arguments)

        assert digest(resumed.built.network.state_dict()) == digest(whole.built.network.state_dict())
        assert digest(resumed.best_tensors) == digest(whole.best_tensors)
        assert resumed.history == whole.history

    def test_differs_when_the_optimizer_is_lost(self, tmp_path):
        arguments = training_arguments(num_epochs=2)
        whole, part = new_state(), new_state()
        advance(whole, **arguments)
        advance(part, until_epoch=1, **arguments)
        part.optimizer = new_classifier_state(built=part.built, weight_decay=0.01, seed=0, device="cpu").optimizer
        advance(part, **arguments)
        assert digest(part.built.network.state_dict()) != digest(whole.built.network.state_dict())

    def test_refuses_to_save_or_go_on_within_an_epoch(self, tmp_path):
        state = new_state()
        next(iter(train_classifier(state=state, **training_arguments())))
        with pytest.raises(ValueError, match="Epoch 1 is not finished"):
            save_classifier_state(tmp_path / "x", state=state, extra={})
        with pytest.raises(ValueError, match="stopped within an epoch"):
            advance(state, **training_arguments())

    def test_refuses_a_checkpoint_without_its_seed(self, tmp_path):
        state = new_state()
        advance(state, **training_arguments(num_epochs=1))
        save_classifier_state(tmp_path / "whole", state=state, extra={})
        tensors, values = read_directory(tmp_path / "whole")
        del values["seed"]
        write_directory(tmp_path / "seedless", tensors, values)
        with pytest.raises(ValueError, match="not a checkpoint of a classifier's training with its seed"):
            load_classifier_state(tmp_path / "seedless", weight_decay=0.01, device="cpu")


class TestBatchNorm:
    def test_a_small_set_is_as_right_in_eval_mode_as_in_training_mode(self):
        # 6 images, 4 steps: running averages of momentum 0.1 would hold 0.9^4 = 66 % of their start.
        images, labels = draw(per_class=2, seed=0)
        state = new_state()
        arguments = training_arguments(num_epochs=8, batch_size=6, val_images_uint8=images, val_labels=labels)
        records = advance(state, **{**arguments, "images_uint8": images, "labels": labels})
        assert records[-1].val_balanced_accuracy == 1.0

    def test_never_counts_validation_images(self):
        first, second = new_state(), new_state()
        advance(first, **training_arguments(num_epochs=1))
        other = draw(per_class=6, seed=9)[0] // 3
        advance(second, **training_arguments(num_epochs=1, val_images_uint8=other))
        assert digest(first.built.network.state_dict()) == digest(second.built.network.state_dict())


def test_the_learning_rate_warms_up_and_falls_as_a_cosine():
    rates = [learning_rate(step=step, total=100, peak=1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001


def test_balanced_accuracy_is_the_mean_recall():
    # recalls 1/2 and 1: mean 0.75, although 3 of 3 and 1 of 2 give accuracy 4/5
    labels, predictions = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 1])
    assert balanced_accuracy(labels=labels, predictions=predictions) == 0.75


def test_the_state_of_a_pretrained_start_is_remembered(tmp_path):
    built = build_classifier(
        architecture="tf_efficientnet_lite0", num_classes=3, channels=1, pretrained=True, weights_dir=None, seed=0
    )
    state = new_classifier_state(built=built, weight_decay=0.0, seed=3, device="cpu")
    save_classifier_state(tmp_path / "start", state=state, extra={})
    loaded, _ = load_classifier_state(tmp_path / "start", weight_decay=0.0, device="cpu")
    assert loaded.built.source == built.source
    assert (loaded.seed, loaded.epoch, loaded.best) == (3, 0, None)
