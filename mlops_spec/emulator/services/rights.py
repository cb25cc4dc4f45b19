"""Microsoft.Authorization: what the emulator's one service principal may do, which is anything.

Source: the description of Permissions_ListForResource, api-version 2022-04-01.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_spec.emulator import workspaces
from mlops_spec.emulator.routing import ARM, WORKSPACE, Reply, Route

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.world import World


async def permissions(world: World, call: Call) -> Reply:
    """What may be done with a workspace."""
    workspaces.existing(world.store, call)
    none: list[str] = []
    owner = {"actions": ["*"], "notActions": none, "dataActions": none, "notDataActions": none}
    return Reply(body={"value": [owner]})


ROUTES = (
    Route("GET", ARM, WORKSPACE + "/providers/Microsoft.Authorization/permissions", permissions),
)
