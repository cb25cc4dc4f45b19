"""A training that takes seconds: pictures of eight by eight pixels, its settings the preset's."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from mlops_spec import files, manifest
from mlops_spec.rows import Row
from mlops_spec.spec import ModelSpec
from mlops_spec.step_spec import StepSpec
from trainers._transfer_spec import Spec

PRESET = Path(__file__).resolve().parents[1] / "conf" / "training" / "transfer.yaml"
MODEL = {
    "backbone": "small_cnn",
    "weights": "none",
    "channels": 1,
    "resize": 8,
    "input_size": 8,
    "onnx_tolerance": 0.001,
}


def settings(**changes) -> Spec:
    """The preset with some values changed; those of a section are a mapping."""
    values = yaml.safe_load(PRESET.read_text("utf-8"))
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return Spec.model_validate(values)


def step(training: Spec) -> StepSpec:
    """What the training step reads."""
    return StepSpec(
        seed=3,
        model=ModelSpec.model_validate(
            {**MODEL, "head": {"hidden": 8, "dropout": 0.3, "keep": False}}
        ),
        training=training,
        compute={"accelerator": "cpu", "devices": 1, "nodes": 1},
    )


def pictures(folder: Path) -> Path:
    """Prepares noisy pictures of three classes, some rarer than others."""
    chance = np.random.default_rng(0)
    rows = []
    for label, count in enumerate((24, 16, 9)):
        for i in range(count):
            grey = chance.integers(0, 160, (8, 8)) + 95 * (np.arange(8) % 3 == label)
            content = io.BytesIO()
            Image.fromarray(grey.astype(np.uint8)).save(content, "PNG")
            path = f"{label}/{i}.png"
            files.write_bytes(folder / path, content.getvalue())
            split = ("val", "test", "train", "train")[i % 4] if i < 12 else "train"
            digest = hashlib.sha256(content.getvalue()).hexdigest()
            rows.append(Row(path, str(label), split, digest))
    manifest.write(folder, folder, rows)
    return folder


def start(training: Spec, data: Path, out: Path) -> subprocess.Popen[str]:
    """The training step as a process of its own, as the engine and a remote job start it."""
    spec = out.with_suffix(".json")
    files.write_json(spec, step(training).model_dump(exclude_none=True))
    words = ["train", "--spec", spec, "--data", data, "--out", out]
    return subprocess.Popen(
        [sys.executable, "-m", "trainers", *words],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(training: Spec, data: Path, out: Path) -> dict[int, str]:
    """Trains to the end; what was said of each epoch, without how fast it was."""
    process = start(training, data, out)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    lines = [line for line in said.splitlines() if line.startswith("epoch ")]
    return {int(line.split()[1].split("/")[0]): "  ".join(line.split("  ")[1:4]) for line in lines}
