"""What must happen for a spec to come true, as requests in order; pure data, nothing is decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files, kinds, registry, signing, tracking
from mlops_spec.errors import StateError
from mlops_spec.facts import MODELS
from mlops_spec.spec import LocalWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_spec.facts import Facts
    from mlops_spec.pretrained import Pretrained
    from mlops_spec.registry import Version
    from mlops_spec.spec import Spec


@dataclass(frozen=True)
class Step:
    """One exact request as data.

    Attributes:
        id: Its name in the plan.
        action: Who performs it: `module.function` of mlops_spec.actions, or of a deployer.
        payload: The request, JSON values only; `${{ID}}` stands for the outputs of a needed step.
        needs: The steps whose outputs it reads.
        code: The modules that do the work; their digests are part of the key.
        drift: Why the world no longer matches a finished result; empty when it does.
        beside: Steps whose outputs it takes along as they are: other ones are no reason to run it.
        anyway: It runs even where a needed step said no: that is a result, too.
        obstacle: Why it could not be performed now, and what to do about that; empty when it can.
        variables: Of its process's environment, unless a person set them: what is no part of the
            key, since it changes nothing about what the step makes.
    """

    id: str
    action: str
    payload: dict[str, Any]
    needs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    drift: str = ""
    beside: tuple[str, ...] = ()
    anyway: bool = False
    obstacle: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


def steps(spec: Spec, facts: Facts) -> Iterator[Step]:
    """The steps of a spec in order: the engine's own, then what the target and front end add."""
    yield from _core(spec, facts)
    for group in ("target", "frontend"):
        module = kinds.load(group, getattr(spec, group).kind)
        if hasattr(module, "steps"):
            yield from module.steps(spec, facts)


def keys_of(requests: Sequence[Step], facts: Facts) -> dict[str, str]:
    """The key of each step: sha256 of its request, the keys of its needs and its code."""
    keys: dict[str, str] = {}
    for step in requests:
        needs = [keys[need] for need in step.needs]
        keys[step.id] = files.sha256_of([step.action, step.payload, needs, code_of(step, facts)])
    return keys


def code_of(step: Step, facts: Facts) -> dict[str, str]:
    """The modules that perform a step, with their digests."""
    return {name: digest for module in step.code for name, digest in facts.code[module].items()}


def local(
    spec: Spec, step_id: str, arguments: Sequence[str], part: dict[str, Any], **more: Any
) -> Step:
    """A step of this package's own command line as a process on this machine."""
    verb = step_id.partition("_")[0]
    command = ["python", "-m", "trainers", verb, "--spec", "${{spec}}", *arguments]
    payload = {
        "command": [*command, "--out", "${{out}}"],
        "environment": spec.compute.environment,
        "spec": part,
    }
    return Step(step_id, "local.run", payload, **more)


def _core(spec: Spec, facts: Facts) -> Iterator[Step]:
    recorded = spec.model_dump(mode="json")
    data = data_step(spec, facts.source)
    train = train_step(spec, facts.weights)
    yield data
    yield train
    yield evaluate_step(spec)
    if _has_benchmark(spec):
        yield local(
            spec,
            "benchmark",
            ["--data", "${{data}}"],
            {"benchmark": recorded["benchmark"], "evaluation": {"top_k": spec.evaluation.top_k}},
            needs=("data",),
            code=(f"trainers.benchmarks.{spec.benchmark.kind}", "mlops_spec.judging.evaluation"),
        )
    yield from _promotion(recorded, spec, facts, keys_of([data, train], facts)["train"])


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
    assert isinstance(spec.workspace, LocalWorkspace)
    arguments = [
        *("--bundle", "${{train}}", "--evaluation", "${{evaluate}}"),
        *("--gate", "${{gate}}", "--report", "${{report}}"),
        *("--model", spec.registered_model, "--train", train),
        *("--baseline", str(rival.version if rival else 0)),
        *("--database", spec.workspace.database, "--models", str(MODELS)),
    ]
    kept = registry.kept(facts.versions, train)  # a person went back to it
    if kept:
        arguments += ["--keep", str(kept.version)]
    champion = next((v for v in facts.versions if v.champion and v.train == train), kept)
    drift = "" if champion else f"it is not champion of {spec.registered_model}"
    if champion and not champion.intact:
        drift = "its bundle is gone"
    more = {"needs": ("train", "evaluate", "gate"), "beside": ("report",)}
    code = ("mlops_spec.registering",)
    part = {"lineage": _origin(spec, facts, rival)}
    step = local(spec, "register", arguments, part, code=code, drift=drift, **more)
    if spec.lineage.sign_with:
        own = {signing.VARIABLE: spec.lineage.sign_with}
        step.payload["environment"] = {**spec.compute.environment, **own}
    return step


def _origin(spec: Spec, facts: Facts, rival: Version | None) -> dict[str, Any]:
    """What a lineage has to be told: the code that trains, and the models before this one."""
    champion = {"version": rival.version, "digest": rival.digest} if rival else None
    digest = facts.weights.digest if facts.weights else ""
    weights = {"source": spec.model.weights, "digest": digest}
    parents = {"champion": champion, "weights": None if spec.model.weights == "none" else weights}
    return {"code": facts.code[f"trainers.{spec.training.kind}"], "parents": parents}
