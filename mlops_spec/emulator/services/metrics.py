"""Metrics of runs as the run history's clients ask for them; MLflow has its own way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import tracking
from mlops_spec.emulator.routing import API, WORKSPACE, Reply, Route, ServiceError

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.world import World

_KIND = "Double"


async def list_all(world: World, call: Call) -> Reply:
    """Which metrics a run has."""
    run = tracking.of_request(world.store, call)
    return Reply(
        body={
            "value": [
                {"metricKey": {"name": name}, "columns": {name: _KIND}} for name in run.history()
            ]
        }
    )


async def full(world: World, call: Call) -> Reply:
    """Every value of a metric."""
    run, name = tracking.of_request(world.store, call), str((call.body or {}).get("metricName", ""))
    points = run.history().get(name)
    if points is None:
        raise ServiceError(404, "UserError", f"Not found: metric {name} of run {run.name}.")
    body = {"dataContainerId": f"dcid.{run.name}", "name": name, "columns": {name: _KIND}}
    return Reply(body={**body, "value": [_value(name, point) for point in points]})


def _value(name: str, point: tracking.Point) -> dict[str, Any]:
    when = datetime.fromtimestamp(point["timestamp"] / 1000, UTC).isoformat()
    data = {name: tracking.shown(point)["value"]}
    return {"createdUtc": when, "step": point["step"], "data": data}


_OF_RUN = "/metric/v2.0" + WORKSPACE + "/runs/{run}"
ROUTES = (
    Route("POST", API, _OF_RUN + "/list", list_all),
    Route("POST", API, _OF_RUN + "/full", full),
)
