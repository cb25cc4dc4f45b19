"""A bundle with a real network, and its data: stripes and dots told apart by a small CNN.

Layers are random; only the last one is fitted, by least squares, so that it takes no trainer.
"""

import hashlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file

from mlops_spec import bundle, golden, manifest
from mlops_spec.bundle import Card, Preprocessing
from mlops_spec.rows import Row

HOW = Preprocessing(channels=3, resize=16, input_size=16, mean=(0.3, 0.5, 0.6), std=(0.2, 0.3, 0.2))
LABELS = ("across", "dots", "down")
IMAGES = {"train": 90, "val": 40, "test": 90}
WIDTH = 16


def picture(label, chance):
    """Stripes or dots under noise: uint8 (16, 16, 3)."""
    y, x = np.mgrid[0:16, 0:16] + chance.integers(0, 4)
    wave = {"across": y % 4 < 2, "down": x % 4 < 2, "dots": (y % 4 < 2) & (x % 4 < 2)}[label]
    color = chance.integers(60, 200, 3)
    noisy = wave[:, :, None] * color + chance.normal(60, 60, (16, 16, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def data_set(folder, seed=0):
    chance, rows = np.random.default_rng(seed), []
    for split, count in IMAGES.items():
        for number in range(count):
            label = LABELS[number % 3]
            path = folder / "images" / f"{split}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(label, chance)).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append(Row(f"images/{path.name}", label, split, digest))
    return manifest.write(folder, folder, rows)


def network(head, bias, seed=0):
    """Normalisation, three convolutions, one of them beside a shortcut, and a linear layer."""
    chance = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Cast", ["images"], ["bytes"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Div", ["bytes", "most"], ["shares"], "div"),
        helper.make_node("Sub", ["shares", "mean"], ["centred"], "sub"),
        helper.make_node("Div", ["centred", "std"], ["scaled"], "scale"),
        helper.make_node("Transpose", ["scaled"], ["planes"], "planes", perm=[0, 3, 1, 2]),
    ]
    numbers = {"most": 255, "mean": HOW.mean, "std": HOW.std, "head": head, "bias": bias}
    before, channels = "planes", 3
    for name in ("first", "second", "third"):
        weights = chance.normal(size=(WIDTH, channels, 3, 3)) / np.sqrt(channels * 4.5)
        numbers[f"{name}.weight"], numbers[f"{name}.bias"] = weights, chance.normal(size=WIDTH) / 4
        taken = [before, f"{name}.weight", f"{name}.bias"]
        nodes.append(helper.make_node("Conv", taken, [f"{name}.out"], name, pads=[1] * 4))
        out = f"{name}.out"
        if name == "third":
            nodes.append(helper.make_node("Add", [out, before], ["sum"], "add"))
            out = "sum"
        nodes.append(helper.make_node("Relu", [out], [f"{name}.relu"], f"{name}.relu"))
        before, channels = f"{name}.relu", WIDTH
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["features"], "flatten"),
        helper.make_node("Gemm", ["features", "head", "bias"], ["logits"], "linear"),
    ]
    constants = [
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in numbers.items()
    ]
    shape = ["batch", HOW.input_size, HOW.input_size, HOW.channels]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, shape)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(bias)])
    graph = helper.make_graph(nodes, "stripes", [images], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def fitted(dataset):
    """The network with a last layer that answers right where it can."""
    rows = dataset.split("train")
    pictures = np.stack([bundle.pixels(dataset.content(row), HOW) for row in rows])
    as_is = network(np.eye(WIDTH), np.zeros(WIDTH)).SerializeToString()
    (features,) = onnxruntime.InferenceSession(as_is).run(None, {"images": pictures})
    wanted = 6.0 * np.eye(len(LABELS))[dataset.targets(rows)] - 3
    known = np.hstack([features, np.ones((len(rows), 1))])
    solved = np.linalg.lstsq(known.T @ known + 1e-3 * np.eye(WIDTH + 1), known.T @ wanted, None)[0]
    return network(solved[:-1], solved[-1])


def make(folder):
    """Writes `folder`/data and `folder`/bundle; returns their paths."""
    dataset = data_set(folder / "data")
    place = folder / "bundle"
    place.mkdir()
    onnx.save(fitted(dataset), place / "model.onnx")
    save_file({"nothing": np.zeros(1, np.float32)}, place / "model.safetensors")
    card = Card(
        trainer="by hand",
        labels=LABELS,
        preprocessing=HOW,
        data_digest=dataset.digest,
        spec={},
        versions={},
        golden=(),
    )
    model, rows = bundle.opened(place, card), dataset.split("val")
    logits = model.logits([dataset.content(row) for row in rows])
    bundle.write(
        place, card.model_copy(update={"golden": golden.record(model, dataset, rows, logits)})
    )
    return place, folder / "data"
