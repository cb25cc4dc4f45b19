"""From a spec and the facts to a plan: every step an exact request, marked run or reuse, and why.

`plan` is a pure function: no clock, no network, no randomness. What it returns is what is executed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from mlops_spec import files, kinds, reasons, registry, tracking
from mlops_spec.errors import StateError
from mlops_spec.facts import MODELS
from mlops_spec.spec import LocalWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_spec.facts import Facts, Record
    from mlops_spec.origins import Origins
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
        variables: Of its process's environment, unless a person set them: what is no part of the
            key, since it changes nothing about what the step makes.
    """

    id: str
    action: str
    payload: dict[str, Any]
    needs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    drift: str = ""
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """A step with its key and what is to happen to it."""

    step: Step
    key: str
    status: Literal["run", "reuse", "skip"]
    why: str
    code: dict[str, str]  # module -> digest
    needs: dict[str, str]  # id of a needed step -> its key
    seconds: float | None  # how long it took the last time


@dataclass(frozen=True)
class Plan:
    """Everything that one command will do, in order."""

    experiment: str
    steps: tuple[Planned, ...]

    @property
    def to_run(self) -> list[Planned]:
        """The steps that will run."""
        return [planned for planned in self.steps if planned.status == "run"]

    @property
    def seconds(self) -> float | None:
        """Estimate of the whole, from the last time; None when a step never ran."""
        known = [planned.seconds for planned in self.to_run]
        return sum(s for s in known if s is not None) if None not in known else None

    def document(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {**asdict(self), "seconds": self.seconds}


def plan(spec: Spec, facts: Facts, origins: Origins | None = None) -> Plan:
    """Decides what must happen for the world to match the spec.

    Args:
        spec: What is wanted.
        facts: What the world is.
        origins: Where each key was written, to name the line that causes a step to run.
    """
    requests = list(steps(spec, facts))
    keys = keys_of(requests, facts)
    planned: dict[str, Planned] = {}
    for step in requests:
        draft = Planned(
            step=step,
            key=keys[step.id],
            status="run",
            why="",
            code=_code(step, facts),
            needs={need: keys[need] for need in step.needs},
            seconds=_seconds(step, facts),
        )
        planned[step.id] = _decide(draft, planned, facts, origins or {})
    return Plan(spec.name, tuple(planned.values()))


def _seconds(step: Step, facts: Facts) -> float | None:
    """How long a step, or else the one it varies (`evaluate_champion`), took the last time."""
    for step_id in (step.id, step.id.partition("_")[0]):
        before = facts.latest.get(step_id)
        if before is not None and before.payload:
            return before.seconds
    return None


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
        keys[step.id] = files.sha256_of([step.action, step.payload, needs, _code(step, facts)])
    return keys


def _code(step: Step, facts: Facts) -> dict[str, str]:
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
    yield local(
        spec,
        "evaluate",
        ["--data", "${{data}}", "--bundle", "${{train}}"],
        {"evaluation": {"batch_size": spec.evaluation.batch_size}},
        needs=("data", "train"),
        code=("mlops_spec.evaluation",),
    )
    if hasattr(kinds.load("benchmark", spec.benchmark.kind), "score"):
        yield local(
            spec,
            "benchmark",
            ["--data", "${{data}}"],
            {"benchmark": recorded["benchmark"]},
            needs=("data",),
            code=(f"trainers.benchmarks.{spec.benchmark.kind}",),
        )
    yield from _promotion(recorded, spec, facts, keys_of([data, train], facts)["train"])


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


def _tracking(spec: Spec) -> dict[str, str]:
    """Where a training on this machine writes its curves; a job of Azure ML is told by Azure ML."""
    if not isinstance(spec.workspace, LocalWorkspace):
        return {}
    return tracking.variables(spec.workspace.database, spec.registered_model)


def _promotion(recorded: dict[str, Any], spec: Spec, facts: Facts, train: str) -> Iterator[Step]:
    """Judging against the champion and registering.

    The rival is the champion, or, when this very model is champion already, the one it beat: the
    question stays the same after its answer changed the registry, so that nothing runs twice.
    """
    rival = registry.rival(facts.versions, train)
    if rival and not rival.intact:
        message = f"the bundle of champion {spec.registered_model} {rival.version} is gone"
        cure = f"restore {rival.path}, go back with the verb rollback"
        raise StateError(message, f"{cure}, or choose another registered_model")
    arguments = ["--evaluation", "${{evaluate}}"]
    needs = ["evaluate"]
    if rival:
        yield local(
            spec,
            "evaluate_champion",
            ["--data", "${{data}}", "--bundle", rival.path],
            {"evaluation": {"batch_size": spec.evaluation.batch_size}},
            needs=("data",),
            code=("mlops_spec.evaluation",),
        )
        arguments += ["--champion", "${{evaluate_champion}}"]
        needs += ["evaluate_champion"]
    gate = {"evaluation": {"gate": recorded["evaluation"]["gate"]}}
    yield local(spec, "gate", arguments, gate, needs=tuple(needs), code=("mlops_spec.gate",))
    yield _register(spec, facts, train, rival)


def _register(spec: Spec, facts: Facts, train: str, rival: Version | None) -> Step:
    assert isinstance(spec.workspace, LocalWorkspace)
    arguments = [
        *("--bundle", "${{train}}", "--evaluation", "${{evaluate}}", "--gate", "${{gate}}"),
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
    needs = ("train", "evaluate", "gate")
    code = ("mlops_spec.registering",)
    return local(spec, "register", arguments, {}, needs=needs, code=code, drift=drift)


def _decide(
    draft: Planned, planned: Mapping[str, Planned], facts: Facts, origins: Origins
) -> Planned:
    """Marks a step run, reuse or skip, with the reason."""
    needs = [planned[need] for need in draft.step.needs]
    for need in needs:
        record = facts.finished.get(need.key)
        if need.status == "skip":
            return replace(draft, status="skip", why=need.why)
        if need.status == "reuse" and record and record.refused:
            return replace(draft, status="skip", why=f"{need.step.id} said no")
    running = [need.step.id for need in needs if need.status == "run"]
    record = facts.finished.get(draft.key)
    if record is None:
        return replace(draft, why=reasons.difference(draft, running, facts, origins))
    others = [need.step.id for need in needs if _differs(record, need, facts)]
    reason = (
        record.damage
        or draft.step.drift
        or (f"{running[0]} runs" if running else "")
        or (f"{others[0]} has other outputs now" if others else "")
    )
    if reason:
        return replace(draft, why=reason)
    main = [f"{k} {v:.4g}" for k, v in list(record.metrics.items())[:2]]
    return replace(draft, status="reuse", why=", ".join(filter(None, [record.text, *main])))


def _differs(record: Record, need: Planned, facts: Facts) -> bool:
    """Whether a needed step was performed again since, and made something else."""
    made = facts.finished.get(need.key)
    return made is not None and record.inputs.get(need.step.id, made.digest) != made.digest
