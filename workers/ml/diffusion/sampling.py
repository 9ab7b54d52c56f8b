"""Draw synthetic images so that image k is the same whatever else is drawn with it.

Libraries choose their kernels by the shape of the batch, and different kernels round differently. So the network is
always run on chunks of one fixed size, and image k always sits in row k modulo that size; empty rows are padded. They also
divide sums among threads, so that on a CPU each chunk is drawn by one thread, several at a time.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.ml.diffusion import schedule
from workers.ml.diffusion.denoisers import Denoiser
from workers.ml.images import Uint8Images, to_uint8
from workers.ml.networks import UNetConfig
from workers.ml.seeding import torch_generator

PADDING = -1


class SampledBatch(NamedTuple):
    """indices: (N,) int64 as asked for; images_uint8: (N, H, W, C)."""

    indices: NDArray[np.int64]
    images_uint8: Uint8Images


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (arXiv:2207.12598) on an interval of the way from noise to image (arXiv:2404.07724).

    scale: 1 follows the class as learnt, above 1 exaggerates it (uncond + scale * (cond - uncond)), 0 ignores it.
    start, stop: shares of the way, 0 is noise and 1 the image; outside of them the class is followed as learnt. Where there
    is hardly anything but noise, guidance parts the classes by brightness; near the end, by sharpness.
    """

    scale: float
    start: float = 0.0
    stop: float = 1.0

    def acts_at(self, t: float) -> bool:
        """Whether the step at timestep t is guided."""
        return self.scale != 1 and self.start <= 1 - t / schedule.NUM_TIMESTEPS <= self.stop


class _Request(NamedTuple):
    place: int
    image: int
    label: int


def chunk_size(config: UNetConfig, *, device: str) -> int:
    """Return the rows of one network call, fixed by image size and kind of device; a good batch_size is a multiple."""
    if device == "cpu":
        return 8
    return max(4, min(64, 64 * 64**2 // config.image_size**2))


def sample_images(
    *,
    denoiser: Denoiser,
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    seed: int,
    guidance: Guidance,
    sampler: str,
    num_steps: int,
    batch_size: int,
    device: str,
) -> Iterator[SampledBatch]:
    """Yield the images of `indices` (K,) with `labels` (K,), batch_size at a time, in the order given.

    The image of index k depends only on the denoiser, its label, seed, k, guidance, sampler and num_steps: it is
    bit-identical in any order, subset or batch_size, and with any number of threads, on one kind of device.

    Raises ValueError, before drawing, if labels and indices do not fit each other or the network.
    """
    _check_request(denoiser.config, labels, indices, guidance, batch_size)
    schedule.build_sampler(sampler=sampler, prediction=denoiser.prediction, num_steps=num_steps, device="cpu")
    return _batches(denoiser, labels, indices, seed, guidance, sampler, num_steps, batch_size, device)


def _check_request(
    config: UNetConfig,
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    guidance: Guidance,
    batch_size: int,
) -> None:
    if labels.ndim != 1 or labels.shape != indices.shape:
        raise ValueError(f"labels {labels.shape} and indices {indices.shape} must be two vectors of one length.")
    if len(labels) and (labels.min() < 0 or labels.max() >= config.num_classes or indices.min() < 0):
        raise ValueError(f"labels must lie in 0..{config.num_classes - 1} and indices must not be negative.")
    if batch_size < 1 or guidance.scale < 0:
        raise ValueError(f"batch_size {batch_size} must be at least 1 and guidance {guidance.scale} at least 0.")


def _batches(
    denoiser: Denoiser,
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    seed: int,
    guidance: Guidance,
    sampler: str,
    num_steps: int,
    batch_size: int,
    device: str,
) -> Iterator[SampledBatch]:
    config = denoiser.config
    denoiser.network.eval()

    def draw(rows: list[_Request], scheduler: Any) -> Uint8Images:
        return _draw(denoiser, rows, seed, guidance, scheduler, device)

    for start in range(0, len(labels), batch_size):
        batch_indices = indices[start : start + batch_size]
        shape = (len(batch_indices), config.image_size, config.image_size, config.channels)
        images = np.empty(shape, dtype=np.uint8)
        chunks = list(_chunks(labels[start : start + batch_size], batch_indices, chunk_size(config, device=device)))
        schedulers = [
            schedule.build_sampler(sampler=sampler, prediction=denoiser.prediction, num_steps=num_steps, device=device)
            for _ in chunks
        ]
        for rows, drawn in zip(chunks, _each(draw, chunks, schedulers, device), strict=True):
            for row, request in enumerate(rows):
                if request.place != PADDING:
                    images[request.place] = drawn[row]
        yield SampledBatch(batch_indices, images)


def _each(
    draw: Callable[[list[_Request], Any], Uint8Images],
    chunks: list[list[_Request]],
    schedulers: list[Any],
    device: str,
) -> list[Uint8Images]:
    """What `draw` makes of each chunk; on a CPU as many at once as this process has threads, each by one of them."""
    if device != "cpu":
        return [draw(*each) for each in zip(chunks, schedulers, strict=True)]
    num_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(draw, chunks, schedulers))
    finally:
        torch.set_num_threads(num_threads)  # the libraries keep one number for all threads that begin later


def _chunks(labels: NDArray[np.int64], indices: NDArray[np.int64], size: int) -> Iterator[list[_Request]]:
    """Pack the requests into chunks of `size` rows, each request in row index % size."""
    waiting: list[deque[_Request]] = [deque() for _ in range(size)]
    for place, (index, label) in enumerate(zip(indices.tolist(), labels.tolist(), strict=True)):
        waiting[index % size].append(_Request(place, index, label))
    while any(waiting):
        yield [queue.popleft() if queue else _Request(PADDING, row, 0) for row, queue in enumerate(waiting)]


def initial_noise(config: UNetConfig, *, seed: int, index: int) -> Tensor:
    """Return the (C, H, W) float32 noise that image `index` starts from: equal on every device."""
    generator = torch_generator("sample", seed, index, device="cpu")
    return torch.randn((config.channels, config.image_size, config.image_size), generator=generator)


@torch.inference_mode()
def _draw(
    denoiser: Denoiser, rows: list[_Request], seed: int, guidance: Guidance, scheduler: Any, device: str
) -> Uint8Images:
    """Return one chunk of images (N, H, W, C) uint8. scheduler: a fresh one, which holds the state of this run."""
    noise = torch.stack([initial_noise(denoiser.config, seed=seed, index=row.image) for row in rows])
    labels = torch.tensor([row.label for row in rows], device=device)
    x = noise.to(device) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        predicted = _guided(denoiser, scaled, t, labels, guidance)
        if denoiser.prediction == "epsilon":
            predicted = schedule.clip_image(predicted, scaled, t)
        x = scheduler.step(predicted, t, x).prev_sample
    return to_uint8(x)


def _guided(denoiser: Denoiser, x: Tensor, t: Tensor, labels: Tensor, guidance: Guidance) -> Tensor:
    """Predict with classifier-free guidance; x (N, C, H, W), t scalar, labels (N,)."""
    x = x.contiguous(memory_format=torch.channels_last)
    ts = t.expand(len(x)).to(x.device)
    conditional: Tensor = denoiser.network(x, ts, labels)
    if not guidance.acts_at(float(t)):
        return conditional
    null = torch.full_like(labels, denoiser.config.num_classes)
    unconditional: Tensor = denoiser.network(x, ts, null)
    return unconditional + guidance.scale * (conditional - unconditional)
