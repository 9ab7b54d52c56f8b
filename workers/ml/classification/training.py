"""Train a classifier, choosing the epoch that is best on real validation images.

All randomness of a step comes from (seed, epoch, step), so a checkpoint between epochs holds no random state but the
seed, and a resumed training is bit-equal to an uninterrupted one on the same CPU and number of threads. The state
changes only while the iterator is advanced; it may be saved whenever an EpochRecord was just received.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from workers.ml.classification.augmentation import augment_images
from workers.ml.classification.batch_norm import NUM_IMAGES, settle_batch_norm
from workers.ml.classification.batches import epoch_batches
from workers.ml.classification.networks import check_input_size
from workers.ml.classification.prediction import check_images, enlarge, normalise, predict_with, to_device
from workers.ml.classification.state import ClassifierState, EpochRecord, StepRecord
from workers.ml.seeding import derive_seed, seeded

WARMUP_SHARE = 0.1  # of all steps, linearly from 0 to lr; cosine to 0 afterwards
PRECISIONS = ("fp32", "bf16")
VALIDATION_BATCH_SIZE = 128


@dataclass(frozen=True)
class _Recipe:
    """The arguments of train_classifier that every step needs."""

    num_epochs: int
    batch_size: int
    lr: float
    label_smoothing: float
    augment: str
    hflip: bool
    vflip: bool
    input_size: int
    class_balanced: bool
    steps_per_epoch: int | None
    precision: str


def train_classifier(
    *,
    state: ClassifierState,
    images_uint8: NDArray[np.uint8],
    labels: NDArray[np.int64],
    val_images_uint8: NDArray[np.uint8],
    val_labels: NDArray[np.int64],
    num_epochs: int,
    batch_size: int,
    lr: float,
    label_smoothing: float,
    augment: str,
    hflip: bool,
    vflip: bool,
    input_size: int,
    class_balanced: bool,
    steps_per_epoch: int | None,
    precision: str,
) -> Iterator[StepRecord | EpochRecord]:
    """Train until state.epoch == num_epochs; yield a StepRecord per step and an EpochRecord per epoch.

    state: new_classifier_state(...) or a loaded one, changed in place. images_uint8: (N, H, W, C), N >= 2.
    val_images_uint8: (M, H', W', C) real images, M >= 1, on which the best epoch is chosen: highest balanced accuracy,
    then lowest loss, then the earliest. steps_per_epoch: batches of exactly batch_size in each epoch, whatever N is; None:
    as many as N needs. lr: peak learning rate. augment: "none", "light" or "strong".
    precision: "fp32" or "bf16" (autocast; validation is always fp32).

    Raises ValueError for images or labels that do not fit the network.
    """
    recipe = _Recipe(num_epochs, batch_size, lr, label_smoothing, augment, hflip, vflip, input_size, class_balanced, steps_per_epoch, precision)  # fmt: skip
    _check(state, recipe, images_uint8, labels, val_images_uint8, val_labels)
    while state.epoch < num_epochs:
        losses = []
        for record in _epoch_steps(state, recipe, images_uint8, labels):
            losses.append(record.loss)
            yield record
        _settle(state, recipe, images_uint8, labels)
        yield _close_epoch(state, recipe, float(np.mean(losses)), val_images_uint8, val_labels)


def _epoch_steps(
    state: ClassifierState, recipe: _Recipe, images_uint8: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Iterator[StepRecord]:
    seed = derive_seed(state.seed, "order", state.epoch)
    batches = epoch_batches(
        labels=labels, batch_size=recipe.batch_size, class_balanced=recipe.class_balanced, seed=seed,
        num_steps=recipe.steps_per_epoch,
    )  # fmt: skip
    total = recipe.num_epochs * len(batches)
    state.is_within_epoch = True
    for index, chosen in enumerate(batches):
        step = state.epoch * len(batches) + index
        lr = learning_rate(step=step, total=total, peak=recipe.lr)
        loss = _train_step(state, recipe, images_uint8[chosen], labels[chosen], lr=lr, index=index)
        yield StepRecord(done=step + 1, total=total, epoch=state.epoch + 1, loss=loss, lr=lr, num_images=len(chosen))


def learning_rate(*, step: int, total: int, peak: float) -> float:
    """Linear warm-up over the first WARMUP_SHARE of `total` steps, then a half cosine that would reach 0 at `total`."""
    warmup = math.ceil(WARMUP_SHARE * total)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _train_step(
    state: ClassifierState,
    recipe: _Recipe,
    images_uint8: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    lr: float,
    index: int,
) -> float:
    """One update on one batch; returns its loss. Raises ValueError when the loss is not finite."""
    inputs = _augmented(state, recipe, images_uint8, index)  # (B, 3, S, S)
    targets = torch.from_numpy(labels).to(state.device)
    with seeded(state.seed, "dropout", state.epoch, index):
        loss = _loss(state, recipe, inputs, targets)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ValueError(
            f"The loss became {value} in epoch {state.epoch + 1}; choose a learning rate below {recipe.lr}."
        )
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    state.optimizer.step()
    return value


def _augmented(state: ClassifierState, recipe: _Recipe, images_uint8: NDArray[np.uint8], index: int) -> Tensor:
    enlarged = enlarge(to_device(images_uint8, device=state.device), input_size=recipe.input_size)
    seed = derive_seed(state.seed, "augment", state.epoch, index)
    views = augment_images(enlarged, level=recipe.augment, hflip=recipe.hflip, vflip=recipe.vflip, seed=seed)
    return normalise(views, mean=state.built.mean, std=state.built.std)


def _loss(state: ClassifierState, recipe: _Recipe, inputs: Tensor, targets: Tensor) -> Tensor:
    network = state.built.network.train()
    with torch.autocast(state.device, dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
        logits = network(inputs)
    return functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)


def _settle(
    state: ClassifierState, recipe: _Recipe, images_uint8: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    """Statistics of the same batches after every epoch, drawn as training draws its own."""
    seed = derive_seed(state.seed, "batch norm")
    order = epoch_batches(labels=labels, batch_size=recipe.batch_size, class_balanced=recipe.class_balanced, seed=seed)
    chosen = order[: math.ceil(NUM_IMAGES / recipe.batch_size)]
    settle_batch_norm(
        network=state.built.network, batches=(_plain(state, recipe, images_uint8[indices]) for indices in chosen)
    )


def _plain(state: ClassifierState, recipe: _Recipe, images_uint8: NDArray[np.uint8]) -> Tensor:
    enlarged = enlarge(to_device(images_uint8, device=state.device), input_size=recipe.input_size)
    return normalise(enlarged, mean=state.built.mean, std=state.built.std)


def _close_epoch(
    state: ClassifierState,
    recipe: _Recipe,
    train_loss: float,
    val_images_uint8: NDArray[np.uint8],
    val_labels: NDArray[np.int64],
) -> EpochRecord:
    """Judge the network on the validation images and keep it if it is the best so far."""
    probabilities = predict_with(
        network=state.built.network,
        images_uint8=val_images_uint8,
        channels=state.built.channels,
        input_size=recipe.input_size,
        mean=state.built.mean,
        std=state.built.std,
        batch_size=VALIDATION_BATCH_SIZE,
        device=state.device,
    )
    record = EpochRecord(
        epoch=state.epoch + 1,
        num_epochs=recipe.num_epochs,
        train_loss=train_loss,
        val_loss=negative_log_likelihood(labels=val_labels, probabilities=probabilities),
        val_accuracy=float(np.mean(probabilities.argmax(axis=1) == val_labels)),
        val_balanced_accuracy=balanced_accuracy(labels=val_labels, predictions=probabilities.argmax(axis=1)),
    )
    state.finish_epoch(record)
    return record


def negative_log_likelihood(*, labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Mean of -log p(label) in nats; p below 1e-12 counts as 1e-12."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def balanced_accuracy(*, labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    """Mean recall over the classes that occur in `labels`."""
    return float(np.mean([np.mean(predictions[labels == label] == label) for label in np.unique(labels)]))


def _check(
    state: ClassifierState,
    recipe: _Recipe,
    images_uint8: NDArray[np.uint8],
    labels: NDArray[np.int64],
    val_images_uint8: NDArray[np.uint8],
    val_labels: NDArray[np.int64],
) -> None:
    if recipe.precision not in PRECISIONS:
        raise ValueError(f"Precision {recipe.precision!r} is not one of {', '.join(PRECISIONS)}.")
    if state.is_within_epoch:
        raise ValueError("This training was stopped within an epoch; go on from its last checkpoint.")
    _check_set("training", images_uint8, labels, state, least=2)
    _check_set("validation", val_images_uint8, val_labels, state, least=1)
    if len(np.unique(labels)) < 2:
        raise ValueError("The training images are all of one class; give images of at least two.")
    check_input_size(built=state.built, input_size=recipe.input_size)


def _check_set(
    name: str, images_uint8: NDArray[np.uint8], labels: NDArray[np.int64], state: ClassifierState, *, least: int
) -> None:
    check_images(images_uint8, channels=state.built.channels)
    if len(images_uint8) != len(labels) or len(labels) < least:
        raise ValueError(
            f"There are {len(images_uint8)} {name} images and {len(labels)} labels; "
            f"give equally many of both, and at least {least}."
        )
    if labels.min() < 0 or labels.max() >= state.built.num_classes:
        raise ValueError(
            f"The {name} labels run from {labels.min()} to {labels.max()}, "
            f"the network has classes 0 to {state.built.num_classes - 1}."
        )
