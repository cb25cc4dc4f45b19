"""What a workspace makes in a moment, and keeps as it was sent: compute targets and schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import operations, workspaces
from mlops_spec.emulator.paging import page
from mlops_spec.emulator.routing import ARM, WORKSPACE, Reply, Route, ServiceError, invalid

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.workspaces import Workspace
    from mlops_spec.emulator.world import World

_OPERATION = "x-emulator-operation"
Told = dict[str, Any]


def routes(
    group: str, name: re.Pattern[str], tell: Callable[[Told, str, str], Told]
) -> tuple[Route, ...]:
    """The routes of a kind of resource.

    Args:
        group: What it is called in addresses.
        name: What names look like.
        tell: Makes the answer's own part of what was sent, its state and when it was made.
    """

    def told(world: World, workspace: Workspace, found: str) -> Told:
        document = world.store.get(f"{workspace.key}/{group}/{found}")
        if document is None:
            message = f"{found} of {group} not found in workspace {workspace.name}"
            raise ServiceError(404, "ResourceNotFound", message)
        state = operations.state(world, document["operation"])
        state = "Creating" if state == "InProgress" else state
        return {
            "id": f"{workspace.id}/{group}/{found}",
            "name": found,
            "type": f"Microsoft.MachineLearningServices/workspaces/{group}",
            "systemData": document["system"],
            **tell(document["sent"], state, document["system"]["createdAt"]),
        }

    async def put(world: World, call: Call) -> Reply:
        workspace, found = workspaces.existing(world.store, call), call.found["name"]
        if not name.fullmatch(found):
            raise invalid(f"The name is not valid: {found}")
        headers = operations.start(world, call, "westeurope")
        key = f"{workspace.key}/{group}/{found}"
        known = world.store.get(key)
        system = known["system"] if known else workspaces.system_data()
        document = {"system": system, "sent": call.body, "operation": headers[_OPERATION]}
        world.store.put(key, document)
        return Reply(200 if known else 201, told(world, workspace, found), headers)

    async def get(world: World, call: Call) -> Reply:
        return Reply(body=told(world, workspaces.existing(world.store, call), call.found["name"]))

    async def list_all(world: World, call: Call) -> Reply:
        workspace = workspaces.existing(world.store, call)
        found = [name for name, _ in world.store.under(f"{workspace.key}/{group}/")]
        return Reply(body=page(call, [told(world, workspace, one) for one in found]))

    async def delete(world: World, call: Call) -> Reply:
        workspace, found = workspaces.existing(world.store, call), call.found["name"]
        told(world, workspace, found)
        world.store.delete(f"{workspace.key}/{group}/{found}")
        return Reply(202, None, operations.start(world, call, "westeurope"))

    one = f"{WORKSPACE}/{group}/{{name}}"
    return (
        Route("PUT", ARM, one, put),
        Route("GET", ARM, one, get),
        Route("DELETE", ARM, one, delete),
        Route("GET", ARM, f"{WORKSPACE}/{group}", list_all),
    )
