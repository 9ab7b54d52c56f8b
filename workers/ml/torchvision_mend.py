"""Let torchvision be imported beside a torch build for which its compiled operators do not load.

PyPI has no CPU wheel of torchvision, so beside a CPU torch `import torchvision` raises "operator torchvision::nms does
not exist". Declaring the two schemas it registers shapes for is enough; the operators themselves are never called here.
The mend happens when somebody imports torchvision, so that numerics without networks never load torch.
"""

import logging
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, cast

logger = logging.getLogger(__name__)

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_libraries: list[Any] = []  # torch.library.Library: a fragment lives as long as its object


def mend_torchvision() -> None:
    """From now on `import torchvision` declares its missing operators if it cannot be imported otherwise."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "torchvision":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Mending(spec.loader)
        return spec


class _Mending(Loader):
    """Runs torchvision by the loader that it has; once more, mended, if its operators are what it lacks."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        try:
            self._loader.exec_module(module)
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                raise
            _declare_schemas()
            _forget_half_imported()
            self._loader.exec_module(module)


def _declare_schemas() -> None:
    import torch

    library = cast("Any", torch.library.Library)("torchvision", "FRAGMENT")  # untyped
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _libraries.append(library)
    logger.info("torchvision's compiled operators do not load beside torch %s; declared them.", torch.__version__)


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
