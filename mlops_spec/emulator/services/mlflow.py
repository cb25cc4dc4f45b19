"""MLflow's REST API of a workspace, under the address that Azure ML's plugin makes of azureml://."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import experiments, run_filter, tracking, workspaces
from mlops_spec.emulator.routing import API, HERE, WORKSPACE, Reply, Route, ServiceError, with_body
from mlops_spec.emulator.services.workspace import API_HOST
from mlops_spec.emulator.tracking import Tracked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.workspaces import Workspace
    from mlops_spec.emulator.world import World

    Handler = Callable[[World, Call], Awaitable[Reply]]

_MOST = {"metrics": 1000, "params": 100, "tags": 100}  # of a batch, as MLflow has it
_MISSING, _WRONG = "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"
_PAGE = 1000


async def get_experiment(world: World, call: Call) -> Reply:
    """An experiment by its id."""
    workspace = workspaces.existing(world.store, call)
    found = str(_asked(call, "experiment_id"))
    name = experiments.name_of(world.store, workspace, found)
    if name is None:
        raise _error(404, _MISSING, f"No experiment with id {found} exists.")
    return Reply(body={"experiment": _experiment(workspace, name)})


async def get_experiment_by_name(world: World, call: Call) -> Reply:
    """An experiment by its name."""
    workspace = workspaces.existing(world.store, call)
    name = str(_asked(call, "experiment_name"))
    if name not in experiments.names(world.store, workspace):
        raise _error(404, _MISSING, f"Could not find experiment with name '{name}'.")
    return Reply(body={"experiment": _experiment(workspace, name)})


async def create_experiment(world: World, call: Call) -> Reply:
    """Makes an experiment."""
    workspace = workspaces.existing(world.store, call)
    name = str(_asked(call, "name"))
    if name in experiments.names(world.store, workspace):
        raise _error(400, "RESOURCE_ALREADY_EXISTS", f"Experiment '{name}' already exists.")
    return Reply(body={"experiment_id": experiments.ensure(world.store, workspace, name)})


async def search_experiments(world: World, call: Call) -> Reply:
    """Every experiment."""
    workspace = workspaces.existing(world.store, call)
    found = experiments.names(world.store, workspace)
    return Reply(body={"experiments": [_experiment(workspace, name) for name in found]})


async def create_run(world: World, call: Call) -> Reply:
    """Begins a run that is no job's."""
    workspace, sent = workspaces.existing(world.store, call), call.body or {}
    found = str(_asked(call, "experiment_id"))
    if experiments.name_of(world.store, workspace, found) is None:
        raise _error(404, _MISSING, f"No experiment with id {found} exists.")
    run = Tracked(world.store, workspace, str(uuid.uuid4()))
    tags = {tag["key"]: tag.get("value", "") for tag in sent.get("tags") or []}
    name = sent.get("run_name") or tags.get("mlflow.runName") or run.name
    begun = {"experiment_id": found, "run_name": name, "lifecycle_stage": "active"}
    started = int(sent.get("start_time") or tracking.now())
    run.begin({**begun, "status": "RUNNING", "start_time": started, "end_time": None})
    run.add({}, {**tags, "mlflow.runName": name})
    return Reply(body={"run": _run(run)})


async def get_run(world: World, call: Call) -> Reply:
    """A run with the last value of each of its metrics."""
    return Reply(body={"run": _run(_found(world, call))})


async def update_run(world: World, call: Call) -> Reply:
    """Says what has become of a run."""
    run, sent = _found(world, call), call.body or {}
    given = {name: sent[name] for name in ("status", "run_name") if sent.get(name)}
    if sent.get("end_time"):
        given["end_time"] = int(sent["end_time"])
    run.change(given)
    return Reply(body={"run_info": _info(run)})


async def search_runs(world: World, call: Call) -> Reply:
    """Runs of some experiments."""
    workspace, sent = workspaces.existing(world.store, call), call.body or {}
    wanted = run_filter.predicate(sent.get("filter") or "")
    ids = set(map(str, sent.get("experiment_ids") or []))
    found = [
        run
        for run in tracking.all_of(world.store, workspace)
        if run.info["experiment_id"] in ids and wanted(run)
    ]
    first, most = int(sent.get("page_token") or 0), int(sent.get("max_results") or _PAGE)
    runs = run_filter.ordered(found, sent.get("order_by") or [])
    body: dict[str, Any] = {"runs": [_run(run) for run in runs[first : first + most]]}
    return Reply(body={**body, **_next(first + most, len(runs))})


async def log_batch(world: World, call: Call) -> Reply:
    """Adds metrics, parameters and tags, all of them or none."""
    run, sent = _found(world, call), call.body or {}
    for part, most in _MOST.items():
        if len(sent.get(part) or []) > most:
            raise _error(400, _WRONG, f"A batch has at most {most} {part}.")
    points = [_point(metric) for metric in sent.get("metrics") or []]
    params = {param["key"]: str(param.get("value", "")) for param in sent.get("params") or []}
    for name, value in params.items():
        if run.params.get(name, value) != value:
            message = f"Changing param values is not allowed: '{name}' of run {run.name}."
            raise _error(400, _WRONG, message)
    tags = {tag["key"]: str(tag.get("value", "")) for tag in sent.get("tags") or []}
    if params or tags:
        run.add(params, tags)
    if points:
        run.log(points)
    return Reply(body={})


async def _log_one(part: str, world: World, call: Call) -> Reply:
    one = {**(call.body or {})}
    run = one.get("run_id") or one.get("run_uuid")
    return await log_batch(world, with_body(call, {"run_id": run, part: [one]}))


async def delete_tag(world: World, call: Call) -> Reply:
    """Removes a tag."""
    _found(world, call).remove_tag(str(_asked(call, "key")))
    return Reply(body={})


async def history(world: World, call: Call) -> Reply:
    """Every value of a metric."""
    points = _found(world, call).history().get(str(_asked(call, "metric_key")), [])
    first = int(call.query.get("page_token") or 0)
    most = int(call.query.get("max_results") or len(points) or 1)
    shown = [tracking.shown(point) for point in points[first : first + most]]
    return Reply(body={"metrics": shown, **_next(first + most, len(points))})


def _found(world: World, call: Call) -> Tracked:
    workspace = workspaces.existing(world.store, call)
    given = {**call.query, **(call.body or {})}
    name = str(given.get("run_id") or given.get("run_uuid") or "")
    run = Tracked(world.store, workspace, name)
    if not name or not run.exists:
        raise _error(404, _MISSING, f"Run '{name}' not found.")
    return run


def _asked(call: Call, name: str) -> Any:
    found = {**call.query, **(call.body or {})}.get(name)
    if not found:
        raise _error(400, _WRONG, f"Missing value for required parameter '{name}'.")
    return found


def _point(metric: dict[str, Any]) -> tracking.Point:
    try:
        value = float(metric["value"])
        times = {name: int(metric.get(name) or 0) for name in ("timestamp", "step")}
        return {"key": str(metric["key"]), "value": value, **times}
    except (KeyError, TypeError, ValueError) as error:
        raise _error(400, _WRONG, f"Not a value of a metric: {metric}") from error


def _next(end: int, length: int) -> dict[str, str]:
    return {"next_page_token": str(end)} if end < length else {}


def _experiment(workspace: Workspace, name: str) -> dict[str, Any]:
    found = experiments.identifier(workspace, name)
    place = f"azureml://{API_HOST}/mlflow/v2.0{workspace.id}/experiments/{name}"
    return {
        "experiment_id": found,
        "name": name,
        "artifact_location": place,
        "lifecycle_stage": "active",
    }


def _info(run: Tracked) -> dict[str, Any]:
    info = {name: value for name, value in run.info.items() if value is not None}
    name = experiments.name_of(run.store, run.workspace, info["experiment_id"])
    place = f"azureml://{API_HOST}/mlflow/v2.0{run.workspace.id}/experiments/{name}"
    uri = f"{place}/runs/{run.name}/artifacts"
    return {"run_id": run.name, "run_uuid": run.name, "artifact_uri": uri, **info}


def _run(run: Tracked) -> dict[str, Any]:
    data = {
        "metrics": [tracking.shown(point) for point in run.latest()],
        "params": [{"key": key, "value": value} for key, value in run.params.items()],
        "tags": [{"key": key, "value": value} for key, value in run.tags.items()],
    }
    return {"info": _info(run), "data": data}


class MlflowError(ServiceError):
    """A refusal in the words of MLflow."""

    def reply(self) -> Reply:
        """The document that MLflow's clients read."""
        found = super().reply()
        words = {"error_code": self.code, "message": str(self)}
        return Reply(found.status, {**words, **found.body}, found.headers)


def _error(status: int, code: str, message: str) -> ServiceError:
    return MlflowError(status, code, message)


_HANDLERS: dict[str, Handler] = {
    "GET experiments/get": get_experiment,
    "GET experiments/get-by-name": get_experiment_by_name,
    "POST experiments/create": create_experiment,
    "POST experiments/search": search_experiments,
    "GET experiments/search": search_experiments,
    "POST runs/create": create_run,
    "GET runs/get": get_run,
    "POST runs/update": update_run,
    "POST runs/search": search_runs,
    "POST runs/log-batch": log_batch,
    "POST runs/log-metric": partial(_log_one, "metrics"),
    "POST runs/log-parameter": partial(_log_one, "params"),
    "POST runs/set-tag": partial(_log_one, "tags"),
    "POST runs/delete-tag": delete_tag,
    "GET metrics/get-history": history,
}


def _routes() -> Iterator[Route]:
    for host in (API, HERE):
        for words, handler in _HANDLERS.items():
            method, path = words.split()
            where = f"/mlflow/{{protocol}}{WORKSPACE}/api/2.0/mlflow/{path}"
            yield Route(method, host, where, handler)


ROUTES = tuple(_routes())
