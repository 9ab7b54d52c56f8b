"""Membership inference: can the network's own loss tell whose images it was trained on?

The attack of arXiv:2302.03262 and arXiv:2301.13188: images that were trained on are denoised better. Noise follows from an image's
pixels and the seed, so an image has one loss, whatever its place, its neighbours and the batch size.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.ml.diffusion import schedule
from workers.ml.images import Uint8Images, check_images, to_tensor
from workers.ml.metrics.intervals import bases, score_interval
from workers.ml.metrics.reports import Report, entry
from workers.ml.metrics.resampling import bootstrap_weights, group_indices
from workers.ml.metrics.weighted import area_under_roc, prepare
from workers.ml.networks import ConditionalUNet
from workers.ml.privacy.rates import nothing
from workers.ml.pulse import pulse
from workers.ml.seeding import torch_generator

Losses = NDArray[np.float64]
Labels = NDArray[np.int64]

MAX_AUC = 0.60  # the upper bound of the interval must not pass it
CONFIDENCE = 0.95


def denoising_losses(
    *, network: ConditionalUNet, prediction: str, images_uint8: Uint8Images, labels: Labels, timesteps: tuple[int, ...],
    num_draws: int, batch_size: int, seed: int, device: str,
) -> Losses:  # fmt: skip
    """(N, L) mean squared errors of the network at L noise levels, each over num_draws draws of noise.

    images_uint8: (N, S, S, C) as in training; labels: (N,) their classes. timesteps: of 0..999; prediction: "v" or "epsilon". Each draw's noise
    is the same at all levels. The network's mode is put back.
    """
    check_images(images_uint8)
    if not timesteps or not all(0 <= t < schedule.NUM_TIMESTEPS for t in timesteps) or num_draws < 1:
        raise ValueError(
            f"timesteps {timesteps} must lie in 0..{schedule.NUM_TIMESTEPS - 1}, and num_draws {num_draws} be at least 1."
        )
    if labels.shape != (len(images_uint8),):
        raise ValueError(f"labels has shape {labels.shape}; expected one label for each of {len(images_uint8)} images.")
    was_training = network.training
    network.eval()
    try:
        batches = [
            _batch_losses(network, prediction, images_uint8[rows], labels[rows], timesteps, num_draws, seed, device)
            for rows in (slice(start, start + batch_size) for start in range(0, len(labels), batch_size))
        ]
    finally:
        network.train(was_training)
    return np.concatenate(batches)


@torch.inference_mode()
def _batch_losses(
    network: ConditionalUNet, prediction: str, images_uint8: Uint8Images, labels: Labels, timesteps: tuple[int, ...],
    num_draws: int, seed: int, device: str,
) -> Losses:  # fmt: skip
    images, classes = to_tensor(images_uint8, device=device), torch.from_numpy(labels).to(device)
    losses = torch.zeros(len(images), len(timesteps), dtype=torch.float64)
    for draw in range(num_draws):
        noise = torch.stack([_noise(image, seed, draw) for image in images_uint8]).to(device)
        for level, timestep in enumerate(timesteps):
            t = torch.full((len(images),), timestep, device=device)
            noisy = schedule.add_noise(images, noise, t, prediction=prediction)
            target = schedule.training_target(images, noise, t, prediction=prediction)
            predicted = network(noisy.contiguous(memory_format=torch.channels_last), t, classes)
            errors = (predicted.double() - target.double()).square().mean(dim=(1, 2, 3))
            losses[:, level] += errors.cpu() / num_draws
            pulse()
    return np.asarray(losses.numpy())


def _noise(image_uint8: NDArray[np.uint8], seed: int, draw: int) -> Tensor:
    """(C, H, W), drawn on the CPU, so that it is the same on every device."""
    digest = hashlib.sha256(np.ascontiguousarray(image_uint8).tobytes()).hexdigest()
    height, width, channels = image_uint8.shape
    return torch.randn(
        channels, height, width, generator=torch_generator("membership", seed, digest, draw, device="cpu")
    )


def membership(
    *, member_losses: Losses, held_out_losses: Losses, timesteps: tuple[int, ...], member_labels: Labels, held_out_labels: Labels,
    member_groups: Labels | None, held_out_groups: Labels | None, num_bootstrap: int, seed: int,
) -> Report:  # fmt: skip
    """How well low losses tell members (N, L) from held-out images (M, L) of the same dataset version.

    {auc, levels, classes, is_leaking, max_auc, num_members, num_held_out, method}; each auc is {value, low, high} with a 95 % score interval over
    groups (patients; None: images), 0.5 for nothing to tell. The attack's statistic is the mean over the levels, `levels` has each alone.
    is_leaking: the upper bound passes max_auc; null where there is no interval.
    """
    if member_losses.shape[1:] != (len(timesteps),) or held_out_losses.shape[1:] != (len(timesteps),):
        raise ValueError(
            f"Losses have shapes {member_losses.shape} and {held_out_losses.shape}; expected {len(timesteps)} levels in each."
        )
    losses = np.concatenate([member_losses, held_out_losses])
    is_member = np.arange(len(losses)) < len(member_losses)
    labels = np.concatenate([member_labels, held_out_labels])
    groups = _groups(member_groups, held_out_groups, len(member_losses), len(held_out_losses))
    means = losses.mean(axis=1)

    def area(values: Losses, rows: NDArray[np.bool_]) -> Report:
        return _area(values[rows], is_member[rows], groups[rows], num_bootstrap=num_bootstrap, seed=seed)

    every = np.ones(len(losses), dtype=bool)
    auc = area(means, every)
    return {
        "auc": auc,
        "levels": [{"timestep": t, **area(losses[:, level], every)} for level, t in enumerate(timesteps)],
        "classes": [{"label": int(label), **area(means, labels == label)} for label in np.unique(labels)],
        "is_leaking": None if auc["high"] is None else auc["high"] > MAX_AUC,
        "max_auc": MAX_AUC,
        "num_members": len(member_losses),
        "num_held_out": len(held_out_losses),
        "method": (
            f"Area under the ROC curve of the denoising loss, its mean over the timesteps {', '.join(map(str, timesteps))} with fixed noise, of {len(member_losses)} "
            f"training images against {len(held_out_losses)} held-out ones; 95 % score interval with the spread of {num_bootstrap} bootstrap resamples of groups."
        ),
    }  # fmt: skip


def _groups(members: Labels | None, held_out: Labels | None, num_members: int, num_held_out: int) -> Labels:
    """(N + M,) numbers; a group is either of members or of held-out images."""
    first = group_indices(members, num_images=num_members)
    second = group_indices(held_out, num_images=num_held_out)
    return np.concatenate([first, second + (first.max() + 1 if num_members else 0)])


def _area(losses: Losses, is_member: NDArray[np.bool_], groups: Labels, *, num_bootstrap: int, seed: int) -> Report:
    if is_member.all() or not is_member.any():
        return nothing(
            f"There are {int(is_member.sum())} members and {int((~is_member).sum())} held-out images; both are needed."
        )
    from scipy.stats import rankdata

    labels, indices = is_member.astype(np.int64), group_indices(groups, num_images=len(losses))
    share = rankdata(-losses) / (len(losses) + 1)  # (N,) in (0, 1), high for low losses
    scores = prepare(labels=labels, probabilities=np.stack([1 - share, share], axis=1))
    drawn = []
    for weights in bootstrap_weights(indices=indices, num_bootstrap=num_bootstrap, seed=seed):
        drawn.append(area_under_roc(scores, weights)[:, 1])
        pulse()
    value = area_under_roc(scores, np.ones((1, len(losses))))[0, 1]
    basis = bases(labels=labels, predicted=labels, indices=indices, num_classes=2)["auroc"]
    low, high = score_interval(values=value, draws=np.concatenate(drawn), basis=basis, confidence=CONFIDENCE)
    return entry(value, low, high, undefined="")
