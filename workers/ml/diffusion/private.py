"""Steps of DP-SGD (Abadi et al., arXiv:1607.00133), which bound what a network can learn of any one image.

A coin of its own decides for each image whether it is in a batch (Poisson sampling); the gradient of each is clipped by
itself; Gaussian noise is added to their sum. Coins and noise follow from the state's secret, which is drawn anew for each
training and kept with its resumable state alone, since who knows it can take the noise away. So a private training
resumes bit for bit, but two trainings of the same options differ. The random numbers are PyTorch's and NumPy's own, not
those of a cryptographic generator, and nothing is done against attacks on floating-point noise (Mironov, CCS 2012).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from workers.ml.networks import ConditionalUNet
from workers.ml.seeding import numpy_generator, torch_generator

Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class Privacy:
    """noise_multiplier: standard deviation of the noise in units of max_grad_norm, to which each image's gradient is clipped."""

    noise_multiplier: float
    max_grad_norm: float

    def __post_init__(self) -> None:
        if self.noise_multiplier < 0 or not self.max_grad_norm > 0:
            raise ValueError(
                f"noise_multiplier {self.noise_multiplier} must not be below 0 and max_grad_norm {self.max_grad_norm} must be above 0."
            )


@dataclass(frozen=True)
class Batch:
    """What one step learns: (n, C, H, W) noisy images and targets, (n,) timesteps, labels and loss weights; n may be 0."""

    noisy: Tensor
    t: Tensor
    labels: Tensor
    target: Tensor
    weights: Tensor


def draw_batch(*, secret: int, step: int, num_images: int, batch_size: int) -> NDArray[np.int64]:
    """Return the indices of a step's images: each of num_images with probability batch_size / num_images."""
    coins = numpy_generator("private batch", secret, step).random(num_images)
    return np.flatnonzero(coins < batch_size / num_images).astype(np.int64)


def private_gradients(
    *, network: ConditionalUNet, batch: Batch, privacy: Privacy, batch_size: int, part: int, secret: int, step: int
) -> tuple[float, float]:
    """Fill `.grad` of every parameter with a private estimate of the mean gradient; returns (loss, mean norm before clipping).

    batch_size: images expected in a batch, by which the sum is divided; part: images whose gradients are held at once.
    """
    parameters = dict(network.named_parameters())
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    loss, norms = 0.0, 0.0
    for start in range(0, len(batch.t), part):
        gradients, losses = _each(network, parameters, batch, slice(start, start + part))
        lengths = _lengths(gradients)
        _add_clipped(total, gradients, lengths, privacy.max_grad_norm)
        loss += float(losses.sum())
        norms += float(lengths.sum())
    _add_noise(total, privacy, secret=secret, step=step)
    for name, parameter in parameters.items():
        parameter.grad = total[name] / batch_size
    return loss / batch_size, norms / max(1, len(batch.t))


def _each(
    network: ConditionalUNet, parameters: Mapping[str, Tensor], batch: Batch, rows: slice
) -> tuple[Gradients, Tensor]:
    """The gradient and the loss of every image by itself: {name: (n, ...)} and (n,)."""

    def loss_of(values: Gradients, noisy: Tensor, t: Tensor, label: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        predicted: Tensor = functional_call(network, values, (noisy[None], t[None], label[None]))
        return weight * (predicted[0].float() - target).square().mean()

    detached = {name: parameter.detach().contiguous() for name, parameter in parameters.items()}  # vmap knows no other
    of_each: Any = vmap(grad_and_value(loss_of), in_dims=(None, 0, 0, 0, 0, 0), randomness="different")
    with _for_vmap(network):
        gradients, losses = of_each(
            detached, batch.noisy[rows], batch.t[rows], batch.labels[rows], batch.target[rows], batch.weights[rows]
        )
    return gradients, losses


@contextmanager
def _for_vmap(network: ConditionalUNet) -> Iterator[None]:
    """Keep to what vmap knows: one kernel of attention, one memory format."""
    network.keeps_layout = False
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        network.keeps_layout = True


def _lengths(gradients: Gradients) -> Tensor:
    """(n,) Euclidean norms over all parameters together."""
    squares = [gradient.flatten(1).square().sum(dim=1) for gradient in gradients.values()]
    return torch.stack(squares).sum(dim=0).sqrt()


def _add_clipped(total: Gradients, gradients: Gradients, lengths: Tensor, most: float) -> None:
    factors = (most / lengths.clamp(min=1e-12)).clamp(max=1.0)  # (n,)
    for name, gradient in gradients.items():
        total[name] += torch.einsum("n,n...->...", factors, gradient)


def _add_noise(total: Gradients, privacy: Privacy, *, secret: int, step: int) -> None:
    device = str(next(iter(total.values())).device)
    generator = torch_generator("private noise", secret, step, device=device)
    deviation = privacy.noise_multiplier * privacy.max_grad_norm
    for name in sorted(total):
        gradient = total[name]
        noise = torch.randn(gradient.shape, generator=generator, device=gradient.device, dtype=gradient.dtype)
        total[name] = gradient + deviation * noise
