"""What a login may do in a workspace, as Microsoft.Authorization tells it.

Sources: its description of Permissions_ListForResource, and "Understand Azure role definitions":
a right is what the actions of any assignment allow and the notActions of the same do not take away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from mlops_spec import ground
from mlops_spec.where import AzuremlCompute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops_spec.spec import Spec

SCIENTIST, OPERATOR = "AzureML Data Scientist", "AzureML Compute Operator"
_WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
_CLUSTER = f"{_WORKSPACE}/computes/write"
_REGISTRY = ("models/versions/read", "models/versions/write", "datastores/listSecrets/action")
_JOBS = (
    "codes/versions/write",
    "data/versions/write",
    "environments/versions/write",
    "jobs/read",
    "jobs/write",
)
_PIPELINES = ("components/versions/write",)


@dataclass(frozen=True)
class Lack:
    """A role that a login wants, and the rights that make it so."""

    role: str
    rights: tuple[str, ...]


def needed(spec: Spec) -> list[str]:
    """The rights that a run of a spec needs in its workspace."""
    parts, compute = [*_REGISTRY], spec.compute
    if isinstance(compute, AzuremlCompute):
        parts += _JOBS
        parts += _PIPELINES if compute.shape == "pipeline" else ()
        parts += ("schedules/write",) if compute.schedule else ()
        has = compute.cluster and not ground.is_by_terraform(spec)  # which makes clusters itself
        parts += ("computes/write",) if has else ()
    return [f"{_WORKSPACE}/{part}" for part in parts]


def lacking(wanted: Iterable[str], permissions: Iterable[Mapping[str, Any]]) -> list[Lack]:
    """Which roles bring the rights that are wanted and not there."""
    granted = [*permissions]
    missing = [right for right in wanted if not any(_gives(one, right) for one in granted)]
    by_role: dict[str, list[str]] = {}
    for right in missing:
        by_role.setdefault(role(right), []).append(right)
    return [Lack(name, tuple(rights)) for name, rights in by_role.items()]


def role(right: str) -> str:
    """The built-in role that brings a right; clusters are made by another one."""
    return OPERATOR if right.lower().startswith(f"{_WORKSPACE}/computes/".lower()) else SCIENTIST


def assign(name: str, who: str, scope: str) -> str:
    """The command that gives somebody a role."""
    return f'az role assignment create --role "{name}" --assignee {who} --scope {scope}'


def _gives(permission: Mapping[str, Any], right: str) -> bool:
    def named(key: str) -> bool:
        return any(_pattern(form).fullmatch(right) for form in permission.get(key) or ())

    return named("actions") and not named("notActions")


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """A wildcard as Azure takes it: `*` crosses slashes, and `/*/` is also a single one.

    So the notAction workspaces/computes/*/write of AzureML Data Scientist takes computes/write.
    """
    words = re.escape(form).replace(r"/\*/", "/(?:.*/)?").replace(r"\*", ".*")
    return re.compile(words, re.IGNORECASE)
