"""Compute targets: they exist, and cost nothing; jobs run on this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import operations, workspaces
from mlops_spec.emulator.paging import page
from mlops_spec.emulator.routing import ARM, WORKSPACE, Reply, Route, ServiceError, invalid

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.workspaces import Workspace
    from mlops_spec.emulator.world import World

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,31}")
_OPERATION = "x-emulator-operation"


async def put(world: World, call: Call) -> Reply:
    """Makes or changes a compute target, which takes a moment."""
    workspace, name = workspaces.existing(world.store, call), call.found["name"]
    if not _NAME.fullmatch(name):
        raise invalid(f"The compute name is not valid: {name}")
    headers = operations.start(world, call, "westeurope")
    key = f"{workspace.key}/computes/{name}"
    known = world.store.get(key)
    system = known["system"] if known else workspaces.system_data()
    document = {"system": system, "sent": call.body, "operation": headers[_OPERATION]}
    world.store.put(key, document)
    return Reply(200 if known else 201, _resource(world, workspace, name), headers)


async def get(world: World, call: Call) -> Reply:
    """One compute target."""
    workspace = workspaces.existing(world.store, call)
    return Reply(body=_resource(world, workspace, call.found["name"]))


async def list_all(world: World, call: Call) -> Reply:
    """Every compute target."""
    workspace = workspaces.existing(world.store, call)
    names = [name for name, _ in world.store.under(f"{workspace.key}/computes/")]
    return Reply(body=page(call, [_resource(world, workspace, name) for name in names]))


async def delete(world: World, call: Call) -> Reply:
    """Removes a compute target, which takes a moment."""
    workspace, name = workspaces.existing(world.store, call), call.found["name"]
    _resource(world, workspace, name)
    world.store.delete(f"{workspace.key}/computes/{name}")
    return Reply(202, None, operations.start(world, call, "westeurope"))


def _resource(world: World, workspace: Workspace, name: str) -> dict[str, Any]:
    document = world.store.get(f"{workspace.key}/computes/{name}")
    if document is None:
        message = f"Compute with name {name} not found in workspace {workspace.name}"
        raise ServiceError(404, "ResourceNotFound", message)
    sent, found = document["sent"], operations.state(world, document["operation"])
    made = document["system"]["createdAt"]
    return {
        "id": f"{workspace.id}/computes/{name}",
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "location": sent.get("location"),
        "tags": sent.get("tags") or {},
        "systemData": document["system"],
        "properties": {
            **_complete(sent.get("properties", {})),
            "provisioningState": "Creating" if found == "InProgress" else found,
            "createdOn": made,
            "modifiedOn": made,
            "isAttachedCompute": False,
            "provisioningErrors": None,
        },
    }


def _complete(wanted: dict[str, Any]) -> dict[str, Any]:
    """What was sent for a compute target, with what Azure adds where nothing was said."""
    if wanted.get("computeType") != "AmlCompute":
        return wanted
    own = wanted.get("properties") or {}
    return {**wanted, "properties": {**own, "vmPriority": own.get("vmPriority") or "Dedicated"}}


_ONE = WORKSPACE + "/computes/{name}"
ROUTES = (
    Route("PUT", ARM, _ONE, put),
    Route("GET", ARM, _ONE, get),
    Route("DELETE", ARM, _ONE, delete),
    Route("GET", ARM, WORKSPACE + "/computes", list_all),
)
