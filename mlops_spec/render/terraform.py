"""The variables that `infra/*.tf` and `infra/bootstrap/*.tf` read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files, ground, names
from mlops_spec.infra_spec import PARTS, TerraformInfra
from mlops_spec.where import CloudWorkspace

if TYPE_CHECKING:
    from mlops_spec.spec import Spec
    from mlops_spec.where import AzuremlCompute

INFRA = Path("infra")
OVERRIDE = INFRA / "backend_override.tf.json"
_PRIORITY = {"dedicated": "Dedicated", "low_priority": "LowPriority"}


def variables(spec: Spec) -> dict[str, Any]:
    """Everything that `infra/variables.tf` declares, for a spec that asks for Terraform."""
    workspace, infra = spec.workspace, spec.infra
    assert isinstance(workspace, CloudWorkspace)
    assert isinstance(infra, TerraformInfra)
    wanted = ground.parts(spec)
    parts: dict[str, Any] = {name: _part(spec, name) if name in wanted else None for name in PARTS}
    clusters = sorted(ground.clusters(spec).values(), key=lambda one: str(one.cluster))
    return {
        "subscription_id": workspace.subscription_id,
        "location": workspace.location,
        "tags": {"experiment": spec.name, "managed-by": "mlops_spec"},
        "names": asdict(names.of(spec.name, workspace)),
        "private": infra.private,
        "clusters": {str(one.cluster): _cluster(one) for one in clusters},
        **parts,
        "budget": _budget(spec),
    }


def documents(spec: Spec) -> dict[Path, str]:
    """The files that Terraform reads, with their texts."""
    assert isinstance(spec.infra, TerraformInfra)
    found = {f"{spec.name}.tfvars.json": variables(spec), f"{spec.name}.backend.json": _state(spec)}
    if spec.infra.remote_state:
        found[f"bootstrap/{store(spec)}.tfvars.json"] = _bootstrap(spec)
    else:
        found[OVERRIDE.name] = {"terraform": {"backend": {"local": {}}}}
    return {INFRA / name: files.json_text(document) for name, document in found.items()}


def store(spec: Spec) -> str:
    """The storage account that keeps the states of a subscription, a prefix and a region."""
    assert isinstance(spec.workspace, CloudWorkspace)
    return names.state(spec.workspace).storage_account


def unwanted(spec: Spec) -> list[Path]:
    """Files of an earlier render that would have Terraform do something else."""
    assert isinstance(spec.infra, TerraformInfra)
    return [OVERRIDE] if spec.infra.remote_state and OVERRIDE.exists() else []


def _bootstrap(spec: Spec) -> dict[str, Any]:
    """Everything that `infra/bootstrap/variables.tf` declares; the same for all experiments."""
    assert isinstance(spec.workspace, CloudWorkspace)
    return {
        "subscription_id": spec.workspace.subscription_id,
        "location": spec.workspace.location,
        "tags": {"managed-by": "mlops_spec"},
        "names": asdict(names.state(spec.workspace)),
    }


def _state(spec: Spec) -> dict[str, str]:
    """Where the state of a spec is kept, as `terraform init -backend-config` takes it."""
    assert isinstance(spec.workspace, CloudWorkspace)
    assert isinstance(spec.infra, TerraformInfra)
    if not spec.infra.remote_state:
        return {"path": f"{spec.name}.tfstate"}
    found = names.state(spec.workspace)
    return {
        "resource_group_name": found.resource_group,
        "storage_account_name": found.storage_account,
        "container_name": found.container,
        "key": f"{spec.name}.tfstate",
    }


def _part(spec: Spec, name: str) -> dict[str, Any]:
    part: dict[str, Any] = getattr(spec.infra, name).model_dump(mode="json")
    if name == "devops":
        part["secrets"] = part.pop("variables")
    if name == "kubernetes" and part["tls"]:
        part["tls"]["secret"] = part["tls"].pop("certificate")
    return part


def _budget(spec: Spec) -> dict[str, Any] | None:
    if spec.budget.per_month is None:
        return None
    return {"amount": spec.budget.per_month, "emails": spec.budget.alert}


def _cluster(compute: AzuremlCompute) -> dict[str, Any]:
    return {
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
