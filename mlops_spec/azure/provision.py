"""Assets of a workspace, each made once: a version says by its name what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def ensure(ml: Any, path: Path, document: Mapping[str, Any]) -> str:
    """Makes the asset of a CLI v2 document unless it is there.

    Args:
        ml: Azure's SDK.
        path: The document.
        document: What is in it.

    Returns:
        What was found or done, in words.

    Raises:
        StateError: A cluster of this name is of other machines.
    """
    schema = _schema(document)
    return {"amlCompute": _compute, "data": _data, "environment": _environment}[schema](
        ml, path, document
    )


def _data(ml: Any, path: Path, document: Mapping[str, Any]) -> str:
    from azure.ai.ml import load_data

    return _version(ml.data, path, document, load_data)


def _environment(ml: Any, path: Path, document: Mapping[str, Any]) -> str:
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


def _compute(ml: Any, path: Path, document: Mapping[str, Any]) -> str:
    from azure.ai.ml import load_compute
    from azure.core.exceptions import ResourceNotFoundError

    wanted: Any = load_compute(path)
    try:
        found = ml.compute.get(wanted.name)
    except ResourceNotFoundError:
        ml.compute.begin_create_or_update(wanted).result()
        return f"cluster {wanted.name} of {wanted.size} made"
    fixed = [(found.size, wanted.size), (found.tier, wanted.tier)]
    if any(str(a).lower() != str(b).lower() for a, b in fixed):
        message = f"cluster {wanted.name} is of {found.size}, {found.tier}: not {document['size']}"
        raise StateError(
            f"{message}, {document['tier']}", "set compute.cluster=ANOTHER_NAME, or delete it"
        )
    names = ("min_instances", "max_instances", "idle_time_before_scale_down")
    state = getattr(found.provisioning_state, "value", found.provisioning_state)
    failed = str(state).lower() == "failed"  # there, but no machine of it is
    if not failed and all(getattr(found, name) == getattr(wanted, name) for name in names):
        return f"cluster {wanted.name} is there"
    ml.compute.begin_create_or_update(wanted).result()
    return f"cluster {wanted.name} {'made again' if failed else 'changed'}"


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
    """Whether an asset of a CLI v2 document is in the workspace."""
    from azure.core.exceptions import ResourceNotFoundError

    schema = _schema(document)
    try:
        if schema == "amlCompute":
            ml.compute.get(document["name"])
        else:
            operations = {"data": ml.data, "environment": ml.environments}[schema]
            operations.get(document["name"], document["version"])
    except ResourceNotFoundError:
        return False
    return True


def _schema(document: Mapping[str, Any]) -> str:
    return str(document["$schema"]).rpartition("/")[2].partition(".")[0]
