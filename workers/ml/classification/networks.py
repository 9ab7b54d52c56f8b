"""Build any timm architecture as a classifier of our classes.

Every network takes three channels: grey images are repeated into them on the device, so that pretrained first layers
keep their statistics and an architecture needs no special case.
"""

import difflib
from dataclasses import dataclass

import torch
from torch import nn

from workers.ml.classification.weights import NoWeightsError, head_names, load_pretrained
from workers.ml.seeding import seeded

NETWORK_CHANNELS = 3
HEAD_STD = 0.01


@dataclass(frozen=True)
class BuiltClassifier:
    """A network and what belongs to it.

    source: where its weights came from, in words. mean, std: per channel, of images in [0, 1]. default_input_size:
    side in px it was designed for; fixed_input_size: whether it takes no other. channels: of the images, 1 or 3.
    """

    network: nn.Module
    architecture: str
    num_classes: int
    channels: int
    source: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    default_input_size: int
    fixed_input_size: bool


def build_classifier(
    *, architecture: str, num_classes: int, channels: int, pretrained: bool, weights_dir: str | None, seed: int
) -> BuiltClassifier:
    """A classifier of `num_classes` classes, in channels_last memory format on the CPU.

    architecture: a timm name. channels: 1 (grey) or 3 (RGB) of the images it will be given. weights_dir: where
    <architecture>.safetensors may lie. seed: fixes the weights that do not come from a file.

    Raises ValueError for an unknown architecture, fewer than two classes, or if pretrained weights cannot be had.
    """
    _check(num_classes=num_classes, channels=channels)
    network = create_network(architecture=architecture, num_classes=num_classes, seed=seed)
    source = "random weights"
    if pretrained:
        source = _load_or_say_how(network=network, architecture=architecture, weights_dir=weights_dir)
        _calm_head(network, seed=seed)
    config = network.pretrained_cfg
    return BuiltClassifier(
        network=network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        architecture=architecture,
        num_classes=num_classes,
        channels=channels,
        source=source,
        mean=tuple(config["mean"]),  # type: ignore[index]
        std=tuple(config["std"]),  # type: ignore[index]
        default_input_size=config["input_size"][-1],  # type: ignore[index, arg-type]
        fixed_input_size=bool(config["fixed_input_size"]),  # type: ignore[index]
    )


def _load_or_say_how(*, network: nn.Module, architecture: str, weights_dir: str | None) -> str:
    try:
        return load_pretrained(network=network, architecture=architecture, weights_dir=weights_dir)
    except NoWeightsError as error:
        raise NoWeightsError(f"{error} Or set pretrained to false to start from random weights.") from error


def create_network(*, architecture: str, num_classes: int, seed: int) -> nn.Module:
    """The timm network with random weights that depend on the seed alone; global random states are left as they were."""
    import timm

    check_architecture(architecture)
    with seeded("network", seed):
        network: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=num_classes)
    return network


def _calm_head(network: nn.Module, *, seed: int) -> None:
    """Start the new last layer near zero: timm's own range, up to 0.6 for few classes, starts training at a loss far
    above that of guessing, and the first steps would spoil the pretrained features to mend it."""
    generator = torch.Generator().manual_seed(seed)
    for name in head_names(network):
        for layer in network.get_submodule(name).modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.normal_(layer.weight, std=HEAD_STD, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def check_architecture(architecture: str) -> None:
    """Raise ValueError, with the nearest names, unless timm knows the architecture."""
    import timm

    name, _, tag = architecture.partition(".")
    known = timm.list_models()
    if name in known and (not tag or architecture in timm.list_models(f"{name}.*", pretrained=True)):
        return
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    hint = f" Did you mean {', '.join(close)}?" if close else ""
    raise ValueError(f"{architecture!r} is not an architecture of timm {timm.__version__}.{hint}")


def check_input_size(*, built: BuiltClassifier, input_size: int) -> None:
    """Raise ValueError if the network cannot take square images of this side, in px."""
    if built.fixed_input_size and input_size != built.default_input_size:
        raise ValueError(
            f"{built.architecture} takes images of {built.default_input_size} px only, not {input_size}; "
            f"set input_size to {built.default_input_size}."
        )
    was_training = built.network.training
    parameter = next(built.network.parameters())
    probe = torch.zeros(1, NETWORK_CHANNELS, input_size, input_size, device=parameter.device)
    try:
        with torch.inference_mode():
            built.network.eval()(probe)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"{built.architecture} cannot take images of {input_size} px ({error}); "
            f"it was designed for {built.default_input_size}: set input_size to that, or nearer to it."
        ) from error
    finally:
        built.network.train(was_training)


def _check(*, num_classes: int, channels: int) -> None:
    if num_classes < 2:
        raise ValueError(f"A classifier needs at least two classes, not {num_classes}.")
    if channels not in (1, 3):
        raise ValueError(f"Images have 1 (grey) or 3 (RGB) channels, not {channels}.")
