"""Azure ML CLI v2 documents: what a training job needs, each usable by `az ml ... create -f`.

Source of the formats: the YAML schemas of the Azure ML CLI v2, which azure-ai-ml loads too.
"""

from __future__ import annotations

import re
import shlex
from importlib.metadata import requires
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from mlops_spec import files
from mlops_spec.spec import AzuremlCompute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_spec.spec import Spec

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest"
# What only the engine needs: a job runs the trainers' command line from a recorded spec.
_ENGINE_ONLY = {"hydra-core", "omegaconf", "rich"}
_TIERS = {"dedicated": "Standard", "low_priority": "Spot"}  # of machines that are lent
_VERSION = 12  # hexadecimal characters of a digest that name a version


def _compute(spec: Spec) -> AzuremlCompute:
    assert isinstance(spec.compute, AzuremlCompute)
    return spec.compute


def cluster(spec: Spec) -> dict[str, Any]:
    """The cluster that jobs wait for."""
    compute = _compute(spec)
    return {
        "$schema": f"{_SCHEMAS}/amlCompute.schema.json",
        "name": compute.cluster,
        "type": "amlcompute",
        "size": compute.vm_size,
        "tier": compute.tier,
        "min_instances": compute.min_nodes,
        "max_instances": compute.max_nodes,
        "idle_time_before_scale_down": compute.idle_seconds,
    }


def environment(spec: Spec) -> dict[str, Any]:
    """The libraries of a job: this package's own requirements, versioned by their content."""
    content = {"image": _compute(spec).image, "conda_file": _conda(spec)}
    return {
        "$schema": f"{_SCHEMAS}/environment.schema.json",
        "name": "mlops_spec-train",
        "version": files.sha256_of(content)[:_VERSION],
        **content,
    }


def _conda(spec: Spec) -> dict[str, Any]:
    extra = "timm" if spec.model.backbone.startswith("timm/") else ""
    found = map(Requirement, requires("mlops_spec") or [])
    wanted = [f"{r.name}{r.specifier}" for r in found if _is_for_jobs(r, extra)]
    return {
        "name": "train",
        "channels": ["conda-forge"],
        "dependencies": ["python=3.11", "pip", {"pip": sorted(wanted)}],
    }


def _is_for_jobs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    wanted = marker is None or "extra" not in str(marker) or marker.evaluate({"extra": extra})
    return wanted and requirement.name not in _ENGINE_ONLY


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
        "$schema": f"{_SCHEMAS}/data.schema.json",
        "type": "uri_folder",
        "name": f"{spec.name}-data",
        "version": files.sha256_of(content)[:_VERSION],
        "path": folder,
    }


def job(spec: Spec, payload: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A step as a command job: the very command line that would run here.

    Args:
        spec: What is wanted.
        payload: The step's request on this machine.
        inputs: What each placeholder of its command line stands for, as CLI v2 inputs.
    """
    compute, libraries = _compute(spec), environment(spec)
    step_id = payload["command"][3]
    return {
        "$schema": f"{_SCHEMAS}/commandJob.schema.json",
        "type": "command",
        "display_name": f"{spec.name}-{step_id}",
        "experiment_name": spec.name,
        "code": "code",
        "command": " ".join(_word(word) for word in payload["command"]),
        "environment": f"azureml:{libraries['name']}:{libraries['version']}",
        "environment_variables": dict(compute.environment),
        "inputs": dict(inputs),
        "outputs": {"out": {"type": "uri_folder"}},
        "limits": {"timeout": compute.max_minutes * 60},
        **_machines(compute),
        **_processes(compute),
    }


def _machines(compute: AzuremlCompute) -> dict[str, Any]:
    """Where a job runs: nodes of a cluster, or machines that Azure ML lends for the job."""
    if compute.cluster:
        resources: dict[str, Any] = {"instance_count": compute.nodes}
        return {"compute": f"azureml:{compute.cluster}", "resources": resources}
    return {
        "resources": {"instance_type": compute.vm_size, "instance_count": compute.nodes},
        "queue_settings": {"job_tier": _TIERS[compute.tier]},
    }


def _processes(compute: AzuremlCompute) -> dict[str, Any]:
    """What starts a process for each device of each node, where there are several."""
    if compute.nodes * compute.devices == 1:
        return {}
    return {"distribution": {"type": "pytorch", "process_count_per_instance": compute.devices}}


def _word(word: str) -> str:
    """A word of a command line for the job's shell, its placeholder in Azure ML's spelling."""
    name = re.fullmatch(r"\$\{\{(\w+)\}\}", word)
    if not name:
        return shlex.quote(word)
    group = "outputs" if name[1] == "out" else "inputs"
    return f"${{{{{group}.{name[1]}}}}}"
