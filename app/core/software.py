"""Which versions of which packages a process runs with: what a figure rests on beside its settings."""

import functools
import importlib.metadata
import platform
from collections.abc import Mapping

from app import VERSION

PACKAGES = (
    "torch", "torchvision", "diffusers", "timm", "lime", "numpy", "scipy", "scikit-learn", "scikit-image", "pillow", "safetensors",
    "SQLAlchemy", "celery",
)  # fmt: skip


@functools.cache
def versions() -> Mapping[str, str]:
    """{package: version} of the studio, Python and the packages that are installed; nothing is imported for it."""
    found = {"Phantom Studio": VERSION, "Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
