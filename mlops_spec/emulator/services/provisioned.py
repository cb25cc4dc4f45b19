"""What a workspace makes in a moment, and keeps as it was sent: compute targets and schedules."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Provisioned:
    """A kind of resource.

    Attributes:
        group: What it is called in addresses.
        name: What names look like.
        tell: Makes the answer's own part of what was sent, its state and when it was made.
    """

    group: str
    name: re.Pattern[str]
    tell: Callable[[dict[str, Any], str, str], dict[str, Any]]

    @property
    def routes(self) -> tuple[Route, ...]:
        """Where it answers."""
        one = f"{WORKSPACE}/{self.group}/{{name}}"
        return (
            Route("PUT", ARM, one, self.put),
            Route("GET", ARM, one, self.get),
            Route("DELETE", ARM, one, self.delete),
            Route("GET", ARM, f"{WORKSPACE}/{self.group}", self.list_all),
        )

    async def put(self, world: World, call: Call) -> Reply:
        """Makes or changes one, which takes a moment."""
        workspace, name = workspaces.existing(world.store, call), call.found["name"]
        if not self.name.fullmatch(name):
            raise invalid(f"The name is not valid: {name}")
        headers = operations.start(world, call, "westeurope")
        key = self._key(workspace, name)
        known = world.store.get(key)
        system = known["system"] if known else workspaces.system_data()
        document = {"system": system, "sent": call.body, "operation": headers[_OPERATION]}
        world.store.put(key, document)
        return Reply(200 if known else 201, self._told(world, workspace, name), headers)

    async def get(self, world: World, call: Call) -> Reply:
        """One of them."""
        workspace = workspaces.existing(world.store, call)
        return Reply(body=self._told(world, workspace, call.found["name"]))

    async def list_all(self, world: World, call: Call) -> Reply:
        """All of them."""
        workspace = workspaces.existing(world.store, call)
        names = [name for name, _ in world.store.under(self._key(workspace, ""))]
        return Reply(body=page(call, [self._told(world, workspace, name) for name in names]))

    async def delete(self, world: World, call: Call) -> Reply:
        """Removes one, which takes a moment."""
        workspace, name = workspaces.existing(world.store, call), call.found["name"]
        self._told(world, workspace, name)
        world.store.delete(self._key(workspace, name))
        return Reply(202, None, operations.start(world, call, "westeurope"))

    def _key(self, workspace: Workspace, name: str) -> str:
        return f"{workspace.key}/{self.group}/{name}"

    def _told(self, world: World, workspace: Workspace, name: str) -> dict[str, Any]:
        document = world.store.get(self._key(workspace, name))
        if document is None:
            message = f"{name} of {self.group} not found in workspace {workspace.name}"
            raise ServiceError(404, "ResourceNotFound", message)
        state = operations.state(world, document["operation"])
        state = "Creating" if state == "InProgress" else state
        return {
            "id": f"{workspace.id}/{self.group}/{name}",
            "name": name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{self.group}",
            "systemData": document["system"],
            **self.tell(document["sent"], state, document["system"]["createdAt"]),
        }
