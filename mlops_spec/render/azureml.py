"""Azure ML CLI v2 documents: what a training job needs, each usable by `az ml ... create -f`.

Source of the formats: the YAML schemas of the Azure ML CLI v2, which azure-ai-ml loads too.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from mlops_spec import files, names, tracking
from mlops_spec.render import environments
from mlops_spec.where import AzuremlCompute, CloudWorkspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_spec.spec import Spec
    from mlops_spec.steps import Step

_TIERS = {"dedicated": "Standard", "low_priority": "Spot"}  # of machines that are lent
_PLACEHOLDER = re.compile(r"\$\{\{(\w+)\}\}")


def _compute(spec: Spec) -> AzuremlCompute:
    assert isinstance(spec.compute, AzuremlCompute)
    return spec.compute


def cluster(spec: Spec) -> dict[str, Any]:
    """The cluster that jobs wait for."""
    compute = _compute(spec)
    return {
        "$schema": f"{environments.SCHEMAS}/amlCompute.schema.json",
        "name": compute.cluster,
        "type": "amlcompute",
        "size": compute.vm_size,
        "tier": compute.tier,
        "min_instances": compute.min_nodes,
        "max_instances": compute.max_nodes,
        "idle_time_before_scale_down": compute.idle_seconds,
        "ssh_public_access_enabled": False,  # Azure opens the port where nothing is said
        "identity": {
            "type": "user_assigned",
            "user_assigned_identities": [{"resource_id": _identity(spec)}],
        },
    }


def _identity(spec: Spec) -> str:
    """Who jobs are: the identity that Terraform makes for the nodes of the cluster."""
    workspace = spec.workspace
    assert isinstance(workspace, CloudWorkspace)
    named = names.of(spec.name, workspace)
    group = f"/subscriptions/{workspace.subscription_id}/resourceGroups/{named.resource_group}"
    provider = "Microsoft.ManagedIdentity/userAssignedIdentities"
    return f"{group}/providers/{provider}/{named.jobs_identity}"


def data(
    spec: Spec, payload: Mapping[str, Any], code: Mapping[str, str], folder: str
) -> dict[str, Any]:
    """The prepared data set as an asset whose version follows what it was made from, and how.

    Args:
        spec: What is wanted.
        payload: The request that prepares it, which names the digest of what it reads.
        code: The modules that prepare it, with their digests.
        folder: The prepared data set, relative to the document.
    """
    content = [payload["command"], payload["spec"], code]
    return {
        "$schema": f"{environments.SCHEMAS}/data.schema.json",
        "type": "uri_folder",
        "name": f"{spec.name}-data",
        "version": files.sha256_of(content)[: environments.VERSION],
        "path": folder,
    }


def job(step: Step, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A step as a command job, but for `terms`: the very command line that would run here.

    Args:
        step: The step on this machine.
        inputs: What each placeholder of its command line stands for, as CLI v2 inputs.
    """
    return {
        "$schema": f"{environments.SCHEMAS}/commandJob.schema.json",
        "type": "command",
        "code": "code",
        "command": " ".join(_word(word) for word in step.payload["command"]),
        "environment_variables": dict(step.payload["environment"]),
        "inputs": dict(inputs),
        "outputs": {"out": {"type": "uri_folder", "mode": "rw_mount"}},
    }


def terms(spec: Spec, step_id: str) -> dict[str, Any]:
    """How a command job is called, where and with what it runs, and for how long."""
    compute = _compute(spec)
    libraries = environments.document(spec, "register" if step_id == "promote" else "train")
    alone = step_id != "train"  # nothing else is done by several machines together
    return {
        "display_name": f"{spec.name}-{step_id}",
        "experiment_name": spec.name,
        "environment": f"azureml:{libraries['name']}:{libraries['version']}",
        "limits": {"timeout": compute.max_minutes * 60},
        **_machines(compute, 1 if alone else compute.nodes),
        **({} if alone else _processes(compute)),
    }


def name_of(step: Step, key: str) -> str:
    """The name of a job: whoever submits the same step finds it."""
    return f"{step.terms['job']['display_name']}-{key[: environments.VERSION]}"


def complete(step: Step, key: str, needs: Mapping[str, str], name: str = "") -> dict[str, Any]:
    """The document of a job as it is submitted.

    Its output is a folder that follows from the step alone, so that another attempt goes on from
    what the one before it left, and others find it.

    Args:
        step: The step as a job.
        key: Its key.
        needs: The keys of the steps that it needs.
        name: Of the job, if not `name_of` a first attempt.
    """
    called = {"name": name or name_of(step, key)}
    document = {**step.payload["job"], **step.terms["job"], **called}
    variables = {**document["environment_variables"], tracking.STEP: key}
    out = {**document["outputs"]["out"], "path": place_of(key)}
    inputs = {
        name: {**one, "path": _place(one["path"], needs)}
        for name, one in document["inputs"].items()
    }
    made = {"environment_variables": variables, "inputs": inputs, "outputs": {"out": out}}
    return {**document, **made}


def place_of(key: str) -> str:
    """Where a job leaves what it makes."""
    return f"azureml://datastores/workspaceblobstore/paths/mlops_spec/{key}/"


def _place(path: str, needs: Mapping[str, str]) -> str:
    found = _PLACEHOLDER.fullmatch(path)
    return place_of(needs[found[1]]) if found else path


def _machines(compute: AzuremlCompute, nodes: int) -> dict[str, Any]:
    """Where a job runs: nodes of a cluster, or machines that Azure ML lends for the job."""
    if compute.cluster:
        return {
            "compute": f"azureml:{compute.cluster}",
            "resources": {"instance_count": nodes},
        }
    return {
        "resources": {"instance_type": compute.vm_size, "instance_count": nodes},
        "queue_settings": {"job_tier": _TIERS[compute.tier]},
    }


def _processes(compute: AzuremlCompute) -> dict[str, Any]:
    """What starts a process for each device of each node, where there are several."""
    if compute.nodes * compute.devices == 1:
        return {}
    return {"distribution": {"type": "pytorch", "process_count_per_instance": compute.devices}}


def _word(word: str) -> str:
    """A word of a command line for the job's shell, its placeholders in Azure ML's spelling."""
    told = _PLACEHOLDER.sub(lambda found: f"${{{{{_group(found[1])}.{found[1]}}}}}", word)
    return told if _PLACEHOLDER.fullmatch(word) else shlex.quote(told)


def _group(name: str) -> str:
    return "outputs" if name == "out" else "inputs"
