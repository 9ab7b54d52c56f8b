"""All that changes while a diffusion model is trained, and how it is kept on disk.

Loaded again a state goes on bit for bit (on a CPU); one whose random states are incomplete is refused, not patched up.
"""

import copy
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workers.ml import checkpoints
from workers.ml.diffusion import schedule
from workers.ml.networks import ConditionalUNet, UNetConfig, build_unet, to_device
from workers.ml.seeding import capture_random_states, restore_random_states, seeded, torch_generator

ADAM_BETAS = (0.9, 0.99)


class Kept(NamedTuple):
    """The averaged weights of an earlier step, on the CPU: what may be gone back to."""

    step: int
    ema: dict[str, Tensor]


@dataclass
class TrainingState:
    """All that changes during training. `step` counts optimizer steps, `position` images drawn from the order.

    secret: of a private training, from which its coins and its noise follow; never shown, never exported.
    """

    network: ConditionalUNet
    ema: ConditionalUNet
    optimizer: torch.optim.AdamW
    generator: torch.Generator
    prediction: str
    seed: int
    device: str
    step: int = 0
    position: int = 0
    secret: int | None = None
    kept: Kept | None = None

    @property
    def config(self) -> UNetConfig:
        return self.network.config


def new_training_state(
    *,
    config: UNetConfig,
    lr: float,
    weight_decay: float,
    prediction: str,
    seed: int,
    device: str,
    secret: int | None = None,
) -> TrainingState:
    """Return the state before the first step; the weights follow from the seed, and so do all later random numbers.

    secret: for a private training; then the later random numbers follow from it, since what is known of an image's noise,
    timestep or mirroring in a batch must not depend on which other images are in it. lr here only fills the optimizer; `train_diffusion` sets it at each step. prediction: "v" or "epsilon".
    """
    schedule.check_prediction(prediction)
    with seeded("network", seed):
        network = build_unet(config=config)
    network = to_device(network, device=device)
    return TrainingState(
        network=network,
        ema=copy.deepcopy(network).requires_grad_(False).eval(),
        optimizer=_optimizer(network, lr=lr, weight_decay=weight_decay),
        generator=torch_generator("training", seed if secret is None else secret, device=device),
        prediction=prediction,
        seed=seed,
        device=device,
        secret=secret,
    )


def _optimizer(network: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(network.parameters(), lr=lr, betas=ADAM_BETAS, weight_decay=weight_decay, fused=True)


def keep(state: TrainingState) -> None:
    """Remember the averaged weights of this step, in place of those of any earlier one."""
    state.kept = Kept(
        state.step, {name: tensor.detach().cpu().clone() for name, tensor in state.ema.state_dict().items()}
    )


def as_kept(state: TrainingState) -> TrainingState:
    """The averaged network at the step that was kept, to draw and to be exported; it cannot be trained further."""
    assert state.kept is not None, "keep() comes first"
    ema = copy.deepcopy(state.ema)
    ema.load_state_dict(state.kept.ema)
    return replace(state, ema=ema, step=state.kept.step)


def save_training_state(state: TrainingState, directory: Path, extra: dict[str, Any]) -> None:
    """Write the whole state as one checkpoint directory; `extra` is JSON-able and comes back from `load_...`."""
    random_tensors, random_values = capture_random_states()
    checkpoints.write_directory(
        directory,
        {
            "network": state.network.state_dict(),
            "ema": state.ema.state_dict(),
            "optimizer": _optimizer_tensors(state),
            "random": random_tensors | {"generator": state.generator.get_state()},
            **({"kept": state.kept.ema} if state.kept is not None else {}),
        },
        {
            "kind": "diffusion",
            "config": state.config.to_json(),
            "prediction": state.prediction,
            "seed": state.seed,
            "device": state.device,
            "step": state.step,
            "position": state.position,
            "secret": state.secret,
            "kept_step": state.kept.step if state.kept is not None else None,
            "random": random_values,
            "torch": torch.__version__,
            "extra": extra,
        },
    )


def _optimizer_tensors(state: TrainingState) -> dict[str, Tensor]:
    return {
        f"{name}:{key}": value
        for name, parameter in state.network.named_parameters()
        for key, value in state.optimizer.state.get(parameter, {}).items()
    }


def load_training_state(directory: Path, *, device: str) -> tuple[TrainingState, dict[str, Any]]:
    """Return the state saved in a directory and the `extra` values saved with it; restores global random states.

    Raises CheckpointError if the directory is not whole, ValueError if it is of another kind or device, or if a
    random state is missing.
    """
    tensors, values = checkpoints.read_directory(directory)
    if values.get("kind") != "diffusion":
        raise ValueError(f"{directory.name} is a checkpoint of kind {values.get('kind')!r}; expected 'diffusion'.")
    if values["device"] != device:
        raise ValueError(f"{directory.name} was saved on {values['device']}; it cannot be resumed exactly on {device}.")
    if "generator" not in tensors.get("random", {}):
        raise ValueError(f"{directory.name} lacks the random state 'generator'. Resume from an older checkpoint.")
    config = UNetConfig.from_json(values["config"])
    state = new_training_state(
        config=config,
        lr=1.0,
        weight_decay=0.0,
        prediction=values["prediction"],
        seed=values["seed"],
        device=device,
    )
    state.network.load_state_dict(tensors["network"])
    state.ema.load_state_dict(tensors["ema"])
    _load_optimizer(state, tensors.get("optimizer", {}))
    state.step, state.position, state.secret = values["step"], values["position"], values.get("secret")
    if "kept" in tensors:
        state.kept = Kept(values["kept_step"], tensors["kept"])
    state.generator.set_state(tensors["random"].pop("generator"))
    restore_random_states(tensors["random"], values["random"])
    return state, values["extra"]


def _load_optimizer(state: TrainingState, tensors: dict[str, Tensor]) -> None:
    parameters = dict(state.network.named_parameters())
    for full_name, value in tensors.items():
        name, key = full_name.rsplit(":", 1)
        parameter = parameters[name]
        like = parameter if value.shape == parameter.shape else value  # moments in the parameter's memory format
        state.optimizer.state[parameter][key] = torch.empty_like(like, device=state.device).copy_(value)


def network_sha256(network: nn.Module) -> str:
    """Return a sha256 over names, shapes and bits of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
