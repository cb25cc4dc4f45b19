"""The command line of one step, the same on this machine and in a remote job.

python -m trainers VERB --spec spec.json ... --out DIR

`spec.json` is the recorded part of the spec that the step reads. Everything a step makes goes below
`--out`, `summary.json` with its main numbers among it. Neither Hydra nor the Azure SDK is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from filelock import FileLock

from mlops_spec import (
    evaluation,
    files,
    gate,
    kinds,
    lineage,
    manifest,
    pretrained,
    registering,
    registry,
    signing,
    sources,
)
from mlops_spec.errors import MlopsError, StepError, from_os_error
from mlops_spec.rows import SPLITS
from mlops_spec.spec import note_reads, read_step_spec, unread
from trainers import _leaving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_spec.report.answers import Attention
    from mlops_spec.spec import StepSpec


_INTERRUPTED = 130
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
    return Summary("", metrics)


def evaluate(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Judges a bundle on the test split."""
    assert spec.evaluation is not None
    asked = spec.evaluation
    assert asked.batch_size is not None
    assert asked.top_k is not None
    assert asked.robustness is not None
    how = evaluation.How(asked.batch_size, asked.top_k, asked.robustness)
    metrics = evaluation.evaluate(args.data, args.bundle, args.out, how)
    return Summary(f"{metrics.pop('test_images')} test images", metrics)


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
    champion = gate.read(args.champion) if args.champion else None
    verdict = gate.judge(gate.read(args.evaluation), champion, spec.evaluation.gate)
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
        origins=json.loads(os.environ.get("MLOPS_SPEC_ORIGINS", "{}")),
        seconds=json.loads(os.environ.get("MLOPS_SPEC_SECONDS", "{}")),
        attention=_attention(spec.whole["training"]["kind"], args.bundle),
    )
    reports.write(found, args.out)
    return Summary("report.html, model_card.md")


def register(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Registers a promoted model and makes it champion, unless a person went back from it."""
    key = signing.from_environment()
    place = registering.LocalRegistry(args.database, args.models)
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
    place.promote(args.model, made.version, f"gate: {verdict.reason}")
    _note_version(args, made)
    signed = f", signed by {signing.text_of(signing.public_of(key))}" if key else ""
    return Summary(f"{args.model} version {made.version} is champion{signed}")


def _attention(kind: str, bundle: Path) -> Attention | None:
    """What draws where a network looked, where its trainer can tell."""
    module = kinds.load("training", kind)
    return module.attention(bundle) if hasattr(module, "attention") else None


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


_VERBS: dict[str, Callable[[StepSpec, argparse.Namespace], Summary]] = {
    "data": data,
    "train": train,
    "evaluate": evaluate,
    "benchmark": benchmark,
    "gate": judge,
    "report": report,
    "register": register,
}


_INPUTS = (
    *("data", "weights", "bundle", "evaluation", "champion", "benchmark", "gate", "report"),
    *("database", "models"),
)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m trainers", description=__doc__, allow_abbrev=False)
    parser.add_argument("verb", choices=_VERBS)
    parser.add_argument("--spec", type=Path, required=True, help="the recorded spec of the step")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for all that the step makes"
    )
    for name in _INPUTS:
        parser.add_argument(f"--{name}", type=Path, help=f"input: {name}")
    parser.add_argument("--weights-digest", help="digest of the weights")
    parser.add_argument("--source", help="digest of what the data set is read from")
    parser.add_argument(
        "--collect", action="store_true", help="copy the images beside the manifest"
    )
    parser.add_argument("--model", help="name of the registered model")
    parser.add_argument("--train", help="key of the training step")
    parser.add_argument(
        "--baseline", type=int, default=0, help="version judged against; 0 for none"
    )
    parser.add_argument("--keep", type=int, default=0, help="version that stays champion")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Runs one step; 0 when it is done."""
    args = _parse(argv)
    _leaving.listen()
    _leave_with_parent()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        if _follows():
            _VERBS[args.verb](read_step_spec(args.spec), args)
            return 0
        # An earlier process that lost its parent may still be leaving the same folder.
        with FileLock(f"{args.out}.lock", timeout=30):
            spec = read_step_spec(args.spec)
            note_reads()
            summary = _VERBS[args.verb](spec, args)
            document = {**vars(summary), "unread": list(unread(spec))}
            files.write_json(args.out / "summary.json", document)
    except MlopsError as error:
        return _fail(error)
    except OSError as error:
        known = from_os_error(error)
        if known is None:
            raise
        return _fail(known)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _follows() -> bool:
    """Whether this is one of several processes of a step, and not the one that writes.

    `RANK` is set by Azure ML and torchrun, `LOCAL_RANK` by Lightning for those that it starts.
    """
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) != "0"


def _fail(error: MlopsError) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the engine reads it
    return int(error.exit_code)


def _leave_with_parent() -> None:
    """Stops when the engine that started this process is gone: killed, it can tell nobody."""
    parent = os.environ.get("MLOPS_SPEC_PARENT", "")
    os.environ["MLOPS_SPEC_PARENT"] = str(os.getpid())  # of the processes that this one starts
    if not parent:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def leave(code: int) -> NoReturn:
    """Ends the process, an interrupted one at once.

    Connections to other processes may be in the middle of something then, and would abort it.
    """
    if code == _INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
