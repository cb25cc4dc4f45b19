"""Training as a user starts it, against plain Lightning and against the loop that tutorials teach.

Each side is a process with the same images, network, batch size, augmentation and epochs on a CPU.
They start one after another; once each is past its first epoch they take turns, an epoch each.

python bench/train.py
"""

from __future__ import annotations

import hashlib
import io
import signal
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _common import repeats, report, rounded
from _turns import Side
from PIL import Image

from mlops_spec import files, manifest
from mlops_spec.conf_files import installed
from mlops_spec.manifest import Row

HERE = Path(__file__).resolve().parent
TURNS = repeats(5)  # epochs that are timed; one before them is not
BATCH = 32
IMAGES = {"train": 48, "val": 8, "test": 1}  # of each class
CLASSES = 4
WIDTH, HEIGHT = 320, 240
LEAST, MOST = 0.95, 1.25

SCENARIOS = {
    "small_cnn": {"backbone": "small_cnn", "resize": 72, "input_size": 64},
    "frozen resnet18": {"backbone": "resnet18", "resize": 146, "input_size": 128},
}
MODEL = {
    "weights": "none",
    "channels": 3,
    "head": {"hidden": 0, "dropout": 0.2, "keep": False},
    "onnx_tolerance": 0.001,
}


def photograph(chance: np.random.Generator, label: int) -> bytes:
    """A JPEG file with detail as in a photograph: coarse noise, finer and weaker noise on it."""
    picture = np.full((HEIGHT, WIDTH, 3), 128.0)
    for cells, strength in ((3, 50), (9, 30), (30, 15), (90, 8)):
        noise = chance.normal(128, strength, (cells, cells, 3)).clip(0, 255)
        coarse = Image.fromarray(noise.astype(np.uint8))
        picture += np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) - 128.0
    picture[..., label % 3] += 20 * (label // 3 + 1)
    content = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def photographs(folder: Path) -> None:
    """A prepared data set whose files lie in SPLIT/CLASS, where torchvision's ImageFolder looks."""
    chance, rows = np.random.default_rng(0), []
    for split, count in IMAGES.items():
        for i in range(count * CLASSES):
            label = i % CLASSES
            content, path = photograph(chance, label), f"{split}/{label}/{i}.jpg"
            files.write_bytes(folder / path, content)
            rows.append(Row(path, str(label), split, hashlib.sha256(content).hexdigest()))
    manifest.write(folder, folder, rows)


def preset(name: str) -> dict[str, Any]:
    """The values of an installed preset."""
    values: dict[str, Any] = yaml.safe_load((installed() / f"{name}.yaml").read_text("utf-8"))
    return values


def settings(freeze: str) -> dict[str, Any]:
    """The trainer's preset, but for what the tutorial does otherwise."""
    values = preset("training/transfer")
    values |= {"epochs": 1 + TURNS, "batch_size": BATCH, "optimizer": "adam", "lr": 0.001}
    values["weight_decay"] = 0.0
    values["schedule"] |= {"kind": "step", "step_epochs": 7}
    values["freeze"]["mode"] = freeze
    values["augment"]["horizontal_flip"] = True
    return values


def commands(name: str, data: Path, out: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """What starts each side: words for Python, and variables of the environment."""
    spec = out / "spec.json"
    training = settings("backbone" if name.startswith("frozen") else "none")
    compute = {"accelerator": "cpu", "devices": 1, "nodes": 1}
    model = MODEL | SCENARIOS[name]
    files.write_json(spec, {"seed": 0, "model": model, "training": training, "compute": compute})
    step = [*("-m", "trainers", "train"), *("--spec", str(spec), "--data", str(data), "--out")]
    given = [str(spec), str(data)]
    return {
        # As the engine starts it: compute=local says which variables a step gets.
        "ours": ([*step, str(out / "ours")], preset("compute/local")["environment"]),
        "lightning": ([str(HERE / "_train_lightning.py"), *given, str(out / "lightning")], {}),
        "loop": ([str(HERE / "_train_loop.py"), *given, str(out / "loop")], {}),
    }


def measured(name: str, data: Path, out: Path) -> dict[str, dict[str, float]]:
    """Each number by side."""
    sides, first = {}, {}
    with ExitStack() as stack:
        for side, (words, extra) in commands(name, data, out).items():
            sides[side] = Side(words, extra)
            stack.callback(sides[side].kill)
            first[side] = sides[side].epoch()
        before = {side: one.cpu() for side, one in sides.items()}
        turns = [{side: one.epoch() for side, one in sides.items()} for _ in range(TURNS)]
        cpu = {side: (one.cpu() - before[side]) / TURNS for side, one in sides.items()}
        resident = {side: one.resident() for side, one in sides.items()}
        ends = {side: one.end() for side, one in sides.items()}
    epoch = {side: statistics.median(turn[side] for turn in turns) for side in sides}
    images = IMAGES["train"] * CLASSES
    return {
        "images_per_second": {side: images / epoch[side] for side in sides},
        "images_per_cpu_second": {side: images / cpu[side] for side in sides},
        "peak_megabytes": resident,
        "peak_megabytes_to_the_end": {side: ends[side][1] for side in sides},
        "start_seconds": {side: first[side] - epoch[side] for side in sides},
        "end_seconds": {side: ends[side][0] for side in sides},
    }


def ratios(scenarios: dict[str, dict[str, dict[str, float]]], what: str) -> dict[str, float]:
    """Ours by the others', of each scenario."""
    return {
        f"{name}: ours / {peer}": numbers[what]["ours"] / numbers[what][peer]
        for name, numbers in scenarios.items()
        for peer in ("lightning", "loop")
    }


def main() -> None:
    """Measures one network after the other."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or stopped processes would stay
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        photographs(here / "data")
        scenarios = {name: measured(name, here / "data", here / name) for name in SCENARIOS}
    compared = {
        what: ratios(scenarios, what)
        for what in ("images_per_second", "images_per_cpu_second", "peak_megabytes")
    }
    speed = [compared["images_per_second"][f"{name}: ours / lightning"] for name in SCENARIOS]
    memory = [compared["peak_megabytes"][f"{name}: ours / lightning"] for name in SCENARIOS]
    report(
        {
            "n": TURNS,
            **{
                name: {what: rounded(values) for what, values in numbers.items()}
                for name, numbers in scenarios.items()
            },
            "ratios": {what: rounded(values) for what, values in compared.items()},
            "target": f"ours / lightning: images a second >= {LEAST}, peak memory <= {MOST}",
            "met": min(speed) >= LEAST and max(memory) <= MOST,
        }
    )


if __name__ == "__main__":
    main()
