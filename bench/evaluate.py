"""An evaluation against bare batched inference, and the report of a large test set.

python bench/evaluate.py
"""

from __future__ import annotations

import io
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from _common import ROOT, medians, repeats, report, rounded, seconds
from PIL import Image

from mlops_spec import bundle, files, manifest
from mlops_spec import report as reports
from mlops_spec.judging import evaluation, gate, judged
from mlops_spec.rows import Row
from mlops_spec.spec import ModelSpec
from mlops_spec.step_spec import StepEvaluation, StepSpec
from trainers._torch import backbones, networks
from trainers._torch.export import export
from trainers._transfer_spec import Spec

if TYPE_CHECKING:
    from mlops_spec.manifest import Dataset

IMAGES, BATCH, REPEATS = 320, 64, repeats(5)
RATIO = 1.2
CLASSES, MANY, SECONDS = 120, 8580, 20.0
CONF = ROOT / "conf"


def photographs(folder: Path, classes: int, test: int) -> Dataset:
    """A data set of noisy pictures of 320 by 240, many of them one file by several names."""
    chance = np.random.default_rng(0)
    contents = []
    for _ in range(40):
        coarse = chance.integers(0, 255, (12, 16, 3)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(file, "JPEG")
        contents.append(file.getvalue())
    rows = []
    for split, count in (("train", classes), ("val", classes), ("test", test)):
        for i in range(count):
            path = folder / "images" / f"{split}{i}.jpg"
            files.write_bytes(path, contents[i % len(contents)])
            digest = files.sha256_file(path)
            rows.append(Row(f"images/{path.name}", f"{i % classes:03}", split, digest))
    return manifest.write(folder, folder, rows)


def model(folder: Path, dataset: Dataset) -> Path:
    """A ResNet-18 that learned nothing."""
    values = yaml.safe_load((CONF / "model" / "resnet18.yaml").read_text("utf-8"))
    spec = ModelSpec.model_validate({**values, "weights": "none"})
    network = networks.build(spec, backbones.build(spec).module, len(dataset.classes)).eval()
    training = yaml.safe_load((CONF / "training" / "transfer.yaml").read_text("utf-8"))
    how = bundle.Preprocessing(
        channels=3,
        resize=spec.resize,
        input_size=spec.input_size,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
    folder.mkdir()
    wish = StepSpec(seed=0, model=spec, training=Spec.model_validate(training))
    export(network, wish, dataset, how, folder)
    return folder


def bare(dataset: Dataset, bundle_dir: Path) -> None:
    """Decodes and asks, and keeps nothing."""
    one, rows = bundle.load(bundle_dir), dataset.split("test")
    for begin in range(0, len(rows), BATCH):
        paths = [dataset.root / row.path for row in rows[begin : begin + BATCH]]
        one.answer(np.stack([bundle.pixels(path, one.card.preprocessing) for path in paths]))


def large(folder: Path) -> float:
    """Seconds for the report of a test set of 8,580 images and 120 classes, answers made up."""
    dataset = photographs(folder / "data", CLASSES, MANY)
    bundle_dir = model(folder / "bundle", dataset)
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(MANY, CLASSES)).astype(np.float32)
    targets = dataset.targets(dataset.split("test"))
    logits[np.arange(MANY), targets] += 3 * (chance.random(MANY) < 0.8)  # noqa: PLR2004
    more = {
        "bundle_digest": bundle.digest(bundle_dir),
        "cost": {"latency_ms": 1.0, "latency_p95_ms": 1.0, "size_mb": 1.0},
        "slices": [],
        "learned": [],
        "robustness": [],
    }
    asked = evaluation.Asked(dataset.classes, "softmax", 5)
    preset = yaml.safe_load((CONF / "evaluation" / "floor.yaml").read_text("utf-8"))
    rule = StepEvaluation.model_validate({"gate": preset["gate"]}).gate
    assert rule is not None
    places = {name: folder / name for name in ("data", "bundle", "evaluation", "verdict")}
    settings = {
        "registered_model": "dogs",
        "model": {"backbone": "resnet18", "weights": "none"},
        "training": {"kind": "transfer"},
    }

    def whole() -> None:
        scores = evaluation.scored(dataset.split("test"), logits, asked)
        evaluation.write(folder / "evaluation", scores, logits, asked, more)
        verdict = gate.judge(judged.read(folder / "evaluation"), None, rule)
        files.write_json(folder / "verdict" / "verdict.json", verdict.document())
        inputs = reports.Inputs(**places, settings=settings, champion=folder / "evaluation")
        reports.write(inputs, folder / "out")

    return seconds(whole)


def main() -> None:
    """Measures both."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        dataset = photographs(here / "data", 10, IMAGES)
        bundle_dir = model(here / "bundle", dataset)
        how = evaluation.How(BATCH, 5)
        arguments = (here / "data", bundle_dir, here / "out", how)
        sides = {
            "evaluate": partial(evaluation.evaluate, *arguments),
            "bare": partial(bare, dataset, bundle_dir),
        }
        taken = medians(sides, REPEATS)
        page = large(here / "large")
        size = (here / "large" / "out" / "report.html").stat().st_size
    ratio = taken["evaluate"] / taken["bare"]
    report(
        {
            "n": REPEATS,
            "images": IMAGES,
            "seconds": rounded({**taken, "metrics and report of 8,580 images": page}),
            "ratios": rounded({"evaluate / bare": ratio}),
            "report bytes": size,
            "target": f"ratio <= {RATIO}, report < {SECONDS} s",
            "met": ratio <= RATIO and page < SECONDS,
        }
    )


if __name__ == "__main__":
    main()
