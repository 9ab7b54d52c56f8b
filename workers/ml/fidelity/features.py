"""Turn images into the features that fidelity is measured in: the layer before the last of a network trained on ImageNet.

No figure means anything without the extractor that it was taken with: FID from EfficientNet-Lite0 and FID from
Inception are different numbers. So an extractor tells its name, weights and input size, and these stand beside every figure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workers.ml import images as image_arrays
from workers.ml.classification.networks import create_network
from workers.ml.classification.prediction import enlarge, normalise, to_device
from workers.ml.classification.weights import lies_here, load_pretrained

FIRST_EXTRACTOR = "tf_efficientnet_lite0"
SECOND_EXTRACTORS = ("inception_v3", "tf_efficientnet_lite2")  # the first whose weights lie on this machine
IMAGENET_CLASSES = 1000
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Extractor:
    """A network in eval mode whose last layer is not used.

    source: where its weights came from, in words. input_size: side in px that images are resized to. mean, std: per
    channel, of images in [0, 1]. num_features: D.
    """

    network: nn.Module
    architecture: str
    source: str
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    num_features: int

    def to_json(self) -> dict[str, Any]:
        """What must stand beside every figure."""
        return {
            "architecture": self.architecture,
            "weights": self.source,
            "input_size": self.input_size,
            "num_features": self.num_features,
            "resize": "bilinear, antialiased",
        }


def default_architectures(*, weights_dir: str | None) -> tuple[str, ...]:
    """The first extractor, and a second one if its weights lie on this machine."""
    here = [name for name in SECOND_EXTRACTORS if lies_here(architecture=name, weights_dir=weights_dir)]
    return (FIRST_EXTRACTOR, *here[:1])


def load_extractor(*, architecture: str, weights_dir: str | None, device: str) -> Extractor:
    """An extractor on `device` with pretrained weights.

    architecture: a timm name. weights_dir: where <architecture>.safetensors may lie, or None.
    Raises ValueError for an unknown architecture, or if no weights can be had: random ones are never used.
    """
    network = create_network(architecture=architecture, num_classes=IMAGENET_CLASSES, seed=0)
    source = load_pretrained(network=network, architecture=architecture, weights_dir=weights_dir)
    config: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    size = int(config["input_size"][-1])
    network = network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    probe = torch.zeros(1, 3, size, size, device=device)
    return Extractor(
        network=network,
        architecture=architecture,
        source=source,
        input_size=size,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        num_features=penultimate(network, probe).shape[1],
    )


def extract_features(
    *, extractor: Extractor, images_uint8: NDArray[np.uint8], batch_size: int, device: str
) -> Iterator[Features]:
    """Features (B, D) of one batch of images (N, H, W, C) after the other, C 1 (seen three times) or 3.

    Every image is resized alike, bilinear with antialias, so real and synthetic images must come at one resolution:
    reduce real ones first. The rows do not depend on batch_size beyond float32 rounding.
    Raises ValueError for other arrays.
    """
    image_arrays.check_images(images_uint8)
    for start in range(0, len(images_uint8), batch_size):
        batch = to_device(images_uint8[start : start + batch_size], device=device)
        enlarged = enlarge(batch, input_size=extractor.input_size)  # (B, C, S, S)
        inputs = normalise(enlarged, mean=extractor.mean, std=extractor.std)
        yield penultimate(extractor.network, inputs).float().cpu().numpy()


@torch.inference_mode()
def penultimate(network: nn.Module, inputs: Tensor) -> Tensor:
    """(N, D) what the last layer of a timm network would be given for normalised inputs (N, 3, S, S)."""
    features: Tensor = network.forward_features(inputs)  # type: ignore[operator]
    pooled: Tensor = network.forward_head(features, pre_logits=True)  # type: ignore[operator]
    return pooled
