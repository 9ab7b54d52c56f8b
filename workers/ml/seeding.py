"""Seeds derived from names, and the random states that a checkpoint must carry.

Python's own hash() changes from process to process, so seeds are taken from a sha256 of their parts.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

RANDOM_STATES = ("python", "numpy", "torch")


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on every part, its type and its place; equal on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(*parts: int | str, device: str) -> torch.Generator:
    """Return a torch generator on `device`, seeded from the parts."""
    return torch.Generator(device=device).manual_seed(derive_seed(*parts))


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """Return a numpy generator seeded from the parts."""
    return np.random.default_rng(derive_seed(*parts))


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Run a block with all global random states seeded from the parts; put the former states back afterwards."""
    before = capture_random_states()
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        restore_random_states(*before)


def capture_random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return every global random state as (tensors, JSON-able values): python, numpy, torch and each CUDA device."""
    _, keys, position, has_gauss, cached = np.random.get_state()
    version, words, gauss = random.getstate()
    tensors = {
        "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "python": torch.tensor(words, dtype=torch.int64),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        tensors |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return tensors, {
        "numpy": [int(position), int(has_gauss), float(cached)],
        "python": [version, gauss],
        "cuda_devices": torch.cuda.device_count() if torch.cuda.is_available() else 0,
    }


def restore_random_states(tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Put back what `capture_random_states` returned.

    Raises ValueError if any state is missing or if the number of CUDA devices differs: going on with another
    stream of random numbers would look like an exact resume without being one.
    """
    _check_complete(tensors, values)
    version, gauss = values["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    position, has_gauss, cached = values["numpy"]
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, cached))
    torch.set_rng_state(tensors["torch"])
    if values["cuda_devices"]:
        torch.cuda.set_rng_state_all([tensors[f"cuda{i}"] for i in range(values["cuda_devices"])])


def _check_complete(tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    expected = [*RANDOM_STATES, *(f"cuda{i}" for i in range(values.get("cuda_devices", 0)))]
    missing = [name for name in expected if name not in tensors]
    missing += [f"{name} (values)" for name in ("numpy", "python", "cuda_devices") if name not in values]
    if missing:
        raise ValueError(f"The checkpoint lacks random states: {', '.join(missing)}. Resume from an older one.")
    if values["cuda_devices"] != present:
        raise ValueError(
            f"The checkpoint was written with {values['cuda_devices']} CUDA devices and this process sees {present}. "
            "Resume on a machine with as many."
        )
