"""A tiny real network (8 channels, 8 px) and a dataset that it learns in seconds."""

import numpy as np

from workers.ml.diffusion.training import new_training_state, train_diffusion
from workers.ml.networks import UNetConfig

TINY = UNetConfig(
    image_size=8,
    channels=1,
    num_classes=2,
    block_channels=(8, 16),
    layers_per_block=1,
    attention_levels=(1,),
    patch_size=2,
    stem_channels=8,
    dropout=0.1,
)
DARK, LIGHT, SPOT = 0, 200, 255
OPTIONS = {
    "batch_size": 16,
    "lr": 2e-3,
    "warmup_steps": 20,
    "weight_decay": 0.01,
    "ema_decay": 0.99,
    "prediction": "v",
    "label_dropout": 0.1,
    "min_snr_gamma": 5.0,
    "hflip": False,
    "vflip": False,
    "class_balanced": True,
    "precision": "auto",
    "accumulation": 1,
    "gradient_checkpointing": False,
    "seed": 1,
}


def two_classes() -> tuple[np.ndarray, np.ndarray]:
    """(64, 8, 8, 1) images: class 0 dark, class 1 light, each with a white spot in rows and columns 2 and 3."""
    labels = np.arange(64, dtype=np.int64) % 2
    images = np.full((64, 8, 8, 1), DARK, dtype=np.uint8)
    images[labels == 1] = LIGHT
    images[:, 2:4, 2:4] = SPOT
    return images, labels


def new_state(**changes):
    options = {
        "config": TINY,
        "lr": 2e-3,
        "weight_decay": 0.01,
        "prediction": "v",
        "seed": 1,
        "device": "cpu",
    }
    return new_training_state(**options | changes)


def train(state, num_steps, **changes):
    """Start training on the two classes; returns the iterator of steps."""
    images, labels = two_classes()
    data = {"images_uint8": images, "labels": labels}
    return train_diffusion(**data | {"state": state, "num_steps": num_steps} | OPTIONS | changes)
