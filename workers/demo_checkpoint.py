"""Train the checkpoint that the demo goes on from, and write it to app/assets/: `python -m workers.demo_checkpoint`.

It learns from phantoms whose seeds the demo never draws, by the preset `tiny`, and is kept in half precision so
that the file stays under 3 MB.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from app.core import phantoms
from models.specs import TrainDiffusionSpec
from workers.ml import checkpoints
from workers.ml.diffusion import schedule, training
from workers.ml.networks import UNetConfig

TARGET = Path(__file__).parents[1] / "app" / "assets" / "phantoms.safetensors"
SEED = 2024  # the demo draws its own phantoms with other seeds
PER_CLASS = 1000
DRAWN_SIZE = 64


def training_images(image_size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(N, S, S, 1) uint8 and (N,) labels in the order of phantoms.CLASSES."""
    images, labels = [], []
    for name, _, image in phantoms.draw_all(PER_CLASS, SEED, DRAWN_SIZE):
        small = Image.fromarray(image).resize((image_size, image_size), Image.Resampling.LANCZOS)
        images.append(np.asarray(small)[..., None])
        labels.append(phantoms.CLASSES.index(name))
    return np.stack(images), np.array(labels, dtype=np.int64)


def options(num_steps: int) -> dict[str, Any]:
    return {"kind": "train_diffusion", "dataset_id": 0, "preset": "tiny", "num_steps": num_steps, "ema_decay": 0.999}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6000)
    num_steps = parser.parse_args().steps
    spec = TrainDiffusionSpec(**options(num_steps))
    images, labels = training_images(spec.image_size)
    config = UNetConfig(
        image_size=spec.image_size, channels=1, num_classes=len(phantoms.CLASSES), block_channels=tuple(spec.block_channels),
        layers_per_block=spec.layers_per_block, attention_levels=tuple(spec.attention_levels),
        patch_size=spec.patch_size, stem_channels=spec.stem_channels, dropout=0.0,
    )  # fmt: skip
    state = training.new_training_state(
        config=config, lr=spec.lr, weight_decay=spec.weight_decay, prediction=spec.prediction, seed=SEED, device="cpu"
    )
    shared = spec.model_dump(
        include={"num_steps", "batch_size", "lr", "warmup_steps", "weight_decay", "ema_decay", "prediction", "label_dropout",
                 "min_snr_gamma", "hflip", "vflip", "class_balanced", "precision", "accumulation", "gradient_checkpointing"}
    )  # fmt: skip
    begun = time.monotonic()
    for step in training.train_diffusion(state=state, images_uint8=images, labels=labels, seed=SEED, **shared):
        if step.done % 200 == 0:
            print(
                f"step {step.done} of {step.total}, loss {step.loss:.4f}, {time.monotonic() - begun:.0f} s", flush=True
            )
    export(state, spec)


def export(state: training.TrainingState, spec: TrainDiffusionSpec) -> None:
    """Write the averaged weights in half precision, with what training.export_denoiser says of a network."""
    weights = {name: tensor.to(torch.float16) for name, tensor in state.ema.state_dict().items()}
    about = {
        "kind": "denoiser", "config": state.config.to_json(), "prediction": state.prediction,
        "num_timesteps": schedule.NUM_TIMESTEPS, "step": state.step,
        "metadata": {"classes": list(phantoms.CLASSES), "seed": SEED, "spec": spec.model_dump(mode="json")},
    }  # fmt: skip
    digest = checkpoints.export_network(TARGET, weights, about)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
