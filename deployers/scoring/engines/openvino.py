"""OpenVINO on the CPU: the extra `openvino`.

Left alone it computes in bfloat16 wherever the processor has it, and answers are others than
training recorded: so that the precision is always said. Left alone it reports each start, too.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deployers.scoring import cores
from mlops_spec import bundle
from mlops_spec import network as networks
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from pathlib import Path

    from deployers.scoring.engines import Precision
    from mlops_spec.card import Card

PACKAGE = "openvino"
_DEVICE = "CPU"
_COMPUTED = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # what is not quantised
_KINDS = {"u8": "tensor(uint8)", "f32": "tensor(float)"}  # as ONNX calls them


@dataclass(frozen=True)
class Engine:
    """The bundle's network, compiled for this processor.

    Attributes:
        request: Of OpenVINO's, which computes one batch after the other.
        labels: How many logits it answers.
    """

    request: Any
    labels: int
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Logits (N, classes) of pictures (N, H, W, C).

        Raises:
            MlopsError: The network answers in another shape.
        """
        with self._turn:
            found = self.request.infer([pictures], share_inputs=True)[0]
        if found.shape != (len(pictures), self.labels):
            message = f"the network answers {found.shape}, not {(len(pictures), self.labels)}"
            raise MlopsError(message, "restore the bundle from its registry, or train again")
        return np.asarray(found, np.float32)


def demand(precision: Precision) -> None:
    """Refuses what this machine can not compute.

    Raises:
        MlopsError: OpenVINO is not installed, or the processor has no bfloat16 and it is asked for.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MlopsError("OpenVINO is not installed", "pip install 'mlops_spec[openvino]'")
    if precision == "bf16" and "BF16" not in library().Core().get_property(
        _DEVICE, "OPTIMIZATION_CAPABILITIES"
    ):
        message = "this processor does not compute in bf16"
        raise MlopsError(message, "choose precision: fp32 or int8, or a machine with AVX512_BF16")


def load(network: Path, card: Card, precision: Precision) -> Engine:
    """Opens a network file of a bundle whose card is known.

    Raises:
        MlopsError: OpenVINO is not installed, the processor has no bfloat16 and it is asked for,
            or the network is not what the card says.
    """
    demand(precision)
    core = library().Core()
    content = networks.content(network)
    try:
        model = core.read_model(content, b"")
        compiled = core.compile_model(model, _DEVICE, _settings(precision))
    except Exception as error:  # a damaged file fails in any way
        message = f"OpenVINO can not open {network} ({type(error).__name__}: {error})"
        raise MlopsError(message, "choose engine: onnxruntime, or train again") from error
    inputs, outputs = ([*map(_port, side)] for side in (compiled.inputs, compiled.outputs))
    networks.check(network, inputs, outputs, bundle.contract(card))
    return Engine(compiled.create_infer_request(), len(card.labels))


def library() -> Any:
    """OpenVINO, without what reports each import of it to Google Analytics unless one objects.

    It does without that package where there is none, and None stands for "there is none" here.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _settings(precision: Precision) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _COMPUTED[precision],
        "PERFORMANCE_HINT": "LATENCY",  # all cores work on one batch
        "INFERENCE_NUM_THREADS": cores.threads(),
        "ENABLE_CPU_PINNING": False,  # others, who decode, may be on any core
    }


def _port(found: Any) -> networks.Port:
    shape = [None if one.is_dynamic else one.get_length() for one in found.partial_shape]
    kind = found.element_type.get_type_name()
    return networks.Port(found.any_name, _KINDS.get(kind, kind), shape)
