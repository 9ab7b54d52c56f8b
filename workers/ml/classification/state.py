"""The state of a classifier's training, on disk and back.

A checkpoint holds the network as it is, the network as it was at the best epoch, the optimizer and state.json. There
is no random state in it but the seed: see training.py. A checkpoint without its seed is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workers.ml.checkpoints import read_directory, write_directory
from workers.ml.classification.networks import BuiltClassifier, create_network


@dataclass(frozen=True)
class StepRecord:
    """done, total: steps of the whole training. epoch: from 1. loss: of the step's batch, nats. num_images: in it."""

    done: int
    total: int
    epoch: int
    loss: float
    lr: float
    num_images: int


@dataclass(frozen=True)
class EpochRecord:
    """epoch: from 1. Losses in nats: train_loss with label smoothing, averaged over steps; val_loss without."""

    epoch: int
    num_epochs: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float

    def is_better_than(self, other: EpochRecord) -> bool:
        """Higher balanced accuracy on validation images; if equal, lower loss there."""
        mine = (self.val_balanced_accuracy, -self.val_loss)
        return mine > (other.val_balanced_accuracy, -other.val_loss)


@dataclass
class ClassifierState:
    """epoch: how many are finished. best: the best of history; best_tensors: the network's state dict then, on the CPU."""

    built: BuiltClassifier
    optimizer: torch.optim.Optimizer
    seed: int
    device: str
    epoch: int = 0
    best: EpochRecord | None = None
    best_tensors: dict[str, Tensor] = field(default_factory=dict)
    history: list[EpochRecord] = field(default_factory=list)
    is_within_epoch: bool = False

    def finish_epoch(self, record: EpochRecord) -> None:
        """Note the record, and keep a copy of the network if it is the best so far."""
        self.epoch = record.epoch
        self.is_within_epoch = False
        self.history.append(record)
        if self.best is None or record.is_better_than(self.best):
            self.best = record
            self.best_tensors = snapshot(self.built.network)


def new_classifier_state(*, built: BuiltClassifier, weight_decay: float, seed: int, device: str) -> ClassifierState:
    """Training that has not begun. weight_decay: of weights only, not of biases and norms."""
    built.network.to(device)
    return ClassifierState(built, _optimizer(built.network, weight_decay=weight_decay), seed, device)


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the state dict on the CPU, contiguous in the standard layout."""
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }


def save_classifier_state(path: Path, *, state: ClassifierState, extra: Mapping[str, Any]) -> None:
    """Write the checkpoint directory `path`. extra: JSON-able, given back by load_classifier_state.

    Raises ValueError within an epoch: that state could not be resumed exactly. The last checkpoint is the one to keep.
    """
    if state.is_within_epoch:
        raise ValueError(f"Epoch {state.epoch + 1} is not finished; save after its EpochRecord.")
    tensors = {
        "network": snapshot(state.built.network),
        "best": state.best_tensors,
        "optimizer": _optimizer_tensors(state.optimizer),
    }
    built = {name: value for name, value in vars(state.built).items() if name != "network"}
    values = {
        "kind": "classifier training",
        "built": built,
        "seed": state.seed,
        "epoch": state.epoch,
        "best_epoch": state.best.epoch if state.best else None,
        "history": [asdict(record) for record in state.history],
        "extra": dict(extra),
    }
    write_directory(path, tensors, values)


def load_classifier_state(path: Path, *, weight_decay: float, device: str) -> tuple[ClassifierState, dict[str, Any]]:
    """The state saved in `path`, and its `extra`. weight_decay: as given to new_classifier_state.

    Raises ValueError if the checkpoint is of another kind, or lacks its seed.
    """
    tensors, values = read_directory(path)
    if values.get("kind") != "classifier training" or values.get("seed") is None:
        raise ValueError(
            f"{path} is not a checkpoint of a classifier's training with its seed; start the training anew."
        )
    built = _rebuild(values["built"], tensors["network"])
    state = new_classifier_state(built=built, weight_decay=weight_decay, seed=values["seed"], device=device)
    _restore_optimizer(state.optimizer, tensors["optimizer"])
    state.epoch = values["epoch"]
    state.history = [EpochRecord(**record) for record in values["history"]]
    state.best = next((record for record in state.history if record.epoch == values["best_epoch"]), None)
    state.best_tensors = tensors["best"]
    return state, values["extra"]


def _rebuild(values: dict[str, Any], tensors: dict[str, Tensor]) -> BuiltClassifier:
    network = create_network(architecture=values["architecture"], num_classes=values["num_classes"], seed=0)
    network.load_state_dict(tensors)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return BuiltClassifier(**{**values, "network": network, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def _optimizer(network: nn.Module, *, weight_decay: float) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, fused=True)  # the rate is set at every step


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts as "<parameter index>.<name>"."""
    return {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Moments get the memory layout of their parameter, as the optimizer itself would have made them."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = int(key.split(".", 1)[0]), key.split(".", 1)[1]
        laid_out = torch.empty_like(parameters[index], requires_grad=False).copy_(value) if value.ndim else value
        moments.setdefault(index, {})[name] = laid_out
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
