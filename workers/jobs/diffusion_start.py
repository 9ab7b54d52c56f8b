"""Where a diffusion training begins: a new network, the weights of an earlier one, or the state that an attempt saved."""

import hashlib
import json
import random
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.core.errors import BadInputError
from models import Checkpoint
from models.specs import TrainDiffusionSpec
from workers.context import JobContext
from workers.ml import checkpoints
from workers.ml.diffusion import training
from workers.ml.diffusion.training import TrainingState
from workers.ml.networks import UNetConfig
from workers.ml.seeding import derive_seed

SECRET_BITS = 128


def network_config(spec: TrainDiffusionSpec, *, channels: int, num_classes: int) -> UNetConfig:
    return UNetConfig(
        image_size=spec.image_size,
        channels=channels,
        num_classes=num_classes,
        block_channels=tuple(spec.block_channels),
        layers_per_block=spec.layers_per_block,
        attention_levels=tuple(sorted(spec.attention_levels)),
        patch_size=spec.patch_size,
        stem_channels=spec.stem_channels,
        dropout=spec.dropout,
    )


def num_parameters(state: TrainingState) -> int:
    return sum(parameter.numel() for parameter in state.network.parameters())


def seed_everything(seed: int) -> None:
    """Dropout draws from torch's global generators, whose state must not come from whatever this process did before."""
    seed = derive_seed("globals", seed)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def new_state(context: JobContext, spec: TrainDiffusionSpec, config: UNetConfig) -> TrainingState:
    state = training.new_training_state(
        config=config, lr=spec.lr, weight_decay=spec.weight_decay, prediction=spec.prediction, seed=spec.seed,
        device=context.device, secret=secrets.randbits(SECRET_BITS) if spec.dp_epsilon is not None else None,
    )  # fmt: skip
    if spec.init_checkpoint_id is not None:
        _take_weights(context, spec.init_checkpoint_id, state)
    return state


def _take_weights(context: JobContext, checkpoint_id: int, state: TrainingState) -> None:
    """Go on from the weights of another training; its optimizer's moments are not kept in a checkpoint's file."""
    with context.database.read() as session:
        key = session.get_one(Checkpoint, checkpoint_id).sha256
    start = training.load_denoiser(context.storage.path(key), device=context.device)
    ours, theirs = state.config.to_json(), start.config.to_json()
    differing = [name for name in ours if ours[name] != theirs[name] and name != "dropout"]
    if differing:
        had = ", ".join(f"{name} {theirs[name]} instead of {ours[name]}" for name in differing)
        raise BadInputError(
            f"Training cannot go on from checkpoint {checkpoint_id}: it has {had}.",
            hint="Set these options to the checkpoint's, or leave init_checkpoint_id empty.",
        )
    for network in (state.network, state.ema):
        network.load_state_dict(start.network.state_dict())
    context.log(f"Going on from the weights of checkpoint {checkpoint_id}.")


def resume(
    context: JobContext, spec: TrainDiffusionSpec, manifest_sha256: str
) -> tuple[TrainingState, dict[str, Any]] | None:
    """The newest whole state that this or an earlier attempt saved, with what was noted then; None to begin anew."""
    path = newest_checkpoint(context)
    if path is None:
        return None
    state, extra = training.load_training_state(path, device=context.device)
    expected = identity(spec, manifest_sha256)
    if {name: extra.get(name) for name in expected} != expected:
        raise BadInputError(
            f"The checkpoint {path.name} was written for other options or images than this job's.",
            hint="Ask for a new job with the same settings.",
        )
    context.resumed_from(state.step)
    return state, extra


def newest_checkpoint(context: JobContext) -> Path | None:
    """The whole checkpoint of the highest step among all attempts; the log says which were passed over, and why."""
    found = []
    for folder in context.checkpoint_folders():
        path, skipped = checkpoints.latest_valid(folder)
        for passed in skipped:
            context.log(f"Passed over a checkpoint of attempt {folder.parent.name}: {passed.reason}", level="warning")
        if path is not None:
            found.append(path)
    return max(found, key=lambda path: path.name, default=None)


def identity(spec: TrainDiffusionSpec, manifest_sha256: str) -> dict[str, str]:
    """What a saved state belongs to: the options and the images."""
    text = json.dumps(
        spec.model_dump(mode="json", exclude_defaults=True), sort_keys=True
    )  # a new option changes nothing
    return {"spec_sha256": hashlib.sha256(text.encode()).hexdigest(), "manifest_sha256": manifest_sha256}
