"""Jobs: submitted, asked after, listed, cancelled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import distribution, jobs, limits, search_space, workspaces
from mlops_spec.emulator.paging import page
from mlops_spec.emulator.routing import ARM, WORKSPACE, Reply, Route, ServiceError, invalid
from mlops_spec.emulator.services.workspace import API_HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.emulator.jobs import Job
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.workspaces import Workspace
    from mlops_spec.emulator.world import World

_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,254}", re.ASCII)
_REQUIRED = {
    "Command": ("command", "environmentId"),
    "Sweep": ("trial", "searchSpace", "samplingAlgorithm", "objective"),
    "Pipeline": ("jobs",),
}
# Of a job that was submitted only these can still be changed
_CHANGEABLE = ("tags", "properties", "displayName", "description", "isArchived")


async def put(world: World, call: Call) -> Reply:
    """Submits a job; of one that exists, changes what people call it."""
    workspace, name = workspaces.existing(world.store, call), call.found["name"]
    properties = dict((call.body or {}).get("properties") or {})
    job = jobs.Job(world.store, workspace, name)
    document = world.store.get(job.key)
    if document:
        changed = {field: properties[field] for field in _CHANGEABLE if field in properties}
        kept = {**document["properties"], **changed}
        world.store.put(job.key, {**document, "properties": kept})
        return Reply(200, resource(job))
    if not _NAME.fullmatch(name):
        raise invalid(f"The job name is not valid: {name}")
    _check(world, workspace, properties)
    if properties.get("objective"):  # answered as it is described, however it was written
        goal = str(properties["objective"].get("goal", "")).capitalize()
        properties["objective"] = {**properties["objective"], "goal": goal}
    jobs.create(world.store, workspace, name, properties)
    world.runs.start(job.key)
    return Reply(201, resource(job))


def _check(world: World, workspace: Workspace, properties: dict[str, Any]) -> None:
    """What the service refuses at once."""
    kind = properties.get("jobType")
    if kind not in _REQUIRED:
        raise ServiceError(400, "NotEmulated", f"The emulator does not run jobs of type {kind}.")
    for field in _REQUIRED[kind]:
        if not properties.get(field):
            raise invalid(f"A job of type {kind} needs {field}.")
    if kind == "Sweep":
        search_space.check(properties)
        limits.seconds(properties, "trialTimeout")
    if kind != "Pipeline":
        limits.seconds(properties)
        distribution.workers(properties.get("trial") or properties)
    for resource_id in _ids(properties):
        found = workspaces.of_id(resource_id)
        if found and found.key == workspace.key:
            _exists(world, workspace, resource_id)


def _ids(properties: dict[str, Any]) -> Iterator[str]:
    """Everything of a workspace that a job names."""
    parts = [properties, properties.get("trial") or {}, *(properties.get("jobs") or {}).values()]
    for part in parts:
        for field in ("codeId", "environmentId", "computeId", "componentId"):
            if isinstance(part.get(field), str):
                yield part[field]


def _exists(world: World, workspace: Workspace, resource_id: str) -> None:
    kind, name, *version = resource_id.removeprefix("azureml:").split("/")[9:]
    if kind == "computes" and name == "serverless":
        return
    found = world.store.get("/".join([workspace.key, kind, name, *version[1:]]))
    if found is None:
        raise ServiceError(404, "UserError", f"Not found: {resource_id}")


async def get(world: World, call: Call) -> Reply:
    """One job."""
    return Reply(body=resource(find(world, call, call.found["name"])))


async def list_all(world: World, call: Call) -> Reply:
    """Jobs that were submitted, newest first."""
    workspace = workspaces.existing(world.store, call)
    found = [
        jobs.Job(world.store, workspace, name)
        for name, document in world.store.under(f"{workspace.key}/jobs/")
        if not document["run"]["parent"] and _is_wanted(document["properties"], call)
    ]
    return Reply(body=page(call, [resource(job) for job in reversed(found)]))


def _is_wanted(properties: dict[str, Any], call: Call) -> bool:
    archived = "ArchivedOnly" if properties.get("isArchived") else "ActiveOnly"
    kind = call.query.get("jobType")
    view = call.query.get("listViewType", "ActiveOnly")
    return view in ("All", archived) and kind in (None, properties["jobType"])


async def cancel(world: World, call: Call) -> Reply:
    """Ends a job that has not ended."""
    job = find(world, call, call.found["name"])
    if job.run["status"] in jobs.FINAL:
        message = f"The job is in terminal state {job.run['status']} and can not be canceled."
        raise ServiceError(400, "UserError", message)
    job.update(status="CancelRequested")
    world.runs.cancel(job.key)
    return Reply(202)


async def delete(world: World, call: Call) -> Reply:
    """Removes a job that has ended."""
    job = find(world, call, call.found["name"])
    if job.run["status"] not in jobs.FINAL:
        raise ServiceError(409, "Conflict", "The job has not ended; cancel it first.")
    world.store.delete(job.key)
    return Reply(200)


def find(world: World, call: Call, name: str) -> Job:
    """A job of a request's workspace.

    Raises:
        ServiceError: There is none of that name.
    """
    job = jobs.Job(world.store, workspaces.existing(world.store, call), name)
    if world.store.get(job.key) is None:
        raise ServiceError(404, "UserError", f"Not found: job {name}.")
    return job


def resource(job: Job) -> dict[str, Any]:
    """A job as ARM answers it."""
    document, workspace = job.document, job.workspace
    properties, run = document["properties"], document["run"]
    studio = f"https://ml.azure.com/runs/{job.name}?wsid={workspace.id}"
    tracking = f"azureml://{API_HOST}/mlflow/v1.0{workspace.id}"
    return {
        "id": f"{workspace.id}/jobs/{job.name}",
        "name": job.name,
        "type": "Microsoft.MachineLearningServices/workspaces/jobs",
        "systemData": document["system"],
        "properties": {
            "experimentName": "Default",
            "displayName": job.name,
            "description": None,
            "tags": {},
            "properties": {},
            "isArchived": False,
            **{name: value for name, value in properties.items() if value is not None},
            "status": run["status"],
            "services": {
                "Tracking": {"jobServiceType": "Tracking", "endpoint": tracking},
                "Studio": {"jobServiceType": "Studio", "endpoint": studio},
            },
        },
    }


_ONE = WORKSPACE + "/jobs/{name}"
ROUTES = (
    Route("PUT", ARM, _ONE, put),
    Route("GET", ARM, _ONE, get),
    Route("DELETE", ARM, _ONE, delete),
    Route("GET", ARM, WORKSPACE + "/jobs", list_all),
    Route("POST", ARM, _ONE + "/cancel", cancel),
)
