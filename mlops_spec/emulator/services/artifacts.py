"""Files of runs, as Azure ML's plugin of MLflow writes and reads them: each by a signed address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import jobs, tracking
from mlops_spec.emulator.routing import API, WORKSPACE, Reply, Route, ServiceError, invalid
from mlops_spec.emulator.workspaces import ARTIFACTS

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.tracking import Tracked
    from mlops_spec.emulator.world import World


async def begin(world: World, call: Call) -> Reply:
    """Where files are to be written."""
    run = tracking.of_request(world.store, call)
    names = [str(one.get("path", "")) for one in (call.body or {}).get("paths") or []]
    return Reply(
        body={
            "artifacts": {name: _artifact(run, name) for name in names},
            "artifactContentInformation": {
                name: _content(world, run, name, may="rcw") for name in names
            },
            "errors": {},
        }
    )


async def list_all(world: World, call: Call) -> Reply:
    """Every file of a run."""
    run = tracking.of_request(world.store, call)
    return Reply(body={"value": [_artifact(run, name) for name in await _names(world, run)]})


async def content(world: World, call: Call) -> Reply:
    """Where a file is to be read."""
    run, name = tracking.of_request(world.store, call), call.query.get("path", "")
    if name not in await _names(world, run):
        raise ServiceError(404, "UserError", f"Not found: artifact {name} of run {run.name}.")
    return Reply(body=_content(world, run, name, may="r"))


async def _names(world: World, run: Tracked) -> list[str]:
    prefix = f"{jobs.artifacts(run.name)}/"
    found = await world.blobs.names(run.workspace.container(ARTIFACTS), prefix)
    return [name.removeprefix(prefix) for name in found]


def _artifact(run: Tracked, name: str) -> dict[str, Any]:
    container = f"dcid.{run.name}"
    found = {"origin": "ExperimentRun", "container": container, "path": name}
    return {**found, "artifactId": f"ExperimentRun/{container}/{name}"}


def _content(world: World, run: Tracked, name: str, *, may: str) -> dict[str, Any]:
    if not name or ".." in name.split("/"):
        raise invalid(f"Not a name of an artifact: {name}")
    account, container = world.blobs.account, run.workspace.container(ARTIFACTS)
    blob = f"{jobs.artifacts(run.name)}/{name}"
    signed = f"{account.url(container, blob)}?{account.for_blob(container, blob, may=may)}"
    return {**_artifact(run, name), "contentUri": signed}


_ALL = "/history/v1.0" + WORKSPACE + "/experiments/{experiment}/runs/{run}/artifacts"
ROUTES = (
    Route("POST", API, _ALL + "/batch/metadata", begin),
    Route("GET", API, _ALL, list_all),
    Route("GET", API, _ALL + "/contentinfo", content),
)
