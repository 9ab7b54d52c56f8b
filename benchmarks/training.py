"""Diffusion training on one thread: the preset `small` at 32 px against the same widths without space-to-depth, side by side."""

import statistics
import time
from typing import Any

import numpy as np

NUM_ROUNDS = 5
STEPS_PER_ROUND = 4
BATCH = 32


def measure() -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    ours, plain = _steps(patch_size=2, stem_channels=16), _steps(patch_size=1, stem_channels=0)
    for steps in (ours, plain):
        next(steps)  # the first step allocates
    rates: dict[str, list[float]] = {"small": [], "plain": []}
    for _ in range(NUM_ROUNDS):
        for name, steps in (("small", ours), ("plain", plain)):
            begun = time.perf_counter()
            for _ in range(STEPS_PER_ROUND):
                next(steps)
            rates[name].append(BATCH * STEPS_PER_ROUND / (time.perf_counter() - begun))
    ratios = [a / b for a, b in zip(rates["small"], rates["plain"], strict=True)]
    return {
        "small_images_per_s": round(statistics.median(rates["small"]), 1),
        "plain_images_per_s": round(statistics.median(rates["plain"]), 1),
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def _steps(*, patch_size: int, stem_channels: int) -> Any:
    from models.specs import TrainDiffusionSpec
    from workers.ml.diffusion.training import new_training_state, train_diffusion
    from workers.ml.networks import UNetConfig

    spec = TrainDiffusionSpec(kind="train_diffusion", dataset_id=0, preset="small", image_size=32, num_steps=1000)  # type: ignore[arg-type]
    config = UNetConfig(
        image_size=32, channels=1, num_classes=4, block_channels=tuple(spec.block_channels), layers_per_block=spec.layers_per_block,
        attention_levels=tuple(spec.attention_levels), patch_size=patch_size, stem_channels=stem_channels, dropout=0.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (256, 32, 32, 1), dtype=np.uint8), np.arange(256) % 4
    state = new_training_state(config=config, lr=spec.lr, weight_decay=0.01, prediction="v", seed=0, device="cpu")
    return train_diffusion(
        state=state, images_uint8=images, labels=labels, num_steps=spec.num_steps, batch_size=BATCH, lr=spec.lr,
        warmup_steps=spec.warmup_steps, weight_decay=0.01, ema_decay=0.999, prediction="v", label_dropout=0.1,
        min_snr_gamma=5.0, hflip=False, vflip=False, class_balanced=True, precision="fp32", accumulation=1,
        gradient_checkpointing=False, seed=0,
    )  # fmt: skip
