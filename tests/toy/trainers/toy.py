"""`training.kind: toy`: the nearest mean brightness, as an ONNX network without torch."""

import base64
import shutil
import time
from pathlib import Path
from typing import Literal

from mlops_spec import bundle, manifest
from mlops_spec.errors import StateError
from mlops_spec.spec import OpenSection
from mlops_spec.step_spec import StepSpec


class Spec(OpenSection):
    kind: Literal["toy"]
    rounds: int
    pause: float
    fault: Literal["none", "crash", "hang", "once"]
    flip: bool


def train(spec: StepSpec, data_dir: Path, out_dir: Path, _weights: Path | None) -> dict[str, float]:
    import numpy as np

    checkpoints = out_dir / ".checkpoints"
    checkpoints.mkdir(exist_ok=True)
    done = len(list(checkpoints.iterdir()))
    if done:
        print(f"continuing after round {done}", flush=True)
    for number in range(done + 1, spec.training.rounds + 1):
        print(f"round {number}", flush=True)
        if spec.training.fault == "crash":
            raise RuntimeError("this trainer crashes")
        time.sleep(3600 if spec.training.fault == "hang" else spec.training.pause)
        (checkpoints / str(number)).touch()
        if spec.training.fault == "once" and not done:
            raise StateError("this trainer stops after its first round", "start it again")
    dataset = manifest.read(data_dir)
    size = spec.model.input_size
    how = bundle.Preprocessing(
        channels=spec.model.channels,
        resize=spec.model.resize,
        input_size=size,
        mean=(0.0,) * spec.model.channels,
        std=(1.0,) * spec.model.channels,
    )
    means = []
    for label in dataset.classes:
        rows = [row for row in dataset.split("train") if row.label == label]
        pictures = np.stack([bundle.pixels(dataset.content(row), how) for row in rows])
        means.append(pictures.mean() / 255)
    means = np.array(means[::-1] if spec.training.flip else means)
    _write(out_dir, means, how)
    card = bundle.Card(
        trainer="toy",
        labels=dataset.classes,
        preprocessing=how,
        data_digest=dataset.digest,
        spec=spec.model_dump(mode="json", exclude_none=True),
        versions={},
        golden=tuple(_golden(dataset, means, how)),
    )
    bundle.write(out_dir, card)
    shutil.rmtree(checkpoints)
    return {"rounds": float(spec.training.rounds)}


def _golden(dataset: manifest.Dataset, means, how: bundle.Preprocessing):
    """A picture of each class with the softmax of what the network answers for it."""
    import numpy as np

    for label in dataset.classes:
        row = next(row for row in dataset.split("train") if row.label == label)
        content = dataset.content(row)
        brightness = bundle.pixels(content, how).mean() / 255
        odds = np.exp(-10 * (brightness - means) ** 2)
        yield bundle.Golden(
            image=base64.b64encode(content).decode(),
            scores=tuple(map(float, odds / odds.sum())),
            labels=(label,),
            why="sure",
        )


def _write(out_dir: Path, means, how: bundle.Preprocessing) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import save_file

    # -(x - m)^2 without the part that all classes share: 2 m x - m^2, x being the mean brightness
    weight = np.repeat(means[:, None] * 20 / how.channels, how.channels, 1).astype(np.float32)
    bias = (-10 * means**2).astype(np.float32)
    save_file({"weight": weight, "bias": bias}, out_dir / "model.safetensors")
    constants = {"weight": weight, "bias": bias, "most": np.float32(255)}
    nodes = [
        helper.make_node("Cast", ["images"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["bytes", "most"], ["shares"]),
        helper.make_node("ReduceMean", ["shares"], ["x"], axes=[1, 2], keepdims=0),
        helper.make_node("Gemm", ["x", "weight", "bias"], ["logits"], transB=1),
    ]
    shape = ["batch", how.input_size, how.input_size, how.channels]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(means)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), out_dir / "model.onnx")
