"""A network in int8: static quantisation by ONNX Runtime's own tools.

Weights are int8 with a scale for each output channel, activations uint8 with a range that images
showed in calibration: the format (QDQ) that both engines compute as integers. These stay float32:

- what prepares a picture, and the first layer. OpenVINO 2026.4 answers otherwise with that in int8
  where pictures are grey (a probability off by 0.95), and one picture takes it longer.
- the last layer: of 256 logits there would be few that differ.
- what int8 is known to hurt: softmax, norms, products of activations.

Source: onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import network
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import onnx

_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_BETWEEN = ("Add", "AveragePool", "Concat", "GlobalAveragePool", "MaxPool")


def quantised(content: bytes, batches: Iterator[np.ndarray]) -> bytes:
    """A network's content with int8 in it: the same for the same network and pictures.

    Args:
        content: Of `model.onnx`, with all weights inside.
        batches: Pictures to calibrate with: uint8 (N, H, W, C) each.

    Raises:
        MlopsError: It has nothing to quantise, or ONNX Runtime can not do it.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as name:
        whole, before, after = (Path(name) / f"{one}.onnx" for one in ("whole", "before", "after"))
        whole.write_bytes(content)
        try:
            quant_pre_process(whole, before, skip_symbolic_shape=True)
            some = to_quantise(onnx.load_model(before))
            quantization.quantize_static(
                before,
                after,
                _Reader(batches),
                quant_format=quantization.QuantFormat.QDQ,
                nodes_to_quantize=some,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
        except MlopsError:
            raise
        except Exception as error:  # of a network that nobody vouches for anything may come
            message = f"the network can not be quantised ({type(error).__name__}: {error})"
            raise MlopsError(message, "serve it in fp32 or bf16") from error
        return after.read_bytes()


def to_quantise(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that are computed in int8: between the first layer and the last one.

    The nodes of a graph are sorted: each comes after those that it takes from.

    Raises:
        MlopsError: There are none.
    """
    some = []
    behind: set[str] = set()  # what the first layers answer, and what is made of that
    for node in model.graph.node:
        inside = bool(behind.intersection(node.input))
        if inside or node.op_type in _WITH_WEIGHTS:
            behind.update(node.output)
        last = network.OUTPUT in node.output
        if inside and not last and node.op_type in (*_WITH_WEIGHTS, *_BETWEEN):
            some.append(node.name)
    if not some:
        raise MlopsError("the network has nothing that int8 is for", "serve it in fp32 or bf16")
    return some


class _Reader:
    """Pictures as the calibration asks for them, a batch after the other."""

    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Any] | None:
        """The next batch by the input's name; None after the last one."""
        batch = next(self._batches, None)
        return None if batch is None else {network.INPUT: batch}

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> dict[str, Any]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch
