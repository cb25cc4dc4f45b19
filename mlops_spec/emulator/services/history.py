"""Run history: what clients ask about a job besides ARM, and where its outputs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import jobs, tracking, workspaces
from mlops_spec.emulator.routing import API, WORKSPACE, Reply, Route, invalid
from mlops_spec.emulator.services.jobs import find
from mlops_spec.emulator.workspaces import ARTIFACTS

if TYPE_CHECKING:
    from mlops_spec.emulator.jobs import Job
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.world import World

_TYPES = {"custom_model": "CustomModel", "mlflow_model": "MLFlowModel"}
_RUN_TYPES = {"Command": "azureml.scriptrun", "Sweep": "azureml.hyperdrive"}


async def run(world: World, call: Call) -> Reply:
    """A run."""
    return Reply(body=_run(find(world, call, call.found["run"])))


async def details(world: World, call: Call) -> Reply:
    """A run with the addresses of its logs."""
    job = find(world, call, call.found["run"])
    expired = world.faults.take("expired_sas", call) is not None
    container, account = job.workspace.container(ARTIFACTS), world.blobs.account
    logs = {}
    for name in await world.blobs.names(container, f"{job.artifacts}/user_logs/"):
        signed = account.for_blob(container, name, expired=expired)
        logs[name.removeprefix(f"{job.artifacts}/")] = f"{account.url(container, name)}?{signed}"
    return Reply(body={**_run(job), "logFiles": logs, "warnings": []})


async def children(world: World, call: Call) -> Reply:
    """The runs that a run has started."""
    parent = find(world, call, call.found["run"])
    found = [
        jobs.Job(world.store, parent.workspace, name)
        for name, document in world.store.under(f"{parent.workspace.key}/jobs/")
        if document["run"]["parent"] == parent.name
    ]
    return Reply(body={"value": [_run(job) for job in found]})


async def run_data(world: World, call: Call) -> Reply:
    """A run with its outputs."""
    job = find(world, call, str((call.body or {}).get("runId", "")))
    return Reply(body={"runMetadata": _run(job), "runDefinition": None, "jobSpecification": None})


async def patch(world: World, call: Call) -> Reply:
    """Changes what people call a run: tags and properties are added to those it has."""
    job = find(world, call, call.found["run"])
    sent = call.body or {}
    document = job.document
    properties = dict(document["properties"])
    for field in ("tags", "properties"):
        properties[field] = {**(properties.get(field) or {}), **(sent.get(field) or {})}
    for field in ("displayName", "description"):
        if sent.get(field) is not None:
            properties[field] = sent[field]
    if sent.get("hidden") is not None:
        properties["isArchived"] = bool(sent["hidden"])
    world.store.put(job.key, {**document, "properties": properties})
    return Reply(body=_run(job))


async def resolved_uris(world: World, call: Call) -> Reply:
    """Where the outputs are that `run_data` named."""
    workspace = workspaces.existing(world.store, call)
    values = {}
    for asset in (call.body or {}).get("values") or []:
        _, _, rest = str(asset).partition("/jobs/")
        name, _, output = rest.partition("/outputs/")
        document = world.store.get(f"{workspace.key}/jobs/{name}")
        if document is None or output not in document["run"]["outputs"]:
            raise invalid(f"Not an output of a job: {asset}")
        values[asset] = document["run"]["outputs"][output]
    return Reply(
        body={"values": {a: {"uri": uri, "type": "UriFolder"} for a, uri in values.items()}}
    )


async def model_uris(world: World, call: Call) -> Reply:
    """Where the outputs are that are models."""
    found = await resolved_uris(world, call)
    values = {asset: {"path": place["uri"]} for asset, place in found.body["values"].items()}
    return Reply(body={"values": values})


def _run(job: Job) -> dict[str, Any]:
    properties, run = job.properties, job.run
    tracked = tracking.Tracked(job.store, job.workspace, job.name)
    return {
        "runId": job.name,
        "runUuid": job.name,
        "rootRunId": run["parent"] or job.name,
        "parentRunId": run["parent"] or None,
        "experimentId": properties.get("experimentName") or "Default",
        "runType": _RUN_TYPES.get(properties["jobType"], "azureml.PipelineRun"),
        "status": run["status"],
        "createdUtc": run["created"],
        "startTimeUtc": run.get("start"),
        "endTimeUtc": run.get("end"),
        "error": run.get("error"),
        "displayName": properties.get("displayName") or job.name,
        "description": properties.get("description"),
        "hidden": bool(properties.get("isArchived")),
        "tags": {**(properties.get("tags") or {}), **tracked.added_tags},
        "parameters": tracked.params,
        "properties": properties.get("properties") or {},
        "outputs": {name: _output(job, name) for name in run["outputs"]},
    }


def _output(job: Job, name: str) -> dict[str, str]:
    sent = (job.properties.get("outputs") or {}).get(name) or {}
    kind = sent.get("jobOutputType", "uri_folder")
    asset = f"azureml:/{job.workspace.id}/jobs/{job.name}/outputs/{name}"
    return {"assetId": asset, "type": _TYPES.get(kind, kind)}


_HISTORY = "/history/v1.0" + WORKSPACE
_RUN = _HISTORY + "/runs/{run}"
ROUTES = (
    Route("GET", API, _RUN, run),
    Route("GET", API, _RUN + "/details", details),
    Route("GET", API, _RUN + "/children", children),
    Route("POST", API, _HISTORY + "/rundata", run_data),
    Route("PATCH", API, _HISTORY + "/experiments/{experiment}/runs/{run}", patch),
    Route(
        "POST", API, "/data/v1.0" + WORKSPACE + "/dataversion/batchGetResolvedUris", resolved_uris
    ),
    Route(
        "POST", API, "/modelregistry/v1.0" + WORKSPACE + "/models/batchGetResolvedUris", model_uris
    ),
)
