"""Each engine and precision by itself: one image, and batches of 16, in turns in one process.

python bench/engines.py    # a ResNet-18 at 224 pixels that learned nothing
python bench/engines.py BUNDLE DATA    # a model of yours, with accuracy beside speed
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _common import repeats, report, rounded
from evaluate import model, photographs

from deployers.scoring import accuracy, int8, quantize
from mlops_spec import bundle, manifest, network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deployers.scoring.engines import Engine

BATCH, TURNS = 16, repeats(7)
RUNS = {1: 5, BATCH: 2}  # in a turn, after one that does not count: others' threads may still spin
CALIBRATED = 64
RATIOS = {"bf16": 1.5, "int8": 2.0}  # images a second against the fastest fp32


def seconds(some: Mapping[str, Engine], pictures: np.ndarray) -> dict[str, float]:
    """Median seconds of each for some pictures."""
    taken: dict[str, list[float]] = {name: [] for name in some}
    for _ in range(TURNS):
        for name, engine in some.items():
            engine.logits(pictures)
            for _ in range(RUNS[len(pictures)]):
                begin = time.perf_counter()
                engine.logits(pictures)
                taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in taken.items()}


def measure(bundle_dir: Path, data_dir: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds, images a second and accuracy of each engine and precision."""
    card, dataset = bundle.read(bundle_dir), manifest.read(data_dir)
    whole, small = bundle_dir / bundle.FILES[1], folder / "int8.onnx"
    rows = dataset.split("val")[:CALIBRATED]
    batches = accuracy.batches(dataset, rows, card, BATCH)
    small.write_bytes(int8.quantised(network.content(whole), batches))
    found = quantize.opened(whole, small, card)
    some = {f"{engine} {precision}": ready for (engine, precision), ready in found.items()}
    how = card.preprocessing
    shape = (BATCH, how.input_size, how.input_size, how.channels)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    one, many = seconds(some, pictures[:1]), seconds(some, pictures)
    worth = accuracy.measure(found, dataset, card, BATCH)
    return {
        "ms": {name: taken * 1000 for name, taken in one.items()},
        "images/s": {name: BATCH / taken for name, taken in many.items()},
        "accuracy": {f"{each.engine} {each.precision}": each.accuracy for each in worth},
    }


def main() -> None:
    """Measures, and says how much faster than float32 the others are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        data = args.data or here / "data"
        folder = args.bundle or model(here / "bundle", photographs(data, 10, BATCH))
        found = measure(folder, data, here)
    speed = found["images/s"]
    best = {
        precision: max(value for key, value in speed.items() if key.endswith(precision))
        for precision in ("fp32", *RATIOS)
        if any(key.endswith(precision) for key in speed)
    }
    ratios = {f"{name} / fp32": best[name] / best["fp32"] for name in best if name != "fp32"}
    if not args.bundle:
        del found["accuracy"]  # of a network that learned nothing
    report(
        {
            "n": TURNS,
            **{name: rounded(values) for name, values in found.items()},
            "ratios": rounded(ratios),
            "target": ", ".join(f"{name} >= {least}" for name, least in RATIOS.items()),
            "met": all(best.get(name, 0) / best["fp32"] >= least for name, least in RATIOS.items()),
        }
    )


if __name__ == "__main__":
    main()
