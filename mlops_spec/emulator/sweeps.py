"""A sweep: a command job for each combination, so many at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import jobs, limits, placeholders, search_space, workspaces

if TYPE_CHECKING:
    from mlops_spec.emulator.bench import Bench
    from mlops_spec.emulator.jobs import Job

_OF_TRIAL = ("codeId", "environmentId", "environmentVariables", "resources", "distribution")


async def run(bench: Bench, job: Job) -> None:
    """Runs every trial; the sweep has failed when none of them was completed."""
    job.update(status="Running", start=workspaces.now())
    rows = search_space.trials(job.properties)
    most = (job.properties.get("limits") or {}).get("maxConcurrentTrials")
    slots = asyncio.Semaphore(most or len(rows))

    async def trial(number: int, row: dict[str, Any]) -> str:
        async with slots:
            name, properties = f"{job.name}_{number}", _properties(job, row)
            child = jobs.create(bench.store, job.workspace, name, properties, job.name)
            return await bench.child(child)

    async with limits.limited(limits.seconds(job.properties)):
        ended = await asyncio.gather(*(trial(number, row) for number, row in enumerate(rows)))
    if "Completed" in ended:
        job.end("Completed")
    else:
        job.end("Failed", jobs.error("UserError", "No trial was completed."))


def _properties(job: Job, row: dict[str, Any]) -> dict[str, Any]:
    """A trial as a command job."""
    sweep, trial = job.properties, job.properties["trial"]
    values = {f"search_space.{name}": str(value) for name, value in row.items()}
    others = {name: f"${{{{{name}}}}}" for name in placeholders.names(trial["command"])}
    inputs = {name: {"jobInputType": "literal", "value": str(value)} for name, value in row.items()}
    return {
        "jobType": "Command",
        "experimentName": sweep.get("experimentName"),
        "computeId": sweep.get("computeId"),
        "command": placeholders.fill(trial["command"], {**others, **values}),
        **{name: trial[name] for name in _OF_TRIAL if trial.get(name) is not None},
        **_limits(sweep.get("limits") or {}),
        "inputs": {**(sweep.get("inputs") or {}), **inputs},
        "outputs": _unplaced(sweep.get("outputs") or {}),
        "tags": {name: str(value) for name, value in row.items()},
    }


def _limits(sweep: dict[str, Any]) -> dict[str, Any]:
    """How long a trial may run, where the sweep says it."""
    most = sweep.get("trialTimeout")
    return {"limits": {"jobLimitsType": "Command", "timeout": most}} if most else {}


def _unplaced(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs of a sweep without their address: each trial has a folder of its own."""
    return {name: {**(sent or {}), "uri": None} for name, sent in outputs.items()}
