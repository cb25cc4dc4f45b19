"""What computes: each module here opens a network, and answers pictures by it.

onnxruntime  float32 and int8, wherever there is Python
openvino     float32, int8, and bfloat16 on a processor that has it; faster on most x86
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Literal, Protocol, cast

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlops_spec.card import Card

Precision = Literal["fp32", "bf16", "int8"]


class Engine(Protocol):
    """A network that is ready; several threads may ask."""

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Logits (N, classes), float32, of pictures: uint8 (N, H, W, C)."""
        ...


class Backend(Protocol):
    """What each module here is."""

    PACKAGE: str  # of Python, whose version decides what is computed

    def demand(self, precision: Precision) -> None:
        """Refuses what can not be computed on this machine, whatever the network.

        Raises:
            MlopsError: The library is not installed, or it or the processor can not compute in
                this precision.
        """
        ...

    def load(self, network: Path, card: Card, precision: Precision) -> Engine:
        """Opens a network file.

        Args:
            network: Of a bundle; for int8 the one that was quantised.
            card: The bundle's.
            precision: What to compute in.

        Raises:
            MlopsError: The library is not installed, it or the processor can not compute in this
                precision, or the network is not what the card says.
        """
        ...


def names() -> list[str]:
    """The engines that there are, installed or not."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def named(name: str) -> Backend:
    """One of them."""
    return cast("Backend", importlib.import_module(f"{__name__}.{name}"))
