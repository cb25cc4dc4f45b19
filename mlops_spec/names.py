"""Every cloud name, from the spec alone: Terraform, pipelines, SDK and front end agree on them.

Sources of the rules: Azure's naming rules of each service (length, characters, global uniqueness).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import files

if TYPE_CHECKING:
    from mlops_spec.where import CloudWorkspace

_STEM = 14  # characters of prefix and experiment; leaves room for the hash in the shortest name


@dataclass(frozen=True)
class Names:
    """The names of a workspace and of what it stands on."""

    resource_group: str
    workspace: str  # 3-33 characters
    storage_account: str  # 3-24 lower-case letters and digits, unique in the world
    key_vault: str  # 3-24 characters, unique in the world
    container_registry: str  # 5-50 letters and digits, unique in the world
    log_analytics: str
    application_insights: str


def of(experiment: str, workspace: CloudWorkspace) -> Names:
    """The names for an experiment in a subscription; the same whoever asks, and whenever.

    They end in a hash of subscription, prefix and experiment: two experiments whose names begin
    alike do not meet, nor do two subscriptions where a name must be unique in the world.
    """
    prefix = workspace.prefix
    identity = [workspace.subscription_id.lower(), prefix, experiment]
    word = re.sub(r"[^a-z0-9]", "", f"{prefix}{experiment.lower()}")[:_STEM]
    unique = files.sha256_of(identity)[:6]
    stem = f"{word}-{unique}"
    return Names(
        resource_group=f"rg-{stem}",
        workspace=f"mlw-{stem}",
        storage_account=f"st{word}{unique}",
        key_vault=f"kv-{stem}",
        container_registry=f"cr{word}{unique}",
        log_analytics=f"log-{stem}",
        application_insights=f"appi-{stem}",
    )
