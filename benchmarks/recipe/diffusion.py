"""The recipe itself: one set of training options for every modality, and sampling from the result."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.recipe.data import Dataset
from models.specs import Sampling
from workers.ml import checkpoints
from workers.ml.diffusion.sampling import Guidance, sample_images
from workers.ml.diffusion.training import (
    Denoiser,
    TrainingState,
    denoiser_of,
    export_denoiser,
    load_training_state,
    new_training_state,
    save_training_state,
    train_diffusion,
)
from workers.ml.networks import UNetConfig

BATCH_SIZE = 32
LR = 2e-3
SAMPLING_STEPS = 20
OPTIONS: dict[str, Any] = {
    "batch_size": BATCH_SIZE,
    "lr": LR,
    "warmup_steps": 200,
    "weight_decay": 0.01,
    "ema_decay": 0.999,
    "prediction": "v",
    "label_dropout": 0.1,
    "min_snr_gamma": 5.0,
    "class_balanced": True,
    "precision": "auto",
    "accumulation": 1,
    "gradient_checkpointing": False,
}
SAVE_EVERY = 250


def network_config(dataset: Dataset) -> UNetConfig:
    """The preset `small` at 32 px."""
    return UNetConfig(
        image_size=dataset.images_uint8.shape[1],
        channels=dataset.images_uint8.shape[-1],
        num_classes=len(dataset.classes),
        block_channels=(32, 64, 128),
        layers_per_block=1,
        attention_levels=(2,),
        patch_size=2,
        stem_channels=16,
        dropout=0.0,
    )


def train(
    dataset: Dataset,
    *,
    folder: Path,
    num_steps: int,
    hflip: bool,
    vflip: bool,
    seed: int,
    log: Callable[[str], None],
) -> Denoiser:
    """Train on the training part, going on from the newest checkpoint in `folder`, and export the result there."""
    state = _begin(dataset, folder=folder, seed=seed, log=log)
    images, labels = dataset.of("train")
    options = OPTIONS | {"num_steps": num_steps, "hflip": hflip, "vflip": vflip, "seed": seed}
    losses, begun, cpu_begun = [], time.perf_counter(), time.process_time()
    for step in train_diffusion(state=state, images_uint8=images, labels=labels, **options):
        losses.append(step.loss)
        if step.done % SAVE_EVERY == 0 or step.done == num_steps:
            rates = [
                len(losses) * BATCH_SIZE / (clock() - start)
                for clock, start in ((time.perf_counter, begun), (time.process_time, cpu_begun))
            ]
            log(
                f"step {step.done}/{num_steps} loss {np.mean(losses[-SAVE_EVERY:]):.4f} images/s {rates[0]:.0f} (per CPU-second {rates[1]:.0f})"
            )
            save_training_state(state, folder / checkpoints.checkpoint_name(step.done), {})
            checkpoints.prune(folder, 2)
    export_denoiser(folder.parent / "denoiser.safetensors", state=state, metadata={"classes": dataset.classes})
    return denoiser_of(state)


def _begin(dataset: Dataset, *, folder: Path, seed: int, log: Callable[[str], None]) -> TrainingState:
    newest, skipped = checkpoints.latest_valid(folder)
    for path, reason in skipped:
        log(f"skipped {path.name}: {reason}")
    if newest:
        log(f"going on from {newest.name}")
        return load_training_state(newest, device="cpu")[0]
    config = network_config(dataset)
    return new_training_state(config=config, lr=LR, weight_decay=0.01, prediction="v", seed=seed, device="cpu")


def steps_for(dataset: Dataset, *, minutes: float) -> int:
    """Return the steps that fit into `minutes`, measured over 20 steps now: on a busy machine give --steps instead."""
    images, labels = dataset.of("train")
    state = new_training_state(
        config=network_config(dataset), lr=LR, weight_decay=0.01, prediction="v", seed=0, device="cpu"
    )
    options = OPTIONS | {"num_steps": 23, "hflip": True, "vflip": True, "seed": 0}
    steps = train_diffusion(state=state, images_uint8=images, labels=labels, **options)
    for _ in range(3):
        next(steps)
    begun = time.perf_counter()
    for _ in steps:
        pass
    return int(minutes * 60 * 20 / (time.perf_counter() - begun))


def draw(
    denoiser: Denoiser, *, per_class: int, guidance: float, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return per_class images of each class, by DPM-Solver++ 2M: (N, S, S, C) and (N,)."""
    labels = np.repeat(np.arange(denoiser.config.num_classes), per_class)
    asked = Sampling(checkpoint_id=0, per_class=per_class, guidance=guidance)
    batches = sample_images(
        denoiser=denoiser,
        labels=labels,
        indices=np.arange(len(labels)),
        seed=seed,
        guidance=Guidance(asked.guidance, asked.guidance_start, asked.guidance_stop),
        sampler="dpm++",
        num_steps=SAMPLING_STEPS,
        batch_size=40,
        device="cpu",
    )
    return np.concatenate([batch.images_uint8 for batch in batches]), labels
