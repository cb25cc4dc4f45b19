"""Models that were judged, for tests of their reports: plain colours, or answers made up."""

from pathlib import Path

import numpy as np
import small_bundle
import yaml

from mlops_spec import files, manifest, report
from mlops_spec.judging import evaluation, gate
from mlops_spec.judging.judged import read
from mlops_spec.step_spec import StepEvaluation

PRESET = Path(__file__).resolve().parents[1] / "conf" / "evaluation" / "mcnemar.yaml"
RULE = StepEvaluation.model_validate({"gate": yaml.safe_load(PRESET.read_text("utf-8"))["gate"]})
HOW = evaluation.How(batch_size=64, top_k=5, robustness=2)
SETTINGS = {
    "registered_model": "colours",
    "model": {"backbone": "brightness", "weights": "none"},
    "training": {"kind": "by hand", "lr": 0.5},
}


def judged(folder: Path, champion: Path | None = None) -> report.Inputs:
    """Evaluates the model of a folder on its data, and asks the gate."""
    evaluation.evaluate(folder / "data", folder / "bundle", folder / "evaluation", HOW)
    rival = read(champion) if champion else None
    verdict = gate.judge(read(folder / "evaluation"), rival, RULE.gate)
    files.write_json(folder / "gate" / "verdict.json", verdict.document())
    return report.Inputs(
        data=folder / "data",
        bundle=folder / "bundle",
        evaluation=folder / "evaluation",
        verdict=folder / "gate",
        settings=SETTINGS,
        champion=champion,
    )


def small(folder: Path, labels=small_bundle.LABELS, wrong=0) -> report.Inputs:
    small_bundle.data_set(folder / "data", labels, wrong=wrong)
    small_bundle.make(folder / "bundle", labels)
    return judged(folder)


def many(folder: Path, named: int | tuple[str, ...], images: int, wrong: float) -> report.Inputs:
    """A test set of many classes, its answers made up; all images are one file."""
    labels = named if isinstance(named, tuple) else tuple(f"class {i:04}" for i in range(named))
    classes = len(labels)
    small_bundle.data_set(folder / "data", labels[:3])
    one = next(iter(manifest.read(folder / "data").split("test")))
    root = manifest.read(folder / "data").root
    rows = [
        one._replace(label=label, split=split) for label in labels for split in ("train", "val")
    ]
    rows += [one._replace(label=labels[i % classes]) for i in range(images)]
    dataset = manifest.write(folder / "data", root, rows)
    small_bundle.make(folder / "bundle")
    chance = np.random.default_rng(0)
    targets = dataset.targets(dataset.split("test"))
    said = np.where(chance.random(images) < wrong, chance.integers(classes, size=images), targets)
    logits = chance.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), said] += 6
    asked = evaluation.Asked(labels, "softmax", 5)
    more = {"cost": {"latency_ms": 1.0, "latency_p95_ms": 2.0, "size_mb": 3.0}}
    more |= {"slices": [], "robustness": [], "learned": []}
    scores = evaluation.scored(dataset.split("test"), logits, asked)
    more |= {"bundle_digest": "0" * 64}
    evaluation.write(folder / "evaluation", scores, logits, asked, more)
    verdict = gate.judge(read(folder / "evaluation"), None, RULE.gate)
    files.write_json(folder / "gate" / "verdict.json", verdict.document())
    places = {"data": folder / "data", "bundle": folder / "bundle"}
    judged = {"evaluation": folder / "evaluation", "verdict": folder / "gate"}
    return report.Inputs(**places, **judged, settings=SETTINGS)
