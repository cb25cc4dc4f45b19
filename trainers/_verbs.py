"""What each verb of a step's command line does."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from mlops_spec import (
    files,
    kinds,
    learned,
    lineage,
    manifest,
    pretrained,
    registries,
    registry,
    signing,
    sources,
    tracking,
    verification,
)
from mlops_spec.errors import StepError
from mlops_spec.judging import evaluation, gate, judged
from mlops_spec.rows import SPLITS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from mlops_spec.report.answers import Attention
    from mlops_spec.step_spec import StepSpec

_MOST_FINDINGS = 10  # said one by one; all are in dataset.json


@dataclass(frozen=True)
class Summary:
    """What a step has to say for itself: a sentence, its metrics, and whether it refused."""

    text: str
    metrics: dict[str, float] = field(default_factory=dict)
    refused: bool = False


def data(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Prepares the data set."""
    assert spec.data is not None
    module = kinds.load("data", spec.data.kind)
    dataset = module.prepare(spec.data, args.out)
    fingerprint = module.fingerprint(spec.data)
    if args.source and files.sha256_of(fingerprint) != args.source:
        raise StepError("the images changed while they were prepared", "run again")
    sources.keep(args.out, fingerprint)
    if args.collect:
        manifest.collect(args.out)
    from mlops_spec import report

    files.write_text(args.out / "data.html", report.render_data(args.out))
    counts = {split: len(dataset.split(split)) for split in SPLITS}
    shown = ", ".join(f"{split} {n}" for split, n in counts.items())
    doubtful = manifest.copies(dataset.rows)
    for finding in doubtful[:_MOST_FINDINGS]:
        print(f"doubtful: {finding.path} {finding.what}", flush=True)  # noqa: T201 - the step's log
    text = f"{len(dataset.rows)} images, {len(dataset.classes)} classes ({shown})"
    return Summary(text + (f"; {len(doubtful)} doubtful copies" if doubtful else ""))


def train(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Trains a bundle."""
    assert spec.training is not None
    module = kinds.load("training", spec.training.kind)
    if args.weights and pretrained.digest(args.weights) != args.weights_digest:
        raise StepError(f"{args.weights} changed after the run was planned", "run again")
    metrics = module.train(spec, args.data, args.out, args.weights)
    learned.write(args.out, manifest.read(args.data), args.weights)
    return Summary("", metrics)


def evaluate(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Judges a bundle on the test split."""
    assert spec.evaluation is not None
    asked = spec.evaluation
    assert asked.batch_size is not None
    assert asked.top_k is not None
    assert asked.robustness is not None
    _refuse_changed(args.bundle)
    how = evaluation.How(asked.batch_size, asked.top_k, asked.robustness)
    metrics = evaluation.evaluate(args.data, args.bundle, args.out, how)
    return Summary(f"{metrics.pop('test_images')} test images", metrics)


def _refuse_changed(folder: Path) -> None:
    """A champion is judged as what it was registered as, or not at all.

    With other labels, for example, it would answer wrongly and any model would take its place.

    Raises:
        StepError: The bundle has a lineage and is not what that says.
    """
    if not (folder / lineage.FILE).exists():  # as training left it
        return
    bad = verification.damage(folder)
    if bad:
        cure = "restore it, or move it away and run the command that trained it"
        message = f"{folder} is not what was registered: {bad}"
        raise StepError(message, f"{cure}: it is registered anew, not trained")


def benchmark(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Judges the benchmark's answers on the same test split."""
    assert spec.benchmark is not None
    assert spec.evaluation is not None
    assert spec.evaluation.top_k is not None
    module, dataset = kinds.load("benchmark", spec.benchmark.kind), manifest.read(args.data)
    probabilities = module.predict(spec.benchmark, dataset)
    metrics = evaluation.baseline(dataset, probabilities, args.out, spec.evaluation.top_k)
    return Summary(f"{spec.benchmark.kind}, {metrics.pop('test_images')} test images", metrics)


def judge(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Compares challenger and champion; a refusal is a result."""
    assert spec.evaluation is not None
    assert spec.evaluation.gate is not None
    champion = judged.read(args.champion) if args.champion else None
    verdict = gate.judge(judged.read(args.evaluation), champion, spec.evaluation.gate)
    files.write_json(args.out / "verdict.json", verdict.document())
    word = _WORDS[verdict.verdict]
    return Summary(f"{word}: {verdict.reason}", refused=not verdict.promote)


_WORDS = {"promote": "promote", "reject": "reject", "insufficient": "not enough evidence"}


def report(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Writes what people read about a model: a page and a card."""
    from mlops_spec import report as reports

    assert spec.whole is not None
    found = reports.Inputs(
        data=args.data,
        bundle=args.bundle,
        evaluation=args.evaluation,
        verdict=args.gate,
        champion=args.champion,
        benchmark=args.benchmark,
        settings=spec.whole,
        origins=json.loads(os.environ.get(tracking.ORIGINS, "{}")),
        seconds=json.loads(os.environ.get(tracking.SECONDS, "{}")),
        attention=_attention(spec.whole["training"]["kind"], args.bundle),
    )
    reports.write(found, args.out)
    return Summary("report.html, model_card.md")


def register(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Registers a promoted model and makes it champion, unless a person went back from it."""
    key = signing.from_environment()
    place = registries.at(args.registry, args.database, args.models)
    if args.keep:
        return _keep(place, args, args.keep)
    metrics = files.read_json(args.evaluation / "metrics.json")["metrics"]
    said = files.read_json(args.gate / "verdict.json")
    verdict = lineage.Verdict(verdict=said["verdict"], reason=said["reason"])
    origin = lineage.Origin.model_validate(spec.lineage)
    candidate = registry.Candidate(
        model=args.model,
        train=args.train,
        baseline=args.baseline,
        bundle=args.bundle,
        report=args.report / "report.html",
        metrics=metrics,
        known=lineage.Known(origin, verdict, key),
    )
    made = place.register(candidate)
    if made.rolled_back:  # the same model again, by another training
        now = registry.champion(place.versions(args.model))
        return _keep(place, args, now.version if now else 0)
    place.promote(args.model, made.version, f"gate: {verdict.reason}", args.baseline)
    _note_version(args, made)
    signed = f", signed by {signing.text_of(signing.public_of(key))}" if key else ""
    return Summary(f"{args.model} version {made.version} is champion{signed}")


def _attention(kind: str, bundle: Path) -> Attention | None:
    """What tells where a network looked, where its trainer can and torch is here."""
    name = getattr(kinds.load("training", kind), "ATTENTION", "")
    if not name or importlib.util.find_spec("torch") is None:
        return None
    return partial(importlib.import_module(name).of, bundle)


def _keep(place: registry.Registry, args: argparse.Namespace, number: int) -> Summary:
    """Leaves the alias where a person put it."""
    champion = registry.champion(place.versions(args.model))
    if champion is None or champion.version != number:
        raise StepError(f"{args.model} has another champion than it was planned with", "run again")
    _note_version(args, champion)
    return Summary(f"{args.model} version {number} stays champion: this model was rolled back")


def _note_version(args: argparse.Namespace, version: registry.Version) -> None:
    """What is to be served."""
    names = ("version", "path", "digest")
    document = {"model": args.model, **{name: getattr(version, name) for name in names}}
    files.write_json(args.out / "version.json", document)


VERBS: dict[str, Callable[[StepSpec, argparse.Namespace], Summary]] = {
    "data": data,
    "train": train,
    "evaluate": evaluate,
    "benchmark": benchmark,
    "gate": judge,
    "report": report,
    "register": register,
}
