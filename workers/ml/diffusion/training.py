"""Train a class-conditional diffusion model, one yielded record per step.

The state may be saved between any two steps; loaded again it goes on bit for bit as if it had never stopped (on CPU).
Nothing here knows who listens: the caller reports, saves, or stops by no longer asking for steps.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workers.ml.diffusion import schedule
from workers.ml.diffusion.batches import BatchOrder
from workers.ml.diffusion.denoisers import Denoiser, denoiser_of, export_denoiser, load_denoiser
from workers.ml.diffusion.private import Batch, Privacy, draw_batch, private_gradients
from workers.ml.diffusion.state import (
    TrainingState,
    as_kept,
    keep,
    load_training_state,
    network_sha256,
    new_training_state,
    save_training_state,
)
from workers.ml.images import Uint8Images, check_images, random_flips, to_tensor
from workers.ml.networks import UNetConfig

__all__ = [  # a training job finds all that it needs here
    "Denoiser",
    "Privacy",
    "TrainStep",
    "TrainingState",
    "as_kept",
    "denoiser_of",
    "export_denoiser",
    "keep",
    "load_denoiser",
    "load_training_state",
    "network_sha256",
    "new_training_state",
    "resolve_precision",
    "save_training_state",
    "train_diffusion",
]

MAX_GRAD_NORM = 1.0
FINAL_LR_SHARE = 0.01
EMA_WARMUP = 10.0


class TrainStep(NamedTuple):
    """One finished optimizer step; loss is the weighted mean squared error of its batch."""

    done: int
    total: int
    loss: float
    lr: float
    grad_norm: float
    num_images: int


@dataclass(frozen=True)
class _Options:
    num_steps: int
    batch_size: int
    lr: float
    warmup_steps: int
    weight_decay: float
    ema_decay: float
    prediction: str
    label_dropout: float
    min_snr_gamma: float
    hflip: bool
    vflip: bool
    accumulation: int
    bf16: bool
    privacy: Privacy | None


def train_diffusion(
    *,
    state: TrainingState,
    images_uint8: Uint8Images,
    labels: NDArray[np.int64],
    num_steps: int,
    batch_size: int,
    lr: float,
    warmup_steps: int,
    weight_decay: float,
    ema_decay: float,
    prediction: str,
    label_dropout: float,
    min_snr_gamma: float,
    hflip: bool,
    vflip: bool,
    class_balanced: bool,
    precision: str,
    accumulation: int,
    gradient_checkpointing: bool,
    seed: int,
    privacy: Privacy | None = None,
) -> Iterator[TrainStep]:
    """Train from `state.step` to `num_steps`, updating the state in place and yielding after each step.

    images_uint8: (N, H, W, C) uint8, a memory map will do; labels: (N,) int64 below the config's num_classes.
    batch_size: images per optimizer step, split into `accumulation` equal parts. lr: reached after warmup_steps, then
    falls along a cosine to a hundredth at num_steps. ema_decay: per step, approached as training goes on.
    label_dropout: share of labels replaced by the null class. min_snr_gamma: 0 for none. precision: "auto" (bf16 on
    CUDA, else fp32), "fp32" or "bf16". privacy: make every step private (DP-SGD); then the state needs a secret, batches
    hold batch_size images on average, and no class is balanced.

    Raises ValueError, before any step, for images, labels or options that do not fit the state; FloatingPointError
    when the loss is no longer finite.
    """
    _check_data(state.config, images_uint8, labels)
    _check_state(state, prediction=prediction, seed=seed)
    options = _Options(
        num_steps=num_steps,
        batch_size=batch_size,
        lr=lr,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        ema_decay=ema_decay,
        prediction=prediction,
        label_dropout=label_dropout,
        min_snr_gamma=min_snr_gamma,
        hflip=hflip,
        vflip=vflip,
        accumulation=accumulation,
        bf16=resolve_precision(precision, device=state.device) == "bf16",
        privacy=privacy,
    )
    _check_options(options)
    if privacy is not None:
        _check_private(state, options, len(images_uint8), class_balanced, gradient_checkpointing)
    body = state.network.body
    body.enable_gradient_checkpointing() if gradient_checkpointing else body.disable_gradient_checkpointing()
    order = BatchOrder(labels, class_balanced=class_balanced, seed=seed)
    return _steps(state, images_uint8, labels, order, options)


def resolve_precision(precision: str, *, device: str) -> str:
    """Return "fp32" or "bf16"; "auto" is bf16 on CUDA. Raises ValueError for bf16 on a CPU, which it slows down."""
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision is '{precision}'; expected auto, fp32 or bf16.")
    if precision == "bf16" and device == "cpu":
        raise ValueError("precision bf16 is for CUDA devices; choose auto or fp32 on a CPU.")
    return ("fp32" if device == "cpu" else "bf16") if precision == "auto" else precision


def _check_data(config: UNetConfig, images_uint8: Uint8Images, labels: NDArray[np.int64]) -> None:
    check_images(images_uint8)
    expected = (config.image_size, config.image_size, config.channels)
    if images_uint8.shape[1:] != expected:
        raise ValueError(f"Images are {images_uint8.shape[1:]} (H, W, C); this network was built for {expected}.")
    if labels.shape != (len(images_uint8),):
        raise ValueError(f"labels has shape {labels.shape}; expected one label for each of {len(images_uint8)} images.")
    if labels.min() < 0 or labels.max() >= config.num_classes:
        raise ValueError(f"labels run {labels.min()}..{labels.max()}; expected 0..{config.num_classes - 1}.")


def _check_state(state: TrainingState, *, prediction: str, seed: int) -> None:
    if (prediction, seed) != (state.prediction, state.seed):
        raise ValueError(
            f"The state was begun with prediction '{state.prediction}' and seed {state.seed}, not '{prediction}' and {seed}. "
            "Begin a new state to change them."
        )


def _check_options(options: _Options) -> None:
    if options.num_steps < 1 or options.batch_size < 1 or options.accumulation < 1 or options.warmup_steps < 0:
        raise ValueError(
            f"num_steps {options.num_steps}, batch_size {options.batch_size} and accumulation {options.accumulation} must "
            f"be at least 1 and warmup_steps {options.warmup_steps} at least 0."
        )
    if options.batch_size % options.accumulation:
        raise ValueError(
            f"batch_size {options.batch_size} cannot be split into {options.accumulation} equal parts; choose a divisor."
        )
    if not options.lr > 0 or options.weight_decay < 0 or options.min_snr_gamma < 0:
        raise ValueError(
            f"lr {options.lr} must be above 0, weight_decay {options.weight_decay} and min_snr_gamma "
            f"{options.min_snr_gamma} not below 0."
        )
    if not 0 <= options.ema_decay < 1 or not 0 <= options.label_dropout < 1:
        raise ValueError(
            f"ema_decay {options.ema_decay} and label_dropout {options.label_dropout} must lie from 0 to below 1."
        )


def _check_private(
    state: TrainingState, options: _Options, num_images: int, class_balanced: bool, gradient_checkpointing: bool
) -> None:
    """What the guarantee rests on: a secret, coins of equal chance for all images, and gradients in full precision."""
    if state.secret is None:
        raise ValueError("The state has no secret; begin a private training with a new state that has one.")
    if class_balanced or gradient_checkpointing or options.bf16:
        raise ValueError("A private training takes neither class_balanced, gradient_checkpointing nor bf16.")
    if options.batch_size >= num_images:
        raise ValueError(f"batch_size {options.batch_size} must be below the number of images, {num_images}.")


def _steps(
    state: TrainingState,
    images_uint8: Uint8Images,
    labels: NDArray[np.int64],
    order: BatchOrder,
    options: _Options,
) -> Iterator[TrainStep]:
    while state.step < options.num_steps:
        state.network.train()  # a listener may have sampled from it in between
        indices = _indices(state, order, options)
        images = to_tensor(images_uint8[indices], device=state.device)
        classes = torch.from_numpy(labels[indices]).to(state.device)
        lr = learning_rate(state.step, lr=options.lr, warmup_steps=options.warmup_steps, num_steps=options.num_steps)
        with _own_randomness(state):
            loss, grad_norm = _optimize(state, images, classes, lr, options)
        state.step += 1
        state.position += options.batch_size
        _update_ema(state, options.ema_decay)
        yield TrainStep(state.step, options.num_steps, loss, lr, grad_norm, len(indices))


def _indices(state: TrainingState, order: BatchOrder, options: _Options) -> NDArray[np.int64]:
    """Which images the next step learns."""
    if options.privacy is None:
        return order.take(state.position, options.batch_size)
    assert state.secret is not None
    return draw_batch(secret=state.secret, step=state.step, num_images=len(order.labels), batch_size=options.batch_size)


@contextmanager
def _own_randomness(state: TrainingState) -> Iterator[None]:
    """Let dropout, which draws from torch's global state, follow from the state's generator; the global one is put back.

    So neither earlier work in this process nor a preview drawn between two steps changes what is learnt.
    """
    seed = int(torch.randint(2**62, (1,), generator=state.generator, device=state.device))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def learning_rate(step: int, *, lr: float, warmup_steps: int, num_steps: int) -> float:
    """Return the rate of step 0, 1, ...: linear up to `lr` over warmup_steps, then a cosine to a hundredth of it."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    progress = min(1.0, max(0, step - warmup_steps) / max(1, num_steps - warmup_steps))
    share = FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * progress))
    return lr * warmup * share


def _optimize(
    state: TrainingState, images: Tensor, labels: Tensor, lr: float, options: _Options
) -> tuple[float, float]:
    """Make one optimizer step on a batch; returns (loss, gradient norm before clipping)."""
    for group in state.optimizer.param_groups:
        group["lr"], group["weight_decay"] = lr, options.weight_decay
    backward = _backward if options.privacy is None else _private_backward
    loss, grad_norm = backward(state, _noised(state, images, labels, options), options)
    _check_finite(state.step, loss, grad_norm)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return loss, grad_norm


def _backward(state: TrainingState, batch: Batch, options: _Options) -> tuple[float, float]:
    """Fill in the gradients of a batch, clipped as one; returns (loss, gradient norm before clipping)."""
    loss = torch.zeros((), device=state.device)
    part = options.batch_size // options.accumulation
    for start in range(0, options.batch_size, part):
        rows = slice(start, start + part)
        with torch.autocast(state.device, dtype=torch.bfloat16, enabled=options.bf16):
            predicted = state.network(batch.noisy[rows], batch.t[rows], batch.labels[rows])
        errors = (predicted.float() - batch.target[rows]).square().mean(dim=(1, 2, 3))  # (N,)
        part_loss = (batch.weights[rows] * errors).sum() / options.batch_size
        part_loss.backward()
        loss += part_loss.detach()
    return float(loss), float(nn.utils.clip_grad_norm_(state.network.parameters(), MAX_GRAD_NORM))


def _private_backward(state: TrainingState, batch: Batch, options: _Options) -> tuple[float, float]:
    """Fill in private gradients; returns (loss, mean norm of an image's gradient before clipping)."""
    assert options.privacy is not None
    assert state.secret is not None
    return private_gradients(
        network=state.network, batch=batch, privacy=options.privacy, batch_size=options.batch_size,
        part=options.batch_size // options.accumulation, secret=state.secret, step=state.step,
    )  # fmt: skip


def _check_finite(step: int, loss: float, grad_norm: float) -> None:
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        raise FloatingPointError(
            f"Training diverged at step {step + 1} (loss {loss}, gradient norm {grad_norm}). Train with a lower lr or a "
            "longer warm-up."
        )


def _noised(state: TrainingState, images: Tensor, labels: Tensor, options: _Options) -> Batch:
    """Return what the network is to learn of a batch, with some labels dropped; draws for the whole batch."""
    generator, device = state.generator, state.device
    images = random_flips(images, hflip=options.hflip, vflip=options.vflip, generator=generator)
    t = schedule.draw_timesteps(len(images), generator=generator, device=device, spread=options.privacy is None)
    noise = torch.randn(images.shape, generator=generator, device=device)
    dropped = torch.rand(len(labels), generator=generator, device=device) < options.label_dropout
    labels = torch.where(dropped, state.config.num_classes, labels)
    noisy = schedule.add_noise(images, noise, t, prediction=options.prediction)
    target = schedule.training_target(images, noise, t, prediction=options.prediction)
    weights = schedule.loss_weights(t, prediction=options.prediction, min_snr_gamma=options.min_snr_gamma)
    layout = torch.channels_last if options.privacy is None else torch.contiguous_format
    return Batch(noisy.contiguous(memory_format=layout), t, labels, target, weights)


@torch.no_grad()
def _update_ema(state: TrainingState, decay: float) -> None:
    """Move the averaged weights; early on the average is short, so that it forgets the first weights."""
    decay = min(decay, (1 + state.step) / (EMA_WARMUP + state.step))
    torch._foreach_lerp_(list(state.ema.parameters()), list(state.network.parameters()), 1 - decay)
