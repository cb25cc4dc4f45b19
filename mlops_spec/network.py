"""`model.onnx`, opened: only what keeps the contract, and nothing that reaches beyond the file.

    images   uint8 (batch, input_size, input_size, channels)   as `bundle.pixels` makes them
    logits   float32 (batch, labels)

The file may come from anywhere. ONNX lets weights lie in other files by any path, which ONNX
Runtime would read; such a network is refused before it gets there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import onnxruntime

INPUT, OUTPUT = "images", "logits"
_CURE = "restore the bundle from its registry, or train again"
_FORMAT = ("session.load_model_format", "ONNX")  # and no other that ONNX Runtime may know
# Of onnx.proto: in which fields of a message which other messages lie, down to tensors.
_WITHIN = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of Tensor
_VARINT, _BYTES, _WIDTHS = 0, 2, {1: 8, 5: 4}  # wire types


class Contract(NamedTuple):
    """What a network must take and answer: its card says so.

    Attributes:
        side: Pixels of the pictures that it takes.
        channels: Of these pictures.
        labels: How many logits it answers.
    """

    side: int
    channels: int
    labels: int


class Port(NamedTuple):
    """An input or output as an engine found it; a dimension that is free is no number."""

    name: str
    kind: str
    shape: list[int | str | None]


def content(path: Path) -> bytes:
    """A network file that keeps all of its weights inside, as it is.

    Raises:
        MlopsError: It is damaged, or keeps weights in other files.
    """
    found = path.read_bytes()
    try:
        outside = _reaches_outside(found)
    except ValueError as error:
        raise MlopsError(f"{path} is damaged: {error}", _CURE) from error
    if outside:
        cure = "keep the weights inside of model.onnx: onnx.save(..., save_as_external_data=False)"
        raise MlopsError(f"{path} has weights in other files, which are not read", cure)
    return found


def session(path: Path, contract: Contract, threads: int = 0) -> onnxruntime.InferenceSession:
    """Opens a network on the CPU.

    Args:
        path: `model.onnx`.
        contract: What it must take and answer.
        threads: That compute; 0 for one on each physical core.

    Raises:
        MlopsError: It is damaged, keeps weights in other files, or takes and answers otherwise.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports its use, unless one objects
    import onnxruntime

    network = content(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # a plan for each size of a batch: 80 MB of 16 sizes
    options.add_session_config_entry(*_FORMAT)
    try:
        made = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a damaged file fails in any way
        message = f"ONNX Runtime can not open {path} ({type(error).__name__}: {error})"
        raise MlopsError(message, _CURE) from error
    sides = ([*made.get_inputs()], [*made.get_outputs()])
    inputs, outputs = ([Port(one.name, one.type, one.shape) for one in side] for side in sides)
    check(path, inputs, outputs, contract)
    return made


def check(path: Path, inputs: Sequence[Port], outputs: Sequence[Port], contract: Contract) -> None:
    """Refuses other inputs and outputs than the contract's.

    Raises:
        MlopsError: There are.
    """
    picture = [contract.side, contract.side, contract.channels]
    wanted = [(INPUT, "tensor(uint8)", picture), (OUTPUT, "tensor(float)", [contract.labels])]
    for found, (name, kind, shape) in zip((inputs, outputs), wanted, strict=True):
        said = ", ".join(f"{one.name} {one.kind} {one.shape}" for one in found)
        one = found[0] if len(found) == 1 else None
        free = one is not None and bool(one.shape) and not isinstance(one.shape[0], int)
        if one is None or (one.name, one.kind, one.shape[1:]) != (name, kind, shape) or not free:
            message = f"{path} has {said}, not {name} {kind} {['batch', *shape]}"
            raise MlopsError(message, _CURE)


def _reaches_outside(content: bytes) -> bool:
    """Whether any tensor of an ONNX file lies in another file.

    Raises:
        ValueError: The content is no message of protocol buffers.
    """
    todo = [("Model", memoryview(content))]
    while todo:
        message, part = todo.pop()
        inner = _WITHIN.get(message, {})
        for field, value in _fields(part):
            if message == "Tensor" and field in (_EXTERNAL_DATA, _DATA_LOCATION) and value:
                return True
            if field in inner and isinstance(value, memoryview):
                todo.append((inner[field], value))
    return False


def _fields(part: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message of protocol buffers; of fixed numbers only that they are there.

    Source: protobuf.dev/programming-guides/encoding.
    """
    at = 0
    while at < len(part):
        key, at = _varint(part, at)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(part, at)
            yield field, value
            continue
        if kind == _BYTES:
            length, at = _varint(part, at)
        elif kind in _WIDTHS:
            length = _WIDTHS[kind]
        else:
            raise ValueError(f"a field of the unknown wire type {kind}")
        if at + length > len(part):
            raise ValueError("it is cut off")
        yield field, part[at : at + length]
        at += length


def _varint(part: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the least first, and where it ends."""
    value = shift = 0
    while at < len(part) and shift < 70:  # noqa: PLR2004 - ten bytes at most
        byte = part[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the last byte
            return value, at
    raise ValueError("a number is cut off")
