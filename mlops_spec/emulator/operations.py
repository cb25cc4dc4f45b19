"""Long-running operations: accepted now, done a moment later, asked after until then."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator.routing import ARM, Reply, Route, ServiceError

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.world import World

_PATH = (
    "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices"
    "/locations/{location}/operationsStatus/{operation}"
)
_SECONDS = 0.5


def start(world: World, call: Call, location: str) -> dict[str, str]:
    """Headers that say where to ask after the operation that a request started."""
    failed = world.faults.take("failed_operation", call) is not None
    slow = world.faults.take("slow_operation", call)
    operation = str(uuid.uuid4())
    ends = time.time() + _SECONDS + (slow.seconds if slow else 0)
    world.store.put(f"operations/{operation}", {"ends": ends, "failed": failed})
    path = _PATH.format(
        subscription=call.found["subscription"], location=location, operation=operation
    )
    version = call.query.get("api-version", "")
    return {
        "Azure-AsyncOperation": f"https://{ARM}{path}?api-version={version}",
        "Retry-After": "1",
        "x-emulator-operation": operation,
    }


def state(world: World, operation: str) -> str:
    """How far an operation is."""
    document = world.store.get(f"operations/{operation}")
    if document is None:
        raise ServiceError(404, "NotFound", f"There is no operation {operation}.")
    if time.time() < document["ends"]:
        return "InProgress"
    return "Failed" if document["failed"] else "Succeeded"


async def status(world: World, call: Call) -> Reply:
    """How far an operation is, as its client asks."""
    found = state(world, call.found["operation"])
    body: dict[str, Any] = {"id": call.path, "name": call.found["operation"], "status": found}
    if found == "Failed":
        body["error"] = {"code": "EmulatedFault", "message": "The operation failed, as asked for."}
    waiting = {"Retry-After": "1"} if found == "InProgress" else {}
    return Reply(body=body, headers=waiting)


ROUTES = (Route("GET", ARM, _PATH, status),)
