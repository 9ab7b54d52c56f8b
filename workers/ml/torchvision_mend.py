"""Let torchvision be imported beside a torch build for which its compiled operators do not load.

PyPI has no CPU wheel of torchvision, so beside a CPU torch `import torchvision` raises "operator torchvision::nms does
not exist". Declaring the two schemas it registers shapes for is enough; the operators themselves are never called here.
"""

import importlib
import logging
import sys
from typing import Any, cast

import torch

logger = logging.getLogger(__name__)

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_libraries: list[torch.library.Library] = []  # a fragment lives as long as its Library object


def mend_torchvision() -> bool:
    """Import torchvision, declaring its missing operators if it cannot be imported otherwise.

    Returns True if a mend was needed. A missing torchvision is left to whoever imports it. Raises the RuntimeError of
    the import when it has another cause.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return False
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    else:
        return False
    _declare_schemas()
    _forget_half_imported()
    importlib.import_module("torchvision")
    logger.info("torchvision's compiled operators do not load beside torch %s; declared them.", torch.__version__)
    return True


def _declare_schemas() -> None:
    library = cast("Any", torch.library.Library)("torchvision", "FRAGMENT")  # untyped
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _libraries.append(library)


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
