"""The variables that `infra/*.tf` reads."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops_spec import names
from mlops_spec.where import AzuremlCompute, CloudWorkspace

if TYPE_CHECKING:
    from mlops_spec.spec import Spec
    from mlops_spec.where import ComputeSpec

_PRIORITY = {"dedicated": "Dedicated", "low_priority": "LowPriority"}


def variables(spec: Spec) -> dict[str, Any]:
    """Everything that `infra/variables.tf` declares, for a spec with an Azure workspace."""
    workspace = spec.workspace
    assert isinstance(workspace, CloudWorkspace)
    return {
        "subscription_id": workspace.subscription_id,
        "location": workspace.location,
        "tags": {"experiment": spec.name, "managed-by": "mlops_spec"},
        "names": asdict(names.of(spec.name, workspace)),
        "cluster": _cluster(spec.compute),
    }


def _cluster(compute: ComputeSpec) -> dict[str, Any] | None:
    """The cluster, where jobs have one of their own."""
    if not isinstance(compute, AzuremlCompute) or compute.cluster is None:
        return None
    return {
        "name": compute.cluster,
        "vm_size": compute.vm_size,
        "vm_priority": _PRIORITY[compute.tier],
        "min_nodes": compute.min_nodes,
        "max_nodes": compute.max_nodes,
        "idle": _duration(compute.idle_seconds),
    }


def _duration(seconds: int) -> str:
    """ISO 8601 as Azure itself writes it, PT10M and not PT600S: another text is a change."""
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    parts = ((hours, "H"), (minutes, "M"), (rest, "S"))
    return "PT" + "".join(f"{count}{unit}" for count, unit in parts if count)
