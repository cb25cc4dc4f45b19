"""The road of a spec: what must happen for it to come true, in order; nothing is decided here."""

from __future__ import annotations

import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import infra_step, kinds, registry, remote, signing, tracking
from mlops_spec.azure.place import Place
from mlops_spec.errors import StateError
from mlops_spec.facts import MODELS
from mlops_spec.steps import Step, keys_of, local
from mlops_spec.where import AzuremlCompute, LocalCompute, LocalWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_spec.facts import Facts
    from mlops_spec.pretrained import Pretrained
    from mlops_spec.registry import Version
    from mlops_spec.spec import Spec


def steps(spec: Spec, facts: Facts) -> Iterator[Step]:
    """The steps of a spec in order: the engine's own, then what the target and front end add."""
    under = infra_step.steps(spec, facts)
    yield from under
    for step in (*_core(spec, facts), *_around(spec, facts)):
        yield infra_step.on(under, step)


def _around(spec: Spec, facts: Facts) -> Iterator[Step]:
    for group in ("target", "frontend"):
        module = kinds.load(group, getattr(spec, group).kind)
        if hasattr(module, "steps"):
            yield from module.steps(spec, facts)


def _core(spec: Spec, facts: Facts) -> Iterator[Step]:
    recorded = spec.model_dump(mode="json")
    first = [data_step(spec, facts.source)]
    if isinstance(spec.compute, AzuremlCompute):
        first = [*remote.before(spec, first[0], facts)]

    def place(step: Step, models: Mapping[str, str] = types.MappingProxyType({})) -> Step:
        """Where a heavy step is performed."""
        is_here = isinstance(spec.compute, LocalCompute)
        return step if is_here else remote.job(spec, step, first[-1], models)

    train = place(train_step(spec, facts.weights))
    yield from first
    if remote.is_pipeline(spec):
        pipeline = _pipeline(recorded, spec, facts, [*first, train])
        yield pipeline
        if remote.is_scheduled(spec):
            yield remote.schedule(spec, pipeline, facts)
        return
    yield train
    yield place(evaluate_step(spec))
    if _has_benchmark(spec):
        yield place(_benchmark(recorded, spec))
    key = keys_of([*first, train], facts)["train"]
    for step in _promotion(recorded, spec, facts, key):
        models = {
            one.path: f"azureml:{spec.registered_model}:{one.version}" for one in facts.versions
        }
        yield place(step, models) if step.id == "evaluate_champion" else step
        if step.id == "report" and not isinstance(spec.compute, LocalCompute):
            yield remote.publish(spec, train, key)


def _pipeline(recorded: dict[str, Any], spec: Spec, facts: Facts, made: Sequence[Step]) -> Step:
    """One job for all that is done in a workspace; whom to beat is found out there."""
    *_, data, train = made
    key = keys_of(made, facts)["train"]
    judging = _asked(spec)["evaluation"] | {"gate": recorded["evaluation"]["gate"]}
    part = {
        "evaluation": judging,
        "lineage": _origin(spec, facts, None),
        "whole": {name: recorded[name] for name in _ABOUT_A_MODEL},
    }
    words = [
        *("--data", "${{data}}", "--bundle", "${{train}}", "--evaluation", "${{evaluate}}"),
        *(*_registry(spec), "--models", "models"),
        *("--model=${{model}}", "--train=${{key}}"),
        *("--build=${{build}}", "--build-address=${{build_address}}"),
    ]
    code = (
        *("mlops_spec.judging.evaluation", "mlops_spec.judging.gate", "mlops_spec.report"),
        *_registrar(spec),
        *filter(None, [_attention(spec)]),
    )
    promote = local(spec, "promote", words, part, needs=("data", "train", "evaluate"), code=code)
    steps = {"train": train}
    for step in (evaluate_step(spec), promote):
        steps[step.id] = remote.job(spec, step, data, {})
    rival = registry.rival(facts.versions, key)
    told = f"{rival.version} {rival.digest}" if rival else "none"
    return remote.pipeline(spec, data, steps, key, told)


def _benchmark(recorded: dict[str, Any], spec: Spec) -> Step:
    return local(
        spec,
        "benchmark",
        ["--data", "${{data}}"],
        {"benchmark": recorded["benchmark"], "evaluation": {"top_k": spec.evaluation.top_k}},
        needs=("data",),
        code=(f"trainers.benchmarks.{spec.benchmark.kind}", "mlops_spec.judging.evaluation"),
    )


def _asked(spec: Spec) -> dict[str, Any]:
    """The part of a spec that an evaluation reads."""
    names = ("batch_size", "top_k", "robustness")
    return {"evaluation": {name: getattr(spec.evaluation, name) for name in names}}


def _has_benchmark(spec: Spec) -> bool:
    return hasattr(kinds.load("benchmark", spec.benchmark.kind), "predict")


def data_step(spec: Spec, source: str) -> Step:
    """Preparing the data set that is read from what `source` is the digest of."""
    code = (f"trainers.datasets.{spec.data.kind}",)
    part = {"data": spec.data.model_dump(mode="json")}
    return local(spec, "data", ["--source", source], part, code=code)


def train_step(spec: Spec, weights: Pretrained | None) -> Step:
    """Training a bundle on the prepared data set, from `weights` if they are files."""
    recorded = spec.model_dump(mode="json")
    part = {name: recorded[name] for name in ("seed", "model", "training")}
    read = ("accelerator", "devices", "nodes")
    part["compute"] = {name: recorded["compute"][name] for name in read}
    code = (f"trainers.{spec.training.kind}",)
    arguments = ["--data", "${{data}}"]
    if weights:
        arguments += ["--weights", "${{weights}}", "--weights-digest", weights.digest]
    more = {"needs": ("data",), "code": code, "variables": _tracking(spec)}
    step = local(spec, "train", arguments, part, **more)
    if weights:
        step.payload["inputs"] = {"weights": weights.path}
    return step


def evaluate_step(spec: Spec) -> Step:
    """Judging the trained bundle on the test split."""
    arguments = ["--data", "${{data}}", "--bundle", "${{train}}"]
    more = {"needs": ("data", "train"), "code": ("mlops_spec.judging.evaluation",)}
    return local(spec, "evaluate", arguments, _asked(spec), **more)


def _tracking(spec: Spec) -> dict[str, str]:
    """Where a training on this machine writes its curves; a job of Azure ML is told by Azure ML."""
    if not isinstance(spec.workspace, LocalWorkspace):
        return {}
    return tracking.variables(spec.workspace.database, spec.registered_model)


def _promotion(recorded: dict[str, Any], spec: Spec, facts: Facts, train: str) -> Iterator[Step]:
    """Judging against the champion and registering.

    The rival is the champion, or, when this very model is champion already, the one it beat: the
    question stays the same after its answer changed the registry, so that nothing runs twice. Its
    bundle is only needed for a comparison that was not made yet.
    """
    own = registry.judged(facts.versions, train)
    rival = registry.rival(facts.versions, train)
    if own and own.baseline and rival is None:
        message = f"{_told(spec, own)}, is not in the registry any more"
        cure = "train another model, which is judged against the champion of now"
        raise StateError(message, f"{cure}, or choose another registered_model")
    arguments = ["--evaluation", "${{evaluate}}"]
    needs = ["evaluate"]
    if rival:
        yield local(
            spec,
            "evaluate_champion",
            ["--data", "${{data}}", "--bundle", rival.path],
            _asked(spec),
            needs=("data",),
            code=("mlops_spec.judging.evaluation",),
            obstacle=_obstacle(spec, rival, own),
        )
        arguments += ["--champion", "${{evaluate_champion}}"]
        needs += ["evaluate_champion"]
    gate = {"evaluation": {"gate": recorded["evaluation"]["gate"]}}
    yield local(
        spec, "gate", arguments, gate, needs=tuple(needs), code=("mlops_spec.judging.gate",)
    )
    yield _report(recorded, spec, arguments, needs)
    yield _register(spec, facts, train, rival)


def _told(spec: Spec, own: Version) -> str:
    """The champion of another time that a version was judged against."""
    return f"version {own.baseline}, which {spec.registered_model} {own.version} was judged against"


def _obstacle(spec: Spec, rival: Version, own: Version | None) -> tuple[str, ...]:
    """Why a rival can not be judged now, and what to do; empty when it can."""
    if rival.intact:
        return ()
    aside = registry.aside_of(Path(rival.path)).name
    restore = f"restore {rival.path} (a registration that was killed leaves it as {aside} beside)"
    other = "or choose another registered_model"
    if own is None or rival.champion:
        message = f"the bundle of champion {spec.registered_model} {rival.version} is gone"
        return (message, f"{restore}, go back with the verb rollback, {other}")
    return (f"the bundle of {_told(spec, own)}, is gone", f"{restore}, {other}")


_ABOUT_A_MODEL = ("registered_model", "seed", "data", "model", "training", "evaluation")


def _report(
    recorded: dict[str, Any], spec: Spec, arguments: Sequence[str], needs: Sequence[str]
) -> Step:
    """What people read about a model, promoted or not."""
    words = ["--data", "${{data}}", "--bundle", "${{train}}", "--gate", "${{gate}}", *arguments]
    others = ["data", "train", "gate"]
    if _has_benchmark(spec):
        words += ["--benchmark", "${{benchmark}}"]
        others += ["benchmark"]
    return local(
        spec,
        "report",
        words,
        {"whole": {name: recorded[name] for name in _ABOUT_A_MODEL}},
        needs=(*others, *needs),
        code=("mlops_spec.report", *filter(None, [_attention(spec)])),
        anyway=True,
    )


def _attention(spec: Spec) -> str:
    """The module that tells where a network looked, if its trainer has one."""
    return str(getattr(kinds.load("training", spec.training.kind), "ATTENTION", ""))


def _register(spec: Spec, facts: Facts, train: str, rival: Version | None) -> Step:
    arguments = [
        *("--bundle", "${{train}}", "--evaluation", "${{evaluate}}"),
        *("--gate", "${{gate}}", "--report", "${{report}}"),
        *("--model", spec.registered_model, "--train", train),
        *("--baseline", str(rival.version if rival else 0)),
        *(*_registry(spec), "--models", str(MODELS)),
    ]
    kept = registry.kept(facts.versions, train)  # a person went back to it
    if kept:
        arguments += ["--keep", str(kept.version)]
    champion = next((v for v in facts.versions if v.champion and v.train == train), kept)
    drift = "" if champion else f"it is not champion of {spec.registered_model}"
    if champion and not champion.intact:
        drift = "its bundle is gone"
    more = {"needs": ("train", "evaluate", "gate"), "beside": ("report",)}
    code = _registrar(spec)
    part = {"lineage": _origin(spec, facts, rival)}
    step = local(spec, "register", arguments, part, code=code, drift=drift, **more)
    if spec.lineage.sign_with:
        own = {signing.VARIABLE: spec.lineage.sign_with}
        step.payload["environment"] = {**spec.compute.environment, **own}
    return step


def _registrar(spec: Spec) -> tuple[str, ...]:
    """The modules that register."""
    is_here = isinstance(spec.workspace, LocalWorkspace)
    return ("mlops_spec.registering" if is_here else "mlops_spec.azure.registry",)


def _registry(spec: Spec) -> tuple[str, str]:
    """Where models are registered, in words of a command line."""
    if isinstance(spec.workspace, LocalWorkspace):
        return "--database", spec.workspace.database
    return "--registry", Place.of(spec).uri


def _origin(spec: Spec, facts: Facts, rival: Version | None) -> dict[str, Any]:
    """What a lineage has to be told: the code that trains, and the models before this one."""
    champion = {"version": rival.version, "digest": rival.digest} if rival else None
    digest = facts.weights.digest if facts.weights else ""
    weights = {"source": spec.model.weights, "digest": digest}
    parents = {"champion": champion, "weights": None if spec.model.weights == "none" else weights}
    return {"code": facts.code[f"trainers.{spec.training.kind}"], "parents": parents}
