"""Variables of `infra/`: everything that can be wanted, and no more than a workspace."""

from __future__ import annotations

from typing import Any

NAMES = {
    "resource_group": "rg-quickstart-0a1b2c",
    "workspace": "mlw-quickstart-0a1b2c",
    "storage_account": "stquickstart0a1b2c",
    "key_vault": "kv-quickstart-0a1b2c",
    "container_registry": "crquickstart0a1b2c",
    "log_analytics": "log-quickstart-0a1b2c",
    "application_insights": "appi-quickstart-0a1b2c",
    "workspace_identity": "id-mlw-quickstart-0a1b2c",
    "jobs_identity": "id-jobs-quickstart-0a1b2c",
    "kubernetes_identity": "id-aks-quickstart-0a1b2c",
    "web_identity": "id-app-quickstart-0a1b2c",
    "devops_identity": "id-ado-quickstart-0a1b2c",
    "compute_instance": "ci-quickstart-0a1b2c",
    "kubernetes": "aks-quickstart-0a1b2c",
    "kubernetes_compute": "aks-0a1b2c",
    "custom_vision_training": "cvt-quickstart-0a1b2c",
    "custom_vision_prediction": "cvp-quickstart-0a1b2c",
    "service_plan": "asp-quickstart-0a1b2c",
    "web_app": "app-quickstart-0a1b2c",
    "virtual_network": "vnet-quickstart-0a1b2c",
    "budget": "budget-quickstart-0a1b2c",
    "devops_project": "quickstart-0a1b2c",
    "devops_repository": "pipelines-0a1b2c",
}

FULL: dict[str, Any] = {
    "subscription_id": "11111111-2222-3333-4444-555555555555",
    "location": "westeurope",
    "tags": {"experiment": "quickstart", "managed-by": "mlops_spec"},
    "names": NAMES,
    "private": False,
    "clusters": {
        "cpu": {
            "vm_size": "Standard_DS3_v2",
            "vm_priority": "LowPriority",
            "min_nodes": 0,
            "max_nodes": 2,
            "idle": "PT10M",
        }
    },
    "instance": {"vm_size": "Standard_DS11_v2", "owner": None},
    "kubernetes": {
        "vm_size": "Standard_D4s_v5",
        "min_nodes": 1,
        "max_nodes": 3,
        "tls": {"secret": "scoring-tls", "host": "scoring.example.com"},
    },
    "custom_vision": {"sku": "F0"},
    "web": {"sku": "B1", "image": "frontend:latest", "health": "/healthz"},
    "devops": {
        "organization": "https://dev.azure.com/example",
        "approvers": "Release Approvers",
        "branch": "main",
        "pipelines": {"train": "ado/train.yml", "deploy": "ado/deploy.yml"},
        "environments": {"staging": False, "production": True},
        "secrets": ["scoring-key"],
    },
    "budget": {"amount": 100, "emails": ["owner@example.com"]},
}

LEAST: dict[str, Any] = {
    **FULL,
    "clusters": {},
    **dict.fromkeys(("instance", "kubernetes", "custom_vision", "web", "devops", "budget")),
}
