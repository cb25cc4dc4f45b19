"""ONNX Runtime on the CPU: in float32 what judged the model, everywhere there is.

On x86 it has no bfloat16. An int8 network is one file for every engine: of QuantizeLinear and
DequantizeLinear between float32 operators, which are computed as integers where there are kernels.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployers.scoring import cores
from mlops_spec import bundle
from mlops_spec import network as networks
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from deployers.scoring.engines import Precision
    from mlops_spec.card import Card

PACKAGE = "onnxruntime"


@dataclass(frozen=True)
class Engine:
    """The bundle's network."""

    model: bundle.Model

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Logits (N, classes) of pictures (N, H, W, C)."""
        return self.model.answer(pictures)


def demand(precision: Precision) -> None:
    """Refuses bfloat16.

    Raises:
        MlopsError: It is asked for, or ONNX Runtime is not installed.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MlopsError("ONNX Runtime is not installed", "pip install onnxruntime")
    if precision == "bf16":
        message = "ONNX Runtime does not compute in bf16 on this kind of processor"
        cure = "choose engine: openvino (pip install 'mlops_spec[openvino]'), or another precision"
        raise MlopsError(message, cure)


def load(network: Path, card: Card, precision: Precision) -> Engine:
    """Opens a network file of a bundle whose card is known.

    Raises:
        MlopsError: bfloat16 is asked for, or the network is not what the card says.
    """
    demand(precision)
    session = networks.session(network, bundle.contract(card), cores.threads())
    return Engine(bundle.Model(card, session))
