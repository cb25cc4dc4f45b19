"""Assets of a workspace, each made once: a version says by its name what is in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec.azure import uploads
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOOK_SECONDS = 2.0
_PATIENCE_SECONDS = 1800.0  # while a cluster is made that somebody else has asked for
_UNDER_WAY = ("creating", "updating", "deleting", "resizing")

_CHANGEABLE = ("min_instances", "max_instances", "idle_time_before_scale_down")  # of a cluster


def ensure(
    ml: Any, path: Path, document: Mapping[str, Any], say: Callable[[str], None] = lambda _: None
) -> str:
    """Makes the asset of a CLI v2 document unless it is there.

    Args:
        ml: Azure's SDK.
        path: The document.
        document: What is in it.
        say: Hears how far it is.

    Returns:
        What was found or done, in words.

    Raises:
        StateError: A cluster of this name is of other machines.
    """
    schema = _schema(document)
    return {"amlCompute": _compute, "data": _data, "environment": _environment}[schema](
        ml, path, document, say
    )


def _data(ml: Any, path: Path, document: Mapping[str, Any], say: Callable[[str], None]) -> str:
    """A data set, whose files are sent to a place that follows from its version alone."""
    from azure.ai.ml import load_data

    named = f"{document['name']}/{document['version']}"
    address = f"azureml://datastores/workspaceblobstore/paths/mlops_spec/data/{named}/"

    def load(path: Path) -> Any:
        uploads.folder(ml, Path(document["path"]), address, say)
        return load_data(path, params_override=[{"path": address}])

    return _version(ml.data, path, document, load)


def _environment(
    ml: Any, path: Path, document: Mapping[str, Any], _say: Callable[[str], None]
) -> str:
    from azure.ai.ml import load_environment

    return _version(ml.environments, path, document, load_environment)


def _version(operations: Any, path: Path, document: Mapping[str, Any], load: Any) -> str:
    from azure.core.exceptions import ResourceNotFoundError

    name, version = document["name"], document["version"]
    try:
        operations.get(name, version)
    except ResourceNotFoundError:
        operations.create_or_update(load(path))
        return f"{name}:{version} registered"
    return f"{name}:{version} is there"


def _compute(ml: Any, path: Path, document: Mapping[str, Any], say: Callable[[str], None]) -> str:
    from azure.ai.ml import load_compute

    wanted: Any = load_compute(path)
    found = _settled(ml, wanted.name, say)
    if found is None or _state(found) in ("failed", "canceled"):  # there, but no machine of it is
        ml.compute.begin_create_or_update(wanted).result()
        return f"cluster {wanted.name} made again" if found else f"cluster {wanted.name} made"
    fixed = [(found.size, wanted.size), (found.tier, wanted.tier)]
    if any(str(a).lower() != str(b).lower() for a, b in fixed):
        message = f"cluster {wanted.name} is of {found.size}, {found.tier}: not {document['size']}"
        raise StateError(
            f"{message}, {document['tier']}", "set compute.cluster=ANOTHER_NAME, or delete it"
        )
    if all(getattr(found, name) == getattr(wanted, name) for name in _CHANGEABLE):
        return f"cluster {wanted.name} is there"
    ml.compute.begin_create_or_update(wanted).result()
    return f"cluster {wanted.name} changed"


def schedule(ml: Any, document: Mapping[str, Any], job: Path) -> None:
    """Has a clock start a job, instead of what the schedule of this name started before.

    Args:
        ml: Azure's SDK.
        document: The schedule, as a CLI v2 document.
        job: The document of the job.
    """
    from azure.ai.ml import load_job
    from azure.ai.ml.entities import CronTrigger, JobSchedule

    trigger = document["trigger"]
    when = CronTrigger(expression=trigger["expression"], time_zone=trigger["time_zone"])
    made = JobSchedule(name=document["name"], trigger=when, create_job=load_job(job))
    ml.schedules.begin_create_or_update(made).result()


def exists(ml: Any, document: Mapping[str, Any]) -> bool:
    """Whether an asset of a CLI v2 document is in the workspace, a cluster as it is described."""
    from azure.core.exceptions import ResourceNotFoundError

    schema = _schema(document)
    try:
        if schema == "amlCompute":
            found = ml.compute.get(document["name"])
            return all(getattr(found, name) == document[name] for name in _CHANGEABLE)
        if schema == "schedule":
            return bool(ml.schedules.get(document["name"]))
        operations = {"data": ml.data, "environment": ml.environments}[schema]
        operations.get(document["name"], document["version"])
    except ResourceNotFoundError:
        return False
    return True


def _schema(document: Mapping[str, Any]) -> str:
    return str(document["$schema"]).rpartition("/")[2].partition(".")[0]


def _settled(ml: Any, name: str, say: Callable[[str], None]) -> Any:
    """A cluster that nobody is at work on, None if there is none: a killed run may have begun it.

    Raises:
        StateError: That takes too long.
    """
    from azure.core.exceptions import ResourceNotFoundError

    until, before = time.monotonic() + _PATIENCE_SECONDS, ""
    while True:
        try:
            found = ml.compute.get(name)
        except ResourceNotFoundError:
            return None
        now = _state(found)
        if now not in _UNDER_WAY:
            return found
        if now != before:
            before = now
            say(f"cluster {name}: {now}")
        if time.monotonic() > until:
            message = f"cluster {name} is {now} for {_PATIENCE_SECONDS / 60:.0f} minutes"
            raise StateError(message, f"look at it: az ml compute show --name {name}")
        time.sleep(_LOOK_SECONDS)


def _state(found: Any) -> str:
    """Of a cluster; the SDK has an enumeration for some and the service's words for others."""
    state = found.provisioning_state
    return str(getattr(state, "value", state) or "").lower()
