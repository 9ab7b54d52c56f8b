"""A trained denoiser as one file: averaged weights with the config that rebuilds the network around them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.ml import checkpoints
from workers.ml.diffusion import schedule
from workers.ml.diffusion.state import TrainingState
from workers.ml.networks import ConditionalUNet, UNetConfig, build_unet, to_device
from workers.ml.seeding import seeded


def export_denoiser(path: Path, *, state: TrainingState, metadata: dict[str, Any]) -> str:
    """Write the averaged weights with all that sampling needs as one safetensors file; returns its sha256."""
    about = {
        "kind": "denoiser",
        "config": state.config.to_json(),
        "prediction": state.prediction,
        "num_timesteps": schedule.NUM_TIMESTEPS,
        "step": state.step,
    }
    return checkpoints.export_network(path, state.ema.state_dict(), about | {"metadata": metadata})


@dataclass(frozen=True)
class Denoiser:
    """A trained network ready for sampling; `metadata` is what its exporter noted."""

    network: ConditionalUNet
    config: UNetConfig
    prediction: str
    metadata: dict[str, Any]


def denoiser_of(state: TrainingState) -> Denoiser:
    """Return the averaged network of a running training (shared, not copied), for previews."""
    return Denoiser(state.ema, state.config, state.prediction, {"step": state.step})


def load_denoiser(path: Path, *, device: str) -> Denoiser:
    """Read what `export_denoiser` wrote; raises CheckpointError or ValueError for any other file."""
    tensors, about = checkpoints.load_network(path)
    if about.get("kind") != "denoiser":
        raise ValueError(f"{path.name} holds a {about.get('kind')!r}; expected a 'denoiser'.")
    config = UNetConfig.from_json(about["config"])
    with seeded("discarded"):
        network = build_unet(config=config)
    network.load_state_dict(tensors)
    return Denoiser(
        to_device(network, device=device).requires_grad_(False).eval(),
        config,
        about["prediction"],
        about["metadata"],
    )
