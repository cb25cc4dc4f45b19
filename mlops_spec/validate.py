"""From composed values to a `Spec`, or to everything that is wrong with them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlops_spec import azure_sizes, conf_files, ground, kinds, secrets
from mlops_spec.errors import MlopsError, Problem, SpecError, suggest
from mlops_spec.origins import Origins, Setting, where_is
from mlops_spec.spec import ONE_ONLY, SEVERAL_ONLY, OpenSection, Spec, leaves
from mlops_spec.where import AzuremlCompute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails

_REQUIRED = "required"

T = TypeVar("T", bound=BaseModel)

# Sections that are unions: pydantic adds the chosen kind to the path of an error inside them.
_UNIONS = {"evaluation.gate", "compute", "workspace", "infra"}


def parse(values: dict[str, Any], origins: Origins, found: Sequence[Problem] = ()) -> Spec:
    """Validates a composed configuration.

    Args:
        values: The configuration, its interpolations resolved.
        origins: Where each key was written.
        found: Problems that composing it met already.

    Raises:
        SpecError: Everything that is wrong with it, each problem with its origin and a cure.
    """
    wrong = [_missing(key, origins) for key, value in leaves(values) if value == "???"]
    spec, inside = _whole(values, origins)
    wrong += inside
    if spec is not None and not wrong:
        wrong = [_at(origins, key, what) for key, what in _contradictions(spec)]
    hidden = list(secrets.find(values, origins))
    secret = {problem.key for problem in hidden}
    followed = _causes(wrong, dict(leaves(values)), {problem.key for problem in (*found, *wrong)})
    problems = [*hidden, *(p for p in (*found, *followed) if p.key not in secret)]
    if spec is None or problems:
        raise SpecError(sorted(dict.fromkeys(problems), key=lambda p: (p.where, p.key)))
    return spec


def recorded(values: dict[str, Any], where: str) -> Spec:
    """The spec that a run recorded; whether it suits the world of now is not asked.

    Raises:
        SpecError: It is not what this version of the program takes; each key is named.
    """
    origins = {key: [Setting(value, where)] for key, value in leaves(values)}
    spec, problems = _whole(values, origins)
    if spec is None or problems:
        raise SpecError([_of_a_record(problem, where) for problem in problems])
    if spec.compute.kind != "local":
        what = "was trained by a job: only what was trained here is trained again"
        raise SpecError([Problem(where, "compute.kind", what)])
    return spec


def _of_a_record(problem: Problem, where: str) -> Problem:
    """A problem of what nobody can set any more."""
    lacks = problem.message.startswith(_REQUIRED)
    message = "is not in the record, and this version needs it" if lacks else problem.message
    return Problem(where, problem.key, message)


def _whole(values: dict[str, Any], origins: Origins) -> tuple[Spec | None, list[Problem]]:
    """A spec with all its sections, each value by itself."""
    sections, wrong = dict(values), []
    for group in kinds.GROUPS.keys() & values.keys():
        sections[group], inside = _open_section(group, values[group], origins)
        wrong += inside
    spec, outside = _validate(Spec, sections, "", origins)
    return spec, wrong + outside


def to_run(spec: Spec, origins: Origins) -> Spec:
    """A spec whose steps can be performed from here.

    Raises:
        SpecError: Its machines, its workspace and what follows do not go together in this version.
    """
    found = [_at(origins, key, what) for key, what in _apart(spec)]
    if found:
        raise SpecError(found)
    return spec


def _at(origins: Origins, key: str, what: str) -> Problem:
    return Problem(where_is(origins, key), key, what)


def _apart(spec: Spec) -> Iterator[tuple[str, str]]:
    """What can be rendered, or is fine alone, and not be run together: key and message."""
    if not isinstance(spec.compute, AzuremlCompute):
        if spec.workspace.kind != "local":
            what = f"workspace={spec.workspace.kind} needs machines of its own: compute=azureml_cpu"
            yield "compute.kind", what
        return
    if spec.compute.shape == "pipeline":
        yield from _of_a_pipeline(spec)
    elif spec.compute.schedule:
        yield "compute.schedule", "single jobs have none: compute.shape=pipeline"


def _of_a_pipeline(spec: Spec) -> Iterator[tuple[str, str]]:
    """What one job for all can not do: key and message."""
    assert isinstance(spec.compute, AzuremlCompute)
    single = "compute.shape=jobs"
    if spec.compute.cluster is None:
        yield "compute.cluster", f"lent machines may not register, as a pipeline does: {single}"
    if spec.lineage.sign_with:
        yield "lineage.sign_with", f"a job that registers has no key to sign with: {single}"
    for group, needed in (("benchmark", "predict"), ("target", "steps"), ("frontend", "steps")):
        kind = getattr(spec, group).kind
        if hasattr(kinds.load(group, kind), needed):
            yield f"{group}.kind", f"{kind} follows single jobs, not a pipeline: {single}"


def _causes(
    problems: Sequence[Problem], values: dict[str, Any], keys: set[str]
) -> Iterator[Problem]:
    """Problems without those that only follow from another one; `keys` have any problem."""
    for problem in problems:
        value = str(values.get(problem.key, ""))
        required = problem.message.startswith(_REQUIRED)
        if value == "???" and not required:
            continue  # of course `???` is no number
        if "${" in value and "${secret:" not in value:
            continue  # it refers to what can not be resolved, which is reported
        if any(problem.key.startswith(f"{key}.") for key in keys):
            continue  # the section itself is not what was meant
        if required and "experiment" in keys:
            continue  # the experiment, were it found, would have set it
        yield problem


def _open_section(
    group: str, values: object, origins: Origins
) -> tuple[OpenSection, list[Problem]]:
    """Validates a section by the `Spec` of the kind it names."""
    stand_in = OpenSection(kind="?")  # lets the other sections be judged too
    if not isinstance(values, dict) or "kind" not in values:
        what = f"should be a section with a kind; choose one by {group}=OPTION"
        return stand_in, [Problem(where_is(origins, group), group, what)]
    try:
        module = kinds.load(group, str(values["kind"]))
    except MlopsError as error:
        key = f"{group}.kind"
        return stand_in, [Problem(where_is(origins, key), key, str(error))]
    section, problems = _validate(module.Spec, values, group, origins)
    return section or stand_in, problems


def _validate(
    model: type[T], values: dict[str, Any], prefix: str, origins: Origins
) -> tuple[T | None, list[Problem]]:
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        details = error.errors()
        names = [str(detail["loc"][-1]) for detail in details if detail["type"] == "missing"]
        return None, [_problem(detail, prefix, origins, names) for detail in details]


def _problem(
    detail: ErrorDetails, prefix: str, origins: Origins, missing: Sequence[str]
) -> Problem:
    """One of pydantic's errors in our words, at the line that caused it."""
    path = [str(part) for part in detail["loc"]]
    path = [part for i, part in enumerate(path) if prefix or ".".join(path[:i]) not in _UNIONS]
    key = ".".join([prefix, *path] if prefix else path)
    where = where_is(origins, key)
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return Problem(where, key, _unknown(path[-1], key, origins, missing))
        case "missing":
            return _missing(key, origins)
        case "union_tag_invalid":
            return _unknown_kind(f"{key}.kind", context["tag"], context["expected_tags"], origins)
        case "literal_error" if path[-1] == "kind":
            return _unknown_kind(key, detail["input"], context["expected"], origins)
    message = detail["msg"].removeprefix("Input ").removeprefix("Value error, ")
    given = detail["input"]
    shown = f", got {given!r}" if isinstance(given, str | int | float) else ""
    return Problem(where, key, message + shown)


def _missing(key: str, origins: Origins) -> Problem:
    if key == "name":
        known = conf_files.groups().get("experiment", [])
        cure = f"{_REQUIRED}: choose an experiment by +experiment=NAME, or set name=NAME"
        return Problem(where_is(origins, key), key, f"{cure} (experiments: {', '.join(known)})")
    return Problem(where_is(origins, key), key, f"{_REQUIRED}: set it, for example {key}=VALUE")


def _unknown_kind(key: str, kind: object, expected: str, origins: Origins) -> Problem:
    known = expected.replace("'", "").replace(" or ", ", ").split(", ")
    what = f"unknown kind {kind!r}{suggest(str(kind), known)} (known: {', '.join(known)})"
    return Problem(where_is(origins, key), key, what)


def _unknown(name: str, key: str, origins: Origins, missing: Sequence[str]) -> str:
    """What to say of an unknown key: the likely meaning is a sibling, or its namesake elsewhere.

    Every preset spells every key, so that the origins, and what a section misses, are all names.
    """
    if "." in name:
        section, _, inner = name.rpartition(".")
        return f"dots do not nest in YAML: write `{section}:` and below it `{inner}:`"
    if key == "experiment":
        return "its keys are put below `experiment`: write `# @package _global_` as its first line"
    parent = key.rpartition(".")[0]
    prefix = f"{parent}." if parent else ""
    others = [known for known in origins if known != key and not known.startswith(f"{key}.")]
    inside = (known.removeprefix(prefix) for known in others if known.startswith(prefix))
    siblings = dict.fromkeys([*missing, *(rest.split(".")[0] for rest in inside)])
    namesakes = [f"; did you mean {k}?" for k in others if k.rpartition(".")[2] == name]
    return "unknown key" + (suggest(name, siblings) or "".join(namesakes[:1]))


def _contradictions(spec: Spec) -> Iterator[tuple[str, str]]:
    """Values that are fine alone and impossible together: key and message."""
    size = spec.model.input_size
    if spec.model.resize < size:
        what = f"should be at least model.input_size, {size}, got {spec.model.resize}"
        yield "model.resize", what
    if isinstance(spec.compute, AzuremlCompute):
        if spec.workspace.kind == "local":
            where = "workspace=azure, or workspace=emulator"
            yield "workspace.kind", f"jobs belong to a workspace of Azure ML: {where}"
        yield from _of_jobs(spec.compute)
        yield from azure_sizes.contradictions(spec.compute, spec.budget.per_run)
    yield from ground.contradictions(spec)
    yield from _of_labels(spec)
    target = kinds.load("target", spec.target.kind)
    if spec.lineage.trusted_key and hasattr(target, "steps") and not hasattr(target, "VERIFIES"):
        yield "lineage.trusted_key", f"target.kind={spec.target.kind} checks no signature"
    for group in kinds.GROUPS:
        module = kinds.load(group, getattr(spec, group).kind)
        yield from getattr(module, "contradictions", lambda _: ())(spec)


def _of_labels(spec: Spec) -> Iterator[tuple[str, str]]:
    """Floors of what is not measured of such images."""
    several = bool(getattr(spec.data, "multi_label", False))
    labels = "several labels" if several else "one label"
    for name in ONE_ONLY if several else SEVERAL_ONLY:
        key = f"evaluation.gate.floors.{name}"
        if getattr(spec.evaluation.gate.floors, name) is not None:
            yield key, f"images of {labels} have none: {key}=null"


def _of_jobs(compute: AzuremlCompute) -> Iterator[tuple[str, str]]:
    """Contradictions within `compute`, for jobs: key and message."""
    most = compute.max_nodes
    if compute.min_nodes > most:
        yield "compute.min_nodes", ground.at_most("compute.max_nodes", most, compute.min_nodes)
    if compute.cluster and compute.nodes > most:
        yield "compute.nodes", ground.at_most("compute.max_nodes", most, compute.nodes)
    for name, value in compute.environment.items():
        if "${secret:" in value:
            yield f"compute.environment.{name}", "a job can not read this machine's secrets"
