"""Turn images into class probabilities, and a trained network into one safetensors file and back.

Images keep their stored size until they are on the device; enlarging to the network's input size happens there, and
is the same in training, prediction and explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from workers.ml import images as image_arrays
from workers.ml.checkpoints import export_network, load_network
from workers.ml.classification.networks import NETWORK_CHANNELS, BuiltClassifier, create_network


@dataclass(frozen=True)
class LoadedClassifier:
    """A trained network ready to predict, in eval mode on its device.

    classes: names, in the order of the probabilities' columns. input_size: side in px that images are enlarged to.
    image_size: side in px of the images it was trained on. mean, std: per channel, of images in [0, 1].
    """

    network: nn.Module
    architecture: str
    classes: tuple[str, ...]
    channels: int
    input_size: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    metadata: dict[str, Any]


def export_classifier(
    path: Path,
    *,
    built: BuiltClassifier,
    tensors: Mapping[str, Tensor],
    classes: Sequence[str],
    input_size: int,
    image_size: int,
    metadata: Mapping[str, Any],
) -> str:
    """Write one safetensors file with all that load_classifier needs; return its sha256.

    tensors: the state dict to export, as best_tensors() of a finished training gives it. The same weights and metadata
    give the same bytes. Raises ValueError if the number of class names is not that of the network's classes.
    """
    if len(classes) != built.num_classes:
        raise ValueError(f"{len(classes)} class names do not fit a network of {built.num_classes} classes.")
    own = {
        "kind": "classifier",
        "architecture": built.architecture,
        "classes": list(classes),
        "channels": built.channels,
        "input_size": input_size,
        "image_size": image_size,
        "mean": list(built.mean),
        "std": list(built.std),
        "weights": built.source,
    }
    return export_network(path, dict(tensors), {**metadata, **own})


def load_classifier(path: Path, *, device: str) -> LoadedClassifier:
    """Read a file of export_classifier. Raises ValueError if it is of another kind."""
    tensors, metadata = load_network(path)
    if metadata.get("kind") != "classifier":
        raise ValueError(f"{path} holds a {metadata.get('kind', 'network')}, not a classifier; choose another file.")
    classes = tuple(metadata["classes"])
    network = create_network(architecture=metadata["architecture"], num_classes=len(classes), seed=0)
    network.load_state_dict(tensors)
    return LoadedClassifier(
        network=network.to(device=device, memory_format=torch.channels_last).eval(),  # type: ignore[call-overload]
        architecture=metadata["architecture"],
        classes=classes,
        channels=metadata["channels"],
        input_size=metadata["input_size"],
        image_size=metadata["image_size"],
        mean=tuple(metadata["mean"]),
        std=tuple(metadata["std"]),
        metadata=metadata,
    )


def predict(
    *, classifier: LoadedClassifier, images_uint8: NDArray[np.uint8], batch_size: int, device: str
) -> NDArray[np.float64]:
    """Class probabilities (N, K) float64 of images (N, H, W, C); rows sum to 1 within 1e-6.

    Raises ValueError if the images have another number of channels than those the classifier was trained on.
    """
    return predict_with(
        network=classifier.network,
        images_uint8=images_uint8,
        channels=classifier.channels,
        input_size=classifier.input_size,
        mean=classifier.mean,
        std=classifier.std,
        batch_size=batch_size,
        device=device,
    )


def predict_with(
    *,
    network: nn.Module,
    images_uint8: NDArray[np.uint8],
    channels: int,
    input_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    device: str,
) -> NDArray[np.float64]:
    """predict() for a network that stands outside a LoadedClassifier. The network must be in eval mode."""
    check_images(images_uint8, channels=channels)
    rows = []
    for start in range(0, len(images_uint8), batch_size):
        batch = to_device(images_uint8[start : start + batch_size], device=device)
        enlarged = enlarge(batch, input_size=input_size)  # (B, C, S, S)
        rows.append(probabilities(network, normalise(enlarged, mean=mean, std=std)).cpu().numpy())
    return np.concatenate(rows)


@torch.inference_mode()
def probabilities(network: nn.Module, inputs: Tensor) -> Tensor:
    """(N, K) float64 probabilities of normalised inputs (N, 3, S, S)."""
    return torch.softmax(network(inputs).double(), dim=1)


def check_images(images_uint8: NDArray[np.uint8], *, channels: int) -> None:
    """Raise ValueError unless images are uint8 (N, H, W, channels), N >= 1."""
    image_arrays.check_images(images_uint8)
    if images_uint8.shape[-1] != channels:
        raise ValueError(
            f"The images have {images_uint8.shape[-1]} channels, the classifier was trained on {channels}; "
            "convert them to grey or RGB accordingly."
        )


def to_device(images_uint8: NDArray[np.uint8], *, device: str) -> Tensor:
    """(N, H, W, C) uint8 array to (N, C, H, W) uint8 tensor; channels last in memory, as the array is."""
    return torch.from_numpy(np.ascontiguousarray(images_uint8)).to(device).permute(0, 3, 1, 2)


def enlarge(images: Tensor, *, input_size: int) -> Tensor:
    """(N, C, H, W) uint8 to (N, C, input_size, input_size) float32 in [0, 1], bilinear with antialias."""
    floats = images.float() / 255
    if floats.shape[-2:] == (input_size, input_size):
        return floats
    return functional.interpolate(floats, size=(input_size, input_size), mode="bilinear", antialias=True)


def normalise(images: Tensor, *, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(N, 1 or 3, S, S) in [0, 1] to (N, 3, S, S) with the statistics that the network expects, channels_last."""
    rgb = images.expand(-1, NETWORK_CHANNELS, -1, -1)  # grey: one channel seen three times
    means = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    stds = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    return ((rgb - means) / stds).contiguous(memory_format=torch.channels_last)
