"""A pipeline: its steps as command jobs, each when what it is bound to is there."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import jobs, locations, placeholders, workspaces
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_spec.emulator.bench import Bench
    from mlops_spec.emulator.jobs import Job

_LITERAL = "literal"
_KINDS = {"pytorch": "PyTorch", "mpi": "Mpi", "tensorflow": "TensorFlow", "ray": "Ray"}
_OF_COMPONENT = ("resources", "distribution", "limits")


async def run(bench: Bench, job: Job) -> None:
    """Runs every step; after one has failed, those that need it do not run."""
    steps = job.properties.get("jobs") or {}
    needs = {name: _needs(name, step, steps) for name, step in steps.items()}
    job.update(status="Running", start=workspaces.now())
    tasks: dict[str, asyncio.Task[Job | None]] = {}

    async def step(name: str) -> Job | None:
        done = [await asyncio.shield(tasks[need]) for need in needs[name]]
        if None in done:
            return None
        made = {need: found for need, found in zip(needs[name], done, strict=True) if found}
        child = _child(bench, job, name, made)
        return child if await bench.child(child) == "Completed" else None

    try:
        async with asyncio.TaskGroup() as group:
            for name in _ordered(needs):
                tasks[name] = group.create_task(step(name))
    except ExceptionGroup as errors:  # the first one says it
        raise errors.exceptions[0] from errors
    missing = [name for name, task in tasks.items() if task.result() is None]
    if missing:
        message = f"Pipeline has failed child jobs: {', '.join(missing)}"
        job.end("Failed", jobs.error("UserError", message))
        return
    job.update(outputs={**job.run["outputs"], **dict(_results(job, tasks))})
    job.end("Completed")


def _needs(name: str, step: dict[str, Any], steps: Mapping[str, Any]) -> list[str]:
    """The steps whose outputs a step is bound to."""
    bound = [
        word.split(".")[2]
        for sent in (step.get("inputs") or {}).values()
        for word in placeholders.names(sent.get("value") or sent.get("uri"))
        if word.startswith("parent.jobs.")
    ]
    for need in bound:
        if need not in steps:
            raise StateError(f"step {name} is bound to step {need}, which is not there")
    return [*dict.fromkeys(bound)]


def _ordered(needs: Mapping[str, list[str]]) -> list[str]:
    """Steps after those that they need."""
    from graphlib import CycleError, TopologicalSorter

    try:
        return [*TopologicalSorter(needs).static_order()]
    except CycleError as error:
        raise StateError(f"steps need each other: {', '.join(error.args[1])}") from error


def _child(bench: Bench, job: Job, name: str, made: Mapping[str, Job]) -> Job:
    """A step as a command job."""
    step = job.properties["jobs"][name]
    spec = _spec(job, step)
    inputs = dict(_defaults(spec))
    for field, sent in (step.get("inputs") or {}).items():
        bound = _bound(job, made, sent)
        if bound is not None:  # an optional input of the pipeline's that nobody gave
            inputs[field] = bound
    settings = job.properties.get("settings") or {}
    compute = step.get("computeId") or job.properties.get("computeId")
    properties = {
        "jobType": "Command",
        "displayName": name,
        "experimentName": job.properties.get("experimentName"),
        "command": spec["command"],
        "codeId": _identifier(spec.get("code")),
        "environmentId": _identifier(step.get("environmentId") or spec.get("environment")),
        "environmentVariables": step.get("environment_variables")
        or step.get("environmentVariables"),
        "computeId": compute or settings.get("default_compute"),
        **{name: _as_a_job(step.get(name) or spec.get(name)) for name in _OF_COMPONENT},
        "inputs": inputs,
        "outputs": {
            output: _output(job, declared, (step.get("outputs") or {}).get(output) or {})
            for output, declared in (spec.get("outputs") or {}).items()
        },
    }
    return jobs.create(bench.store, job.workspace, str(uuid.uuid4()), properties, job.name)


def _identifier(text: str | None) -> str | None:
    """Of an asset, as jobs have it: components write `azureml:` before it."""
    return text.removeprefix("azureml:") if text else None


def _as_a_job(asked: dict[str, Any] | None) -> dict[str, Any] | None:
    """A part of a component or a step as a job spells it: `instance_count` is `instanceCount`."""
    if not asked:
        return None
    found = dict(asked)
    if kind := found.pop("type", None):
        found["distribution_type"] = _KINDS.get(str(kind).lower(), kind)
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), name): value for name, value in found.items()}


def _spec(job: Job, step: dict[str, Any]) -> dict[str, Any]:
    found = str(step.get("componentId", "")).removeprefix("azureml:").split("/")
    name, version = found[-3], found[-1]
    asset = locations.asset(job.store, job.workspace, "components", name, version)
    spec = dict(asset["properties"]["componentSpec"])
    if spec.get("type") != "command":
        raise StateError(f"the emulator does not run components of type {spec.get('type')}")
    return spec


def _defaults(spec: dict[str, Any]) -> Any:
    for name, declared in (spec.get("inputs") or {}).items():
        if declared.get("default") is not None:
            yield name, {"jobInputType": _LITERAL, "value": str(declared["default"])}


def _bound(job: Job, made: Mapping[str, Job], sent: dict[str, Any]) -> dict[str, Any] | None:
    """An input of a step: what it is bound to, or itself; None for what is not there."""
    text = sent.get("value") or sent.get("uri")
    word = placeholders.only(text)
    if word is None:
        known = job.properties.get("inputs") or {}
        values = {f"parent.inputs.{n}": str(i.get("value", "")) for n, i in known.items()}
        found = placeholders.fill(text, values) if isinstance(text, str) else text
        field = "value" if "value" in sent else "uri"
        kind = sent.get("jobInputType") or sent.get("job_input_type") or _LITERAL
        return {"jobInputType": kind, field: found}
    _, group, name, *rest = word.split(".")
    if group == "inputs":
        return (job.properties.get("inputs") or {}).get(name)
    output = rest[-1]
    place = made[name].run["outputs"].get(output)
    if place is None:
        raise StateError(f"step {name} has no output {output}")
    return {"jobInputType": "uri_folder", "uri": place}


def _output(job: Job, declared: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """An output of a step: with the address of the pipeline's output that it is bound to."""
    word = placeholders.only(sent.get("value")) or ""
    own = (job.properties.get("outputs") or {}).get(word.rpartition(".")[2]) or {}
    found = {
        "jobOutputType": declared.get("type", "uri_folder"),
        "uri": sent.get("uri"),
        "mode": sent.get("mode"),
    }
    return {
        name: value for part in (found, own) for name, value in part.items() if value is not None
    }


def _results(job: Job, tasks: Mapping[str, asyncio.Task[Job | None]]) -> Any:
    """Where the pipeline's own outputs are: where the bound steps have put theirs."""
    for name, task in tasks.items():
        child = task.result()
        for output, sent in (job.properties["jobs"][name].get("outputs") or {}).items():
            word = placeholders.only((sent or {}).get("value")) or ""
            if word.startswith("parent.outputs.") and child:
                yield word.rpartition(".")[2], child.run["outputs"][output]
