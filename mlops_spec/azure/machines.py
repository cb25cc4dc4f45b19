"""Whether a region has the machines of a spec, and enough of them, by what Azure ML tells of it.

Usages come by family, once for dedicated and once for low-priority machines, which their type
tells apart; low priority has one sum for all families. A limit of -1 is none.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlops_spec.where import AzuremlCompute

_CLUSTER = "AmlCompute"
_TIERS = {"dedicated": "Dedicated", "low_priority": "LowPriority"}  # as Azure writes them
_ASK = "ask for more: portal.azure.com, Quotas, Machine learning"
_NONE = float("inf")
Answer = tuple[str, str]  # what was found, and the cure where there is something to do


def find(compute: AzuremlCompute, sizes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a region says of the size of a spec, with names like it where it has none."""
    by_name = {str(size.get("name", "")).lower(): dict(size) for size in sizes}
    wanted = compute.vm_size.lower()
    if wanted in by_name:
        return by_name[wanted]
    usable = [name for name, size in by_name.items() if _for_clusters(size)]
    near = difflib.get_close_matches(wanted, usable, n=3, cutoff=0.6)
    return {"near": [by_name[name]["name"] for name in near]}


def size(compute: AzuremlCompute, found: Mapping[str, Any], location: str) -> Answer:
    """Whether a region has machines of a size, for clusters and of the tier."""
    name = compute.vm_size
    if "name" not in found:
        near = f": {', '.join(found['near'])}" if found["near"] else ""
        cure = f"choose another compute.vm_size{near}; or another workspace.location"
        return f"{location} has no {name} for Azure ML", cure
    if not _for_clusters(found):
        return f"{name} is not for clusters in {location}", "choose another compute.vm_size"
    if compute.tier == "low_priority" and not found.get("lowPriorityCapable", True):
        return f"{name} is never of low priority in {location}", "set compute.tier=dedicated"
    return f"{location} has {name}: {found.get('vCPUs')} vCPUs, {found.get('gpus')} GPUs", ""


def quota(
    compute: AzuremlCompute,
    found: Mapping[str, Any],
    usages: Iterable[Mapping[str, Any]],
    running: int,
) -> Answer:
    """Whether the quota lets all machines of a spec run.

    Args:
        compute: The machines.
        found: What the region says of their size.
        usages: Of the region.
        running: Machines of the cluster that run already, and so are among those used.
    """
    each, tier = int(found.get("vCPUs") or 0), _TIERS[compute.tier]
    limits = [*_limits(tier, str(found.get("family")), usages)]
    if not limits or not each:
        return f"not known: Azure tells no {tier} quota of {found.get('family')}", ""
    used, most, words = min(limits, key=lambda limit: limit[1] - limit[0])
    wanted = compute.max_nodes if compute.cluster else compute.nodes
    fit = int(max(most - used + running * each, 0)) // each if most < _NONE else wanted
    limit = f"{used} of {most} are used" if most < _NONE else "nothing limits them"
    text = f"{wanted} x {compute.vm_size} need {wanted * each} vCPUs; {limit} ({words}, {tier})"
    if fit >= wanted:
        return text, ""
    fewer = compute.cluster and fit >= compute.nodes
    other = f"set compute.max_nodes={fit}" if fewer else "choose another compute.vm_size or tier"
    return text, f"{other}, or {_ASK}"


def cluster(compute: AzuremlCompute, there: Mapping[str, Any]) -> Answer:
    """Whether the cluster of a spec is what the spec says, where it exists already."""
    name = compute.cluster
    if not there:
        return f"there is no cluster {name} yet; a run makes it", ""
    target = there.get("properties") or {}
    own = target.get("properties") or {}
    other = f"set compute.cluster=ANOTHER_NAME, or delete it: az ml compute delete --name {name}"
    if target.get("computeType") != _CLUSTER:
        return f"{name} is no cluster but {target.get('computeType')}", other
    found = (str(own.get("vmSize")), str(own.get("vmPriority") or "Dedicated"))
    wanted = (compute.vm_size, _TIERS[compute.tier])
    if [word.lower() for word in found] != [word.lower() for word in wanted]:
        return f"cluster {name} is of {', '.join(found)}: not {', '.join(wanted)}", other
    failed = target.get("provisioningState") == "Failed"
    more = f"; making it has failed, a run tries again: {_why(target)}" if failed else ""
    return f"cluster {name} is of {', '.join(found)}{more}", ""


def running(there: Mapping[str, Any]) -> int:
    """How many machines of a cluster run."""
    own = (there.get("properties") or {}).get("properties") or {}
    return int(own.get("currentNodeCount") or 0)


def _why(target: Mapping[str, Any]) -> str:
    errors = [
        (one.get("error") or {}).get("message") for one in target.get("provisioningErrors") or ()
    ]
    return "; ".join(filter(None, errors)) or "Azure does not say why"


def _limits(
    tier: str, family: str, usages: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[int, float, str]]:
    """VCPUs used, how many may be, and of what: of the family, and of all of a tier."""
    for row in usages:
        names = row.get("name") or {}
        name, words = str(names.get("value")), str(names.get("localizedValue"))
        of_tier = f"{tier}cores".lower() in f"{row.get('type')} {name}".lower()
        if of_tier and name.lower() in (family.lower(), f"total{tier}cores".lower()):
            limit = int(row.get("limit", -1))
            yield int(row.get("currentValue") or 0), _NONE if limit < 0 else limit, words


def _for_clusters(size: Mapping[str, Any]) -> bool:
    kinds = size.get("supportedComputeTypes")
    return kinds is None or _CLUSTER.lower() in (str(kind).lower() for kind in kinds)
