"""A bundle without training: the network answers how bright each channel is."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file

from mlops_spec import bundle, manifest
from mlops_spec.bundle import Card, Preprocessing
from mlops_spec.rows import Row

HOW = Preprocessing(channels=3, resize=8, input_size=8, mean=(0.0,) * 3, std=(1.0,) * 3)
LABELS = ("blue", "green", "red")
NAMES = ("images", "logits")
COLORS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def make(folder, labels=LABELS, how=HOW, scale=4.0, **card):
    """Writes a bundle: logits are `scale` times the mean of the channels, blue first."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.flipud(np.eye(3, dtype=np.float32)) * scale
    save_file({"head": np.ascontiguousarray(weights)}, folder / "model.safetensors")
    onnx.save(network(weights, how), folder / "model.onnx")
    values = {
        "trainer": "by hand",
        "data_digest": "0123456789abcdef",
        "spec": {"seed": 0, "model": {"backbone": "brightness"}},
        "versions": {"onnx": "1"},
        "golden": (),
    }
    bundle.write(folder, Card(labels=labels, preprocessing=how, **{**values, **card}))
    return folder


def network(weights, how, shape=("batch", 8, 8, 3), kind=TensorProto.UINT8, names=NAMES):
    """Normalises pictures, averages each channel, and multiplies by weights (channels, classes)."""
    first, last = names
    nodes = [
        helper.make_node("Cast", [first], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["bytes", "most"], ["shares"]),
        helper.make_node("Sub", ["shares", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], [last]),
    ]
    numbers = {"most": 255, "mean": how.mean, "std": how.std, "weights": weights}
    constants = [
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in numbers.items()
    ]
    images = helper.make_tensor_value_info(first, kind, shape)
    logits = helper.make_tensor_value_info(last, TensorProto.FLOAT, [shape[0], weights.shape[1]])
    graph = helper.make_graph(nodes, "small", [images], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def data_set(folder, labels=LABELS, wrong=0, most=255):
    """A data set of plain colours, two images a class and split; `wrong` test images deceive.

    No channel is brighter than `most`.
    """
    rows = []
    for position, label in enumerate(labels):
        for split in manifest.SPLITS:
            for number in range(2):
                color = COLORS[LABELS[position % 3]]
                if split == "test" and wrong:
                    color, wrong = COLORS[LABELS[position - 1]], wrong - 1
                path = folder / "images" / f"{position}" / f"{split}{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                color = tuple(min(value, most) for value in color)
                picture = Image.new("RGB", (9 + number, 12 + manifest.SPLITS.index(split)), color)
                picture.save(path)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                rows.append(Row(str(path.relative_to(folder)), label, split, digest))
    return manifest.write(folder, folder, rows)
