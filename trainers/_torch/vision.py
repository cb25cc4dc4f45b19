"""torchvision, importable beside a CPU-only torch too.

torchvision's compiled extension may link against CUDA; where it can not load, `import torchvision`
fails with "operator torchvision::nms does not exist", although nothing here uses that operator.
Declaring the two schemas it looks for is enough. Only torchvision.io is missing then.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch


def _extension_loads() -> bool:
    found = importlib.util.find_spec("torchvision")
    assert found is not None
    assert found.submodule_search_locations
    for path in Path(found.submodule_search_locations[0]).glob("_C.*"):
        try:
            torch.ops.load_library(str(path))
        except OSError:
            continue
        return True
    return False


if torch.version.cuda is None and not _extension_loads():
    schemas = torch.library.Library(
        "torchvision", "DEF"
    )  # kept alive: it undeclares when collected
    for name in ("nms", "qnms"):
        schemas.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402 - only now
from torchvision.transforms import v2  # noqa: E402

__all__ = ["torchvision", "v2"]
