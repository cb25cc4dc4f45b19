"""`model.onnx` comes from anywhere: what breaks the contract or reaches out of it is refused."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import small_bundle
from onnx import TensorProto, helper
from scoring import start

from mlops_spec import bundle, files, network
from mlops_spec.errors import MlopsError

WEIGHTS = np.eye(3, dtype=np.float32)


@pytest.fixture
def folder(tmp_path):
    return small_bundle.make(tmp_path / "bundle")


def replaced(folder, content):
    """A bundle whose network was exchanged by somebody who knows to correct the digest too."""
    content = content if isinstance(content, bytes) else content.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    document = json.loads((folder / "model.json").read_text("utf-8"))
    document["digests"]["model.onnx"] = files.sha256_file(folder / "model.onnx")
    (folder / "model.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_what_opens_a_network_reports_nothing_unless_asked_to(folder, monkeypatch):
    """ONNX Runtime looks once, when it is imported: in a process that has not imported it yet."""
    opens = "import os, sys; from pathlib import Path; from mlops_spec import bundle; "
    opens += "bundle.load(Path(sys.argv[1])); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, found in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
        if given:
            monkeypatch.setenv("ORT_DISABLE_TELEMETRY", given)
        words = [sys.executable, "-c", opens, str(folder)]
        assert subprocess.check_output(words, text=True).strip() == found


def small(**changes):
    return small_bundle.network(WEIGHTS, small_bundle.HOW, **changes)


def refused(folder):
    with pytest.raises(MlopsError) as caught:
        bundle.load(folder)
    assert "model.onnx" in caught.value.message
    assert caught.value.cure
    return caught.value.message


def test_the_network_itself_is_fine(folder):
    model = bundle.load(replaced(folder, small()))
    assert model.answer(np.zeros((2, 8, 8, 3), np.uint8)).tolist() == [[0, 0, 0]] * 2


OTHERS = {
    "another input": {"names": ("pixels", "logits")},
    "another output": {"names": ("images", "probabilities")},
    "floats": {"kind": TensorProto.FLOAT},
    "no square": {"shape": ("batch", 8, 4, 3)},
    "another size": {"shape": ("batch", 16, 16, 3)},
    "grey": {"shape": ("batch", 8, 8, 1)},
    "a size that is free": {"shape": ("batch", "height", "width", 3)},
    "a batch of one": {"shape": (1, 8, 8, 3)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_inputs_and_outputs_are_refused(folder, name):
    said = refused(replaced(folder, small(**OTHERS[name])))
    assert "not images tensor(uint8)" in said or "not logits tensor(float)" in said


def test_another_number_of_labels_is_refused(folder):
    other = small_bundle.network(np.ones((3, 5), np.float32), small_bundle.HOW)
    assert "not logits tensor(float) ['batch', 3]" in refused(replaced(folder, other))


def test_a_second_input_is_refused(folder):
    made = small()
    second = helper.make_tensor_value_info("more", TensorProto.UINT8, ["batch"])
    made.graph.input.append(second)
    assert "more" in refused(replaced(folder, made))


def outside(tensor):
    """Says that a tensor lies in a file which is not ours."""
    shape = tensor.dims[:]
    tensor.Clear()
    tensor.name, tensor.data_type = "weights", TensorProto.FLOAT
    tensor.dims.extend(shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")


def of_the_graph():
    made = small()
    outside(made.graph.initializer[3])
    return made


def of_a_constant():
    made = small()
    node = made.graph.node.add(op_type="Constant", output=["unused"])
    node.attribute.append(helper.make_attribute("value", made.graph.initializer[3]))
    outside(node.attribute[0].t)
    return made


def of_a_branch():
    made = small()
    inner = helper.make_graph([], "branch", [], [], [made.graph.initializer[3]])
    outside(inner.initializer[0])
    node = made.graph.node.add(op_type="If", input=["x"], output=["y"])
    node.attribute.append(helper.make_attribute("then_branch", inner))
    return made


def of_a_function():
    made = small()
    inner = helper.make_node("Constant", [], ["y"], value=made.graph.initializer[3])
    outside(inner.attribute[0].t)
    opset = [helper.make_opsetid("", 17)]
    made.functions.append(helper.make_function("own", "f", [], ["y"], [inner], opset))
    return made


def of_a_sparse_tensor():
    made = small()
    sparse = made.graph.sparse_initializer.add()
    sparse.values.CopyFrom(made.graph.initializer[3])
    outside(sparse.values)
    return made


def of_a_sparse_constant():
    made = small()
    node = made.graph.node.add(op_type="Constant", output=["unused"])
    sparse = onnx.SparseTensorProto(values=made.graph.initializer[3], dims=[3])
    outside(sparse.values)
    node.attribute.append(helper.make_attribute("sparse_value", sparse))
    return made


def of_a_list():
    made = small()
    node = made.graph.node.add(op_type="Own", output=["unused"])
    node.attribute.append(helper.make_attribute("all", [made.graph.initializer[3]]))
    outside(node.attribute[0].tensors[0])
    return made


def said_only():
    made = small()
    made.graph.initializer[3].external_data.add(key="location", value="/etc/passwd")
    return made


PLACES = [
    of_the_graph,
    of_a_constant,
    of_a_branch,
    of_a_function,
    of_a_sparse_tensor,
    of_a_sparse_constant,
    of_a_list,
    said_only,
]


@pytest.mark.parametrize("made", PLACES, ids=lambda made: made.__name__)
def test_weights_in_other_files_are_refused_before_anything_is_opened(folder, made, monkeypatch):
    (folder.parent / "secret.bin").write_bytes(WEIGHTS.tobytes())
    opened = "onnxruntime.InferenceSession"
    monkeypatch.setattr(opened, lambda *_, **__: pytest.fail("it was opened"))
    assert "has weights in other files" in refused(replaced(folder, made()))


BYTES = {
    "nothing": b"",
    "text": b"this is no network",
    "zeros": b"\0" * 100,
    "an endless number": b"\xff" * 100,
    "a length beyond the end": b"\x3a\xff\xff\xff\x7f",
    "another format that the engine knows": b"\x18\0\0\0ORTM" + b"\0" * 100,
}


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_network_is_refused(folder, name):
    refused(replaced(folder, BYTES[name]))


def test_a_network_is_never_taken_for_the_engine_s_own_format(folder):
    """Which is told by its fifth to eighth byte, here those of a name."""
    polyglot = b"\x12\x06__ORTM" + small().SerializeToString()
    assert polyglot[4:8] == b"ORTM"
    model = bundle.load(replaced(folder, polyglot))
    assert model.answer(np.zeros((1, 8, 8, 3), np.uint8)).tolist() == [[0, 0, 0]]


def test_a_network_that_is_cut_off_is_refused_wherever_it_ends(folder):
    whole = small().SerializeToString()
    for end in range(0, len(whole), 7):
        refused(replaced(folder, whole[:end]))


def test_an_operator_that_nobody_knows_is_refused(folder):
    made = small()
    made.graph.node[0].op_type = "RunProgram"
    assert "can not open" in refused(replaced(folder, made))


def test_a_service_says_so_and_leaves(folder, tmp_path):
    replaced(folder, b"no network")
    client = start(folder, tmp_path / "service")
    assert client.process.wait(60) == 1
    said = client.log.read_text("utf-8")
    assert "error:" in said
    assert "model.onnx is damaged" in said
    assert "Traceback" not in said


def test_graphs_within_graphs_are_followed_however_deep():
    """Protocol buffers have no bound of their own here, and neither has this reader a stack."""
    graph = onnx.GraphProto(name="inner", initializer=[small().graph.initializer[3]])
    outside(graph.initializer[0])
    content = graph.SerializeToString()
    for field in (6, 5, 1) * 2000:  # a graph in an attribute of a node of a graph
        content = bytes([field << 3 | 2]) + varint(len(content)) + content
    assert network._reaches_outside(b"\x3a" + varint(len(content)) + content)


def varint(number):
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
